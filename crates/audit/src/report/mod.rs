//! Which tokens and keys were released: to which agent, for whom, with which scopes, into which account at the service,
//! until when they are good, and what became of their revocation.
//!
//! A token that left cannot be called back by us; the report says what is known: when it ends by itself, and whether
//! the service has accepted its revocation.

mod csv;
mod page;
mod store;

use std::collections::BTreeMap;

use countersign_crypto::Timestamp;
use countersign_db::Pool;
use serde::Serialize;

use crate::record::Personal;
use crate::tail::{self, Filter};
use crate::{AuditError, PersonKeys, Record};

/// The operations that release something.
const RELEASING: [&str; 2] = ["GetResourceOauth2Token", "GetResourceApiKey"];
const PAGE: u32 = 1000;
/// Most releases of a report.
pub const MAX_RELEASES: usize = 100_000;

/// What is asked. Members that are `None` or empty match all.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Query {
    /// Name of the workload identity.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workload: Option<String>,
    /// Name of the credential provider.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// Id of the grant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grant: Option<String>,
    /// The person as asked for. [`Self::persons`] is what is looked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The person's pseudonyms, when `user` is asked for; none: nothing is recorded of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub persons: Vec<String>,
    /// From then on.
    #[serde(serialize_with = "time")]
    pub from: Timestamp,
    /// Before then.
    #[serde(serialize_with = "time")]
    pub to: Timestamp,
    /// Most releases, the oldest first, up to [`MAX_RELEASES`].
    #[serde(skip)]
    pub limit: usize,
    /// About how many records of each operation that releases something are looked at, oldest first. `None`: all of the
    /// time.
    #[serde(skip)]
    pub look_at: Option<u32>,
}

impl Query {
    /// Everything in a time, up to [`MAX_RELEASES`].
    #[must_use]
    pub fn between(from: Timestamp, to: Timestamp) -> Self {
        Self {
            workload: None,
            provider: None,
            grant: None,
            user: None,
            persons: Vec::new(),
            from,
            to,
            limit: MAX_RELEASES,
            look_at: None,
        }
    }
}

/// The answer.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// What was asked.
    pub query: Query,
    /// When it was answered.
    #[serde(serialize_with = "time")]
    pub generated_at: Timestamp,
    /// Id of the database that was asked.
    pub database: String,
    /// What was released, oldest first.
    pub releases: Vec<Release>,
    /// Of them, those that may still be good.
    pub still_valid: usize,
    /// There are more than the limit: ask for a shorter time.
    pub truncated: bool,
    /// What was released after this time is not here, since [`Query::look_at`] was used up.
    #[serde(serialize_with = "optional_time", skip_serializing_if = "Option::is_none")]
    pub searched_to: Option<Timestamp>,
}

/// One token or key that left.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Release {
    /// The record that says so.
    pub record: String,
    /// When.
    #[serde(serialize_with = "time")]
    pub at: Timestamp,
    /// The operation.
    pub action: String,
    /// `USER_FEDERATION`, `M2M`, `ON_BEHALF_OF_TOKEN_EXCHANGE`; absent for keys.
    pub flow: Option<String>,
    /// The agent.
    pub workload: Option<String>,
    /// The service.
    pub provider: Option<String>,
    /// The person's pseudonym.
    pub person: Option<String>,
    /// The caller.
    pub principal: Option<String>,
    /// The login.
    pub sid: Option<String>,
    /// The consent.
    pub session: Option<String>,
    /// The grant.
    pub grant: Option<String>,
    /// Granted.
    pub scopes: Vec<String>,
    /// The person's account at the service.
    pub account: Account,
    /// How long it is good.
    pub validity: Validity,
    /// What became of the grant.
    pub revocation: Option<Revocation>,
}

/// The account at the service, as far as the reader may see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", tag = "state")]
pub enum Account {
    /// Nothing is recorded: the service did not say, or it is the agent's own access.
    Unknown,
    /// It is recorded, and the reader holds no key to it.
    Sealed,
    /// The person was forgotten.
    Forgotten,
    /// As the service names it.
    Known {
        /// Its id there.
        id: String,
        /// Its name there.
        name: Option<String>,
    },
}

