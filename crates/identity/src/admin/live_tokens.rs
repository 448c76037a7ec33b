//! Tokens and keys that were released and may still be good, as the trail has it: those of no grant too, those of grants
//! that were refreshed since, and those that one caller got.

use std::collections::HashSet;
use std::sync::Arc;

use countersign_api::Arn;
use countersign_api::EpochSeconds;
use countersign_api::admin::LiveToken;
use countersign_api::data::Oauth2Flow;
use countersign_audit::tail::{self, Filter};
use countersign_audit::{PersonKeys, Record};
use countersign_crypto::Timestamp;

use super::{shown, stop_subject};
use crate::operation::{Call, OperationError};
use crate::stops::Subject;
use crate::store::revocation::{self, RevocationState};

/// The operations that release something.
const RELEASING: [&str; 2] = ["GetResourceOauth2Token", "GetResourceApiKey"];
const PAGE: u32 = 1000;
/// Most records of each that are looked at, newest first: less than a second of a database's time.
const LOOK_AT: i64 = 50_000;

/// What further tells tokens of no grant apart that end in the same second. Whoever an agent acts for, its own token and
/// an API key are the same.
fn of_nobody_else(record: &Record) -> (String, Option<String>) {
    let exchanged = record.detail["flow"] == Oauth2Flow::OnBehalfOfTokenExchange.as_str();
    let person = record.person.clone().filter(|_| exchanged);
    (record.detail["scopes"].to_string(), person)
}

/// What the trail says.
#[derive(Default)]
pub(super) struct OnRecord {
    /// The newest first, each once however often it was released.
    pub(super) tokens: Vec<LiveToken>,
    /// Since when was looked, where that is not all of the time.
    pub(super) searched_from: Option<Timestamp>,
}

/// What tells one token from another in a list: its grant or where it is from, and its end.
pub(super) type Which = (Option<String>, String, String, Option<u64>);

pub(super) fn which(token: &LiveToken) -> Which {
    let end = token.expires_at.map(EpochSeconds::as_secs_f64);
    (
        token.grant_id.clone(),
        token.workload_name.clone(),
        token.credential_provider_name.clone(),
        // Records have whole seconds.
        end.map(|end| end.trunc().to_bits()),
    )
}

/// What was released to or by `subject`, as far back as the newest [`LOOK_AT`] records lead, or `enough` tokens.
pub(super) async fn on_record(
    call: &Call,
    subject: &Subject,
    enough: usize,
) -> Result<OnRecord, OperationError> {
    let mut found = OnRecord::default();
    let mut seen = HashSet::new();
    for filter in filters(call, subject).await? {
        for action in RELEASING {
            let filter = Filter {
                action: Some(action.to_owned()),
                ..filter.clone()
            };
            let (mut after, mut looked_at) = (None, 0);
            loop {
                let page = tail::search(&call.state.pool, &filter, after.as_deref(), PAGE).await?;
                for record in &page.records {
                    let Some(token) = live(call, subject, record) else {
                        continue;
                    };
                    if seen.insert((which(&token), of_nobody_else(record)))
                        && !withdrawn(call, &token, record.at).await?
                    {
                        found.tokens.push(token);
                    }
                }
                let end = page.searched_to.or(page.records.last().map(|record| record.at));
                looked_at += page.looked_at();
                after = page.cursor;
                if after.is_none() || found.tokens.len() >= enough {
                    break;
                }
                if looked_at >= LOOK_AT {
                    found.searched_from = found.searched_from.max(end);
                    break;
                }
            }
        }
    }
    Ok(found)
}

/// Which records are about `subject`. A person has one pseudonym for each of their keys, and none where nothing is
/// recorded of them.
async fn filters(call: &Call, subject: &Subject) -> Result<Vec<Filter>, OperationError> {
    let all = Filter {
        outcome: Some("done".to_owned()),
        newest_first: true,
        ..Filter::default()
    };
    Ok(match subject {
        Subject::User(_) | Subject::Person(_) => {
            let persons = PersonKeys::new(&call.state.pool, Arc::clone(&call.state.installation.person));
            let (_, stored) = subject.stored(call.account());
            let mut filters = Vec::new();
            for key in stop_subject::user_keys(&call.state.pool, &stored).await? {
                let pseudonym = persons.pseudonym(&key).await?;
                filters.extend(pseudonym.map(|pseudonym| Filter {
                    person: Some(pseudonym),
                    ..all.clone()
                }));
            }
            filters
        }
        Subject::Workload(name) => vec![Filter {
            workload: Some(name.clone()),
            ..all
        }],
        Subject::Provider(name) => vec![Filter {
            provider: Some(name.clone()),
            ..all
        }],
        // A principal calls by several ARNs: its own, and one for each session of its role.
        Subject::Principal(_) | Subject::Account => vec![all],
    })
}

/// What a record released, where that may still be good.
fn live(call: &Call, subject: &Subject, record: &Record) -> Option<LiveToken> {
    // An answer that asks for consent releases nothing.
    if record.detail["released"] != true || record.account != call.account() {
        return None;
    }
    if let Subject::Principal(name) = subject
        && !is_principal(call.account(), name, record.principal.as_deref()?)
    {
        return None;
    }
    let expires = record.detail["expires"].as_i64().map(Timestamp::from_secs);
    if expires.is_some_and(|end| end <= call.now) {
        return None;
    }
    Some(LiveToken {
        grant_id: record.grant.clone(),
        oauth2_flow: serde_json::from_value(record.detail["flow"].clone()).ok(),
        workload_name: record.workload.clone().unwrap_or_default(),
        credential_provider_name: record.provider.clone().unwrap_or_default(),
        last_released_time: Some(shown::time(record.at)),
        expires_at: expires.map(shown::time),
        audit_record_id: Some(record.id.to_string()),
    })
}

/// A principal that somebody may assume calls as a role with a key of its own, too.
fn is_principal(account: &str, name: &str, arn: &str) -> bool {
    arn == Arn::principal(account, name).to_string()
        || arn == Arn::role(account, name).to_string()
        || arn.starts_with(&Arn::assumed_role(account, name, "").to_string())
}

/// Whether the service has accepted the withdrawal of what the grant gave until then.
async fn withdrawn(call: &Call, token: &LiveToken, released: Timestamp) -> Result<bool, OperationError> {
    let Some(grant) = &token.grant_id else {
        return Ok(false);
    };
    let row = revocation::find(&call.state.pool, grant).await?;
    Ok(row.is_some_and(|row| row.state == RevocationState::Done && row.updated_at >= released))
}
