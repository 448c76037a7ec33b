//! `Stop`: in force on this replica when it is answered, within a second on the others. It lists the tokens that are out
//! there (design D23): those of live grants, and what the trail says was released. Grants stay and serve again after
//! `Start`, unless the caller wants those tokens withdrawn.

use std::collections::HashSet;

use countersign_api::admin::stop::{Input, Output};
use countersign_api::admin::{LiveToken, Stop};
use countersign_api::data::Oauth2Flow;
use countersign_crypto::{Timestamp, UserKey};

use super::{live_tokens as released, shown, stop_subject};
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
    #[tracing::instrument(name = "identity.stop", skip_all, fields(request.id = call.caller.request_id))]
    async fn handle(call: &mut Call, input: Input) -> Result<Output, OperationError> {
        let (subject, resource) = stop_subject::recorded(call, input.subject_kind, &input.subject)?;
        let (kind, stored) = subject.stored(call.account());
        if let Some(reason) = &input.reason {
            call.entry
                .detail
                .insert("reason".to_owned(), reason.clone().into());
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
        call.takes_effect();
        let stop =
            shown::stop(in_force).ok_or_else(|| OperationError::internal("store_failed", "kind of stop"))?;
        // After the stop is in force, so that nothing is released behind the back of the list.
        let revoke = input.revoke_tokens == Some(true);
        let (live_tokens, grants_revoked, searched_from) = out_there(call, &subject, revoke).await?;
        let truncated = live_tokens.len() > MAX_TOKENS;
        let grants_revoked = revoke.then_some(grants_revoked);
        if let Some(revoked) = grants_revoked {
            call.entry
                .detail
                .insert("grantsRevoked".to_owned(), revoked.into());
        }
        Ok(Output {
            stop,
            live_tokens: live_tokens.into_iter().take(MAX_TOKENS).collect(),
            truncated,
            searched_from: searched_from.map(shown::time),
            grants_revoked,
        })
    }
}

/// All that is out: what live grants have given, and what else the trail knows, since when. With `revoke` the grants end,
/// and how many did is told.
async fn out_there(
    call: &Call,
    subject: &Subject,
    revoke: bool,
) -> Result<(Vec<LiveToken>, i64, Option<Timestamp>), OperationError> {
    let (mut tokens, mut revoked) = match filter(subject) {
        None => (Vec::new(), 0),
        Some(filter) => live_tokens(call, &filter, revoke).await?,
    };
    // As many as make the list too long, whatever of them is listed already.
    let enough = if revoke { usize::MAX } else { MAX_TOKENS + 1 };
    let on_record = released::on_record(call, subject, enough).await?;
    let listed: HashSet<_> = tokens.iter().map(released::which).collect();
    for token in on_record.tokens {
        if listed.contains(&released::which(&token)) {
            continue;
        }
        if let Some(id) = token.grant_id.as_ref().filter(|_| revoke)
            && let Some(row) = grant::find(&call.state.pool, call.account(), id).await?
            && revoke::end(&call.state, id, "stopped").await?
        {
            revoke::record_end(&call.state, &row, "stopped").await;
            revoked += 1;
        }
        tokens.push(token);
    }
    Ok((tokens, revoked, on_record.searched_from))
}

/// The grants of a subject; `None` for one that has none: what a principal got is in the trail alone.
fn filter(subject: &Subject) -> Option<GrantFilter> {
    Some(match subject {
        Subject::User(key) => GrantFilter {
            user_key: Some(*key),
            ..GrantFilter::default()
        },
        Subject::Person(published) => GrantFilter {
            user_key: Some(UserKey::id(published)),
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
    // The database looks through the dead ones: a million of them pass in seconds there, and in minutes here.
    let alive = GrantFilter {
        alive_at: Some(call.now),
        ..filter.clone()
    };
    loop {
        let page = grant::list(&call.state.pool, call.account(), &alive, &after, PAGE).await?;
        for row in &page {
            let Some(released) = uses::last(&call.state, &row.id).await? else {
                continue;
            };
            if revoke && revoke::end(&call.state, &row.id, "stopped").await? {
                revoke::record_end(&call.state, row, "stopped").await;
                revoked += 1;
            }
            // One more than is listed: there are more.
            if tokens.len() <= MAX_TOKENS {
                tokens.push(LiveToken {
                    grant_id: Some(row.id.clone()),
                    oauth2_flow: Some(Oauth2Flow::UserFederation),
                    workload_name: row.workload_name.clone(),
                    credential_provider_name: row.provider_name.clone(),
                    last_released_time: Some(shown::time(released)),
                    expires_at: row.access_expires_at.map(shown::time),
                    audit_record_id: None,
                });
            }
        }
        let full = !revoke && tokens.len() > MAX_TOKENS;
        match page.last() {
            Some(last) if !full => last.id.clone_into(&mut after),
            _ => return Ok((tokens, revoked)),
        }
    }
}