/// How long a released token is good by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", tag = "state")]
pub enum Validity {
    /// It has ended.
    Ended {
        /// When.
        #[serde(serialize_with = "time")]
        at: Timestamp,
    },
    /// It has not.
    Valid {
        /// Until when.
        #[serde(serialize_with = "time")]
        until: Timestamp,
    },
    /// The service has accepted its revocation.
    Revoked {
        /// When.
        #[serde(serialize_with = "time")]
        at: Timestamp,
    },
    /// Nobody said: an API key, or a service that does not tell.
    Unknown,
}

/// How a grant's end was brought to the service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Revocation {
    /// `RevokeAtProvider` when the service was told, else what ended the grant here.
    pub action: String,
    /// `done`, `refused`, `failed`.
    pub outcome: String,
    /// Why it failed.
    pub reason: Option<String>,
    /// When.
    #[serde(serialize_with = "time")]
    pub at: Timestamp,
    /// The record that says so.
    pub record: String,
}

/// What is known of a grant.
#[derive(Clone)]
struct Fate {
    account: Account,
    revocation: Option<Revocation>,
}

/// Answers from one database. With `persons`, accounts at services are readable.
#[tracing::instrument(name = "audit.report", skip_all)]
pub async fn report(
    pool: &Pool,
    persons: Option<&PersonKeys>,
    query: Query,
    now: Timestamp,
) -> Result<Report, AuditError> {
    let limit = query.limit.clamp(1, MAX_RELEASES);
    let (mut records, searched_to) = released(pool, &query, limit).await?;
    let truncated = records.len() > limit;
    records.truncate(limit);
    let mut fates: BTreeMap<String, Fate> = BTreeMap::new();
    let mut releases = Vec::with_capacity(records.len());
    for record in &records {
        let fate = match &record.grant {
            None => None,
            Some(grant) => {
                if !fates.contains_key(grant) {
                    fates.insert(grant.clone(), fate(pool, persons, grant).await?);
                }
                fates.get(grant)
            }
        };
        releases.push(release(record, fate, now));
    }
    let may_be_good =
        |release: &&Release| matches!(release.validity, Validity::Valid { .. } | Validity::Unknown);
    Ok(Report {
        query,
        generated_at: now,
        database: countersign_db::database_identity(pool).await?.id,
        still_valid: releases.iter().filter(may_be_good).count(),
        releases,
        truncated,
        searched_to: searched_to.filter(|_| !truncated),
    })
}

/// At most one more than `limit`, and how far was looked where that was not the end.
async fn released(
    pool: &Pool,
    query: &Query,
    limit: usize,
) -> Result<(Vec<Record>, Option<Timestamp>), AuditError> {
    let persons: Vec<Option<&String>> = match &query.user {
        Some(_) => query.persons.iter().map(Some).collect(),
        None => vec![None],
    };
    let (mut found, mut searched_to) = (Vec::new(), None::<Timestamp>);
    for person in persons {
        for action in RELEASING {
            let filter = Filter {
                action: Some(action.to_owned()),
                outcome: Some("done".to_owned()),
                workload: query.workload.clone(),
                provider: query.provider.clone(),
                grant: query.grant.clone(),
                person: person.cloned(),
                since: Some(query.from.as_micros()),
                until: Some(query.to.as_micros()),
                ..Filter::default()
            };
            let (records, ended) = of(pool, &filter, limit, query.look_at).await?;
            found.extend(records);
            // What was looked at for all of them.
            searched_to = [searched_to, ended].into_iter().flatten().min();
        }
    }
    found.sort_by(|a, b| (a.at, &a.id.writer, a.id.seq).cmp(&(b.at, &b.id.writer, b.id.seq)));
    found.retain(|record| searched_to.is_none_or(|end| record.at <= end));
    found.truncate(limit + 1);
    Ok((found, searched_to))
}

