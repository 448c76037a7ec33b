//! `GetAuditReport`. It shows accounts at services, which are personal: who asks is recorded, and for whom.

use countersign_api::admin::GetAuditReport;
use countersign_api::admin::get_audit_report::{Input, Output};
use countersign_audit::PersonKeys;
use countersign_audit::report::{Query, report};
use countersign_crypto::Timestamp;

use super::{authorize_audit, stop_subject};
use crate::operation::{Call, Handle, OperationError};

const DEFAULT_RELEASES: usize = 1000;
const DEFAULT_DAYS: i64 = 30;

impl Handle for GetAuditReport {
    #[tracing::instrument(name = "identity.get_audit_report", skip_all)]
    async fn handle(call: &mut Call, input: Input) -> Result<Output, OperationError> {
        authorize_audit(call).await?;
        let failed = |error: &dyn std::fmt::Display| OperationError::internal("audit_not_read", error);
        let persons = PersonKeys::new(
            &call.state.pool,
            std::sync::Arc::clone(&call.state.installation.person),
        );
        let mut query = Query {
            workload: input.workload_name,
            provider: input.credential_provider_name,
            grant: input.grant_id,
            user: input.user,
            ..window(input.from, input.to, call.now)
        };
        if let Some(user) = &query.user {
            let keys = stop_subject::user_keys(&call.state.pool, user).await?;
            for key in keys {
                let found = persons.pseudonym(&key).await.map_err(|error| failed(&error))?;
                query.persons.extend(found);
            }
        }
        query.limit = input
            .max_results
            .and_then(|most| usize::try_from(most).ok())
            .unwrap_or(DEFAULT_RELEASES);
        query.look_at = input.max_records.and_then(|most| u32::try_from(most).ok());
        record_question(call, &query);
        let report = report(&call.state.pool, Some(&persons), query, call.now)
            .await
            .map_err(|error| failed(&error))?;
        call.entry
            .detail
            .insert("releases".to_owned(), report.releases.len().into());
        let (truncated, searched_to) = (report.truncated, report.searched_to);
        let report = match input.format.as_deref() {
            Some("csv") => report.csv().into(),
            Some("html") => report.html().map_err(|error| failed(&error))?.into(),
            _ => serde_json::to_value(&report).map_err(|error| failed(&error))?,
        };
        Ok(Output {
            report,
            truncated,
            searched_to: searched_to.map(Timestamp::to_rfc3339),
        })
    }
}

/// The time asked about, in whole seconds.
fn window(from: Option<i64>, to: Option<i64>, now: Timestamp) -> Query {
    let to = to.map_or_else(|| Timestamp::from_secs(now.as_secs() + 1), Timestamp::from_secs);
    let from = from.map_or_else(
        || Timestamp::from_secs(to.as_secs().saturating_sub(DEFAULT_DAYS * 86_400)),
        Timestamp::from_secs,
    );
    Query::between(from, to)
}

/// Which workload, provider and grant stand in their own columns. The person does so too, by pseudonym, which forgetting
/// takes away.
fn record_question(call: &mut Call, query: &Query) {
    call.entry.workload.clone_from(&query.workload);
    call.entry.provider.clone_from(&query.provider);
    call.entry.grant.clone_from(&query.grant);
    let detail = &mut call.entry.detail;
    detail.insert("from".to_owned(), query.from.to_rfc3339().into());
    detail.insert("to".to_owned(), query.to.to_rfc3339().into());
    if query.user.is_some() {
        detail.insert("persons".to_owned(), query.persons.clone().into());
    }
}
