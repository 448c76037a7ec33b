//! `Stop`: in force on this replica when it is answered, within a second on the others. It lists the tokens that are out
//! there (design D23). Grants stay and serve again after `Start`, unless the caller wants those tokens withdrawn.

use countersign_api::admin::stop::{Input, Output};
use countersign_api::admin::{LiveToken, Stop};

use super::{shown, stop_subject};
use crate::operation::{Call, Handle, OperationError};
use crate::stops::Subject;
use crate::store::grant::{self, GrantFilter};
use crate::store::stop::{self, StopRow};
use crate::uses;
use crate::vault::revoke;

/// Most tokens that an answer lists.
const MAX_TOKENS: usize = 1000;
const PAGE: i64 = 500;

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
        let stop =
            shown::stop(in_force).ok_or_else(|| OperationError::internal("store_failed", "kind of stop"))?;
        // After the stop is in force, so that nothing is released behind the back of the list.
        let (live_tokens, grants_revoked) = match filter(&subject) {
            None => (Vec::new(), 0),
            Some(filter) => live_tokens(call, &filter, input.revoke_tokens == Some(true)).await?,
        };
        let grants_revoked = (input.revoke_tokens == Some(true)).then_some(grants_revoked);
        if let Some(revoked) = grants_revoked {
            call.entry
                .detail
                .insert("grantsRevoked".to_owned(), revoked.into());
        }
        Ok(Output {
            stop,
            live_tokens,
            grants_revoked,
        })
    }
}

/// The grants of a subject; `None` for one that has none.
fn filter(subject: &Subject) -> Option<GrantFilter> {
    Some(match subject {
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
        Subject::Principal(_) => return None,
    })
}

/// Access tokens that were released and may still be in somebody's hands, the first of them, newest grants first. With
/// `revoke` every grant they come from ends, and its revocation at the vendor is queued.
async fn live_tokens(
    call: &Call,
    filter: &GrantFilter,
    revoke: bool,
) -> Result<(Vec<LiveToken>, i64), OperationError> {
    let (mut tokens, mut revoked, mut after) = (Vec::new(), 0, String::new());
    loop {
        let page = grant::list(&call.state.pool, call.account(), filter, &after, PAGE).await?;
        for row in &page {
            let alive =
                row.access_token.is_some() && row.access_expires_at.is_none_or(|expiry| expiry > call.now);
            if !alive {
                continue;
            }
            let Some(released) = uses::last(&call.state, &row.id).await? else {
                continue;
            };
            if revoke && revoke::end(&call.state, &row.id, "stopped").await? {
                revoked += 1;
            }
            if tokens.len() < MAX_TOKENS {
                tokens.push(LiveToken {
                    grant_id: row.id.clone(),
                    workload_name: row.workload_name.clone(),
                    credential_provider_name: row.provider_name.clone(),
                    last_released_time: Some(shown::time(released)),
                    expires_at: row.access_expires_at.map(shown::time),
                });
            }
        }
        let full = !revoke && tokens.len() >= MAX_TOKENS;
        match page.last() {
            Some(last) if !full => last.id.clone_into(&mut after),
            _ => return Ok((tokens, revoked)),
        }
    }
}
