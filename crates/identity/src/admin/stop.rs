//! `Stop`: in force on this replica when it is answered, within a second on the others. Grants stay; they serve
//! again after `Start`.

use countersign_api::admin::stop::{Input, Output};
use countersign_api::admin::{LiveToken, Stop};

use super::{shown, stop_subject};
use crate::operation::{Call, Handle, OperationError};
use crate::stops::Subject;
use crate::store::grant::{self, GrantFilter};
use crate::store::stop::{self, StopRow};

/// Most tokens that an answer lists.
const MAX_TOKENS: i64 = 1000;

impl Handle for Stop {
    #[tracing::instrument(name = "identity.stop", skip_all)]
    async fn handle(call: &mut Call, input: Input) -> Result<Output, OperationError> {
        let (subject, resource) = stop_subject::read(call, input.subject_kind, &input.subject)?;
        let (kind, stored) = subject.stored(call.account());
        call.entry.detail.insert("subjectKind".to_owned(), kind.into());
        match &subject {
            Subject::User(key) => call.entry.person = Some(*key),
            Subject::Person(_) => {}
            _ => drop(
                call.entry
                    .detail
                    .insert("subject".to_owned(), stored.clone().into()),
            ),
        }
        call.authorize(&[resource]).await?;
        let new = StopRow {
            account: call.account().to_owned(),
            kind: kind.to_owned(),
            subject: stored,
            reason: input.reason,
            stopped_by: call.caller.arn.to_string(),
            stopped_at: call.now,
        };
        let mut tx = call.state.pool.begin().await?;
        let in_force = stop::insert(&mut tx, &new).await?;
        call.state.commit(tx, &[(stop::CHANGE, &new.subject)]).await?;
        let live_tokens = live_tokens(call, &subject).await?;
        let stop =
            shown::stop(in_force).ok_or_else(|| OperationError::internal("store_failed", "kind of stop"))?;
        Ok(Output { stop, live_tokens })
    }
}

/// Access tokens that may still be in somebody's hands.
async fn live_tokens(call: &Call, subject: &Subject) -> Result<Vec<LiveToken>, OperationError> {
    let filter = match subject {
        Subject::User(key) => GrantFilter {
            user_key: Some(*key),
            ..GrantFilter::default()
        },
        Subject::Person(published) => GrantFilter {
            user_key: Some(countersign_crypto::UserKey::id(published)),
            person: Some(published.clone()),
            ..GrantFilter::default()
        },
        Subject::Workload(name) => GrantFilter {
            workload_name: Some(name.clone()),
            ..GrantFilter::default()
        },
        Subject::Provider(name) => GrantFilter {
            provider_name: Some(name.clone()),
            ..GrantFilter::default()
        },
        Subject::Account => GrantFilter::default(),
        Subject::Principal(_) => return Ok(Vec::new()),
    };
    let grants = grant::list(&call.state.pool, call.account(), &filter, "", MAX_TOKENS).await?;
    let alive = |grant: &grant::GrantRow| {
        grant.access_token.is_some() && grant.access_expires_at.is_none_or(|expiry| expiry > call.now)
    };
    let token = |grant: grant::GrantRow| LiveToken {
        expires_at: grant.access_expires_at.map(shown::time),
        grant_id: grant.id,
    };
    Ok(grants.into_iter().filter(alive).map(token).collect())
}