async fn of(
    pool: &Pool,
    filter: &Filter,
    limit: usize,
    look_at: Option<u32>,
) -> Result<(Vec<Record>, Option<Timestamp>), AuditError> {
    let (mut found, mut after, mut looked_at) = (Vec::new(), None, 0);
    let mut size = u32::try_from(limit + 1).unwrap_or(PAGE).min(PAGE);
    loop {
        let (records, searched_to) = if look_at.is_some() {
            let page = tail::search(pool, filter, after.as_deref(), size).await?;
            looked_at += page.looked_at();
            after = page.cursor;
            let last = page.records.last().map(|record| record.at);
            (page.records, page.searched_to.or(last))
        } else {
            let page = tail::list(pool, filter, after.as_deref(), size).await?;
            after = page.cursor;
            (page.records, None)
        };
        // An answer that asks for consent releases nothing.
        let releases = |record: &Record| record.detail["released"] == true;
        found.extend(records.into_iter().filter(releases));
        if after.is_none() || found.len() > limit {
            return Ok((found, None));
        }
        if look_at.is_some_and(|most| looked_at >= i64::from(most)) {
            return Ok((found, searched_to));
        }
        // Many that release nothing lie between those that do.
        size = PAGE;
    }
}

async fn fate(pool: &Pool, persons: Option<&PersonKeys>, grant: &str) -> Result<Fate, AuditError> {
    let mut records = store::fate(pool, grant).await?;
    if let Some(persons) = persons {
        persons.open(&mut records).await?;
    }
    let told = records.iter().find(|record| record.action == "RevokeAtProvider");
    let ending = |record: &&Record| {
        record.outcome == "done"
            && matches!(
                record.action.as_str(),
                "RevokeGrant" | "EndGrant" | "DisconnectGrant" | "Disconnect"
            )
    };
    let revocation = told
        .or_else(|| records.iter().find(ending))
        .map(|record| Revocation {
            action: record.action.clone(),
            outcome: record.outcome.clone(),
            reason: record.reason.clone(),
            at: record.at,
            record: record.id.to_string(),
        });
    let consent = records
        .iter()
        .find(|record| record.action == "CompleteResourceTokenAuth" && record.outcome == "done");
    Ok(Fate {
        account: consent.map_or(Account::Unknown, account),
        revocation,
    })
}

fn account(consent: &Record) -> Account {
    match &consent.personal {
        Personal::None => Account::Unknown,
        Personal::Sealed => Account::Sealed,
        Personal::Forgotten => Account::Forgotten,
        Personal::Opened(values) => {
            let text = |name: &str| match values.get(name) {
                Some(serde_json::Value::String(text)) => Some(text.clone()),
                Some(serde_json::Value::Null) | None => None,
                Some(other) => Some(other.to_string()),
            };
            match text("account_id") {
                Some(id) => Account::Known {
                    id,
                    name: text("account_name"),
                },
                None => Account::Unknown,
            }
        }
    }
}

fn release(record: &Record, fate: Option<&Fate>, now: Timestamp) -> Release {
    let revocation = fate.and_then(|fate| fate.revocation.clone());
    let revoked = revocation
        .as_ref()
        .filter(|revocation| revocation.action == "RevokeAtProvider" && revocation.outcome == "done")
        // A token that was released after it belongs to a later consent.
        .filter(|revocation| revocation.at >= record.at)
        .map(|revocation| revocation.at);
    let expires = record.detail["expires"].as_i64().map(Timestamp::from_secs);
    let validity = match (expires, revoked) {
        (Some(at), _) if at <= now => Validity::Ended { at },
        (_, Some(at)) => Validity::Revoked { at },
        (Some(until), None) => Validity::Valid { until },
        (None, None) => Validity::Unknown,
    };
    let texts = |value: &serde_json::Value| {
        let texts = value.as_array().into_iter().flatten();
        texts
            .filter_map(|text| text.as_str().map(str::to_owned))
            .collect()
    };
    Release {
        record: record.id.to_string(),
        at: record.at,
        action: record.action.clone(),
        flow: record.detail["flow"].as_str().map(str::to_owned),
        workload: record.workload.clone(),
        provider: record.provider.clone(),
        person: record.person.clone(),
        principal: record.principal.clone(),
        sid: record.sid.clone(),
        session: record.session.clone(),
        grant: record.grant.clone(),
        scopes: texts(&record.detail["scopes"]),
        account: fate.map_or(Account::Unknown, |fate| fate.account.clone()),
        validity,
        revocation,
    }
}

#[expect(clippy::ref_option, reason = "serde passes a reference")]
fn optional_time<S: serde::Serializer>(at: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
    match at {
        Some(at) => time(at, serializer),
        None => serializer.serialize_none(),
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn time<S: serde::Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&at.to_rfc3339())
}
