//! A connection: one account of the person's at one service, with the grants by which agents use it.

use std::time::Duration;

use countersign_crypto::{Timestamp, published_user_id, sha256_parts};
use countersign_web::Person;

use super::health::{self, Health};
use crate::data::user_subjects;
use crate::front_channel::visit::{Refused, Visit};
use crate::stops::Subject;
use crate::store::grant::{self, GrantRow, GrantState};
use crate::store::revocation::{self, RevocationRow};
use crate::uses::{self, Use};
use crate::vault::{AccountIdentity, limits, readable_identity};

/// How long a connection that has ended is still shown.
const REMEMBERED: Duration = Duration::from_hours(30 * 24);
/// Uses shown of a grant.
const USES: u32 = 10;

/// One account at one service.
#[derive(Debug)]
pub(super) struct Connection {
    /// Stable for this person, meaningless to anybody else.
    pub(super) id: String,
    pub(super) provider: String,
    /// `None`: the service does not say whose account it is.
    pub(super) account: Option<AccountIdentity>,
    /// Live ones; empty for a connection that has ended.
    pub(super) grants: Vec<Held>,
    /// Those that ended lately, with their revocation at the service.
    pub(super) ended: Vec<(GrantRow, Option<RevocationRow>)>,
}

/// A live grant.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) row: GrantRow,
    pub(super) health: Health,
    /// Newest first.
    pub(super) uses: Vec<Use>,
}

impl Connection {
    /// The account's name, and its id where that says more.
    pub(super) fn account_name(&self) -> Option<String> {
        let account = self.account.as_ref()?;
        Some(match &account.name {
            Some(name) if *name != account.id => format!("{name} ({})", account.id),
            _ => account.id.clone(),
        })
    }

    /// The worst of its grants' health.
    pub(super) fn health(&self) -> Option<&Health> {
        self.grants
            .iter()
            .map(|held| &held.health)
            .max_by_key(|health| health.tone)
    }

    /// The grant that ended last, which tells why the connection has ended.
    pub(super) fn last_ended(&self) -> Option<&GrantRow> {
        let ended = self.ended.iter().map(|(row, _)| row);
        ended.max_by_key(|row| row.ended_at)
    }

    pub(super) fn last_use(&self) -> Option<Timestamp> {
        let newest = |held: &Held| held.uses.first().map(|used| used.at);
        self.grants.iter().filter_map(newest).max()
    }
}

/// The person's connections: live ones first, newest first.
pub(super) async fn list(visit: &Visit, person: &Person) -> Result<Vec<Connection>, Refused> {
    let published = published_user_id(&person.issuer, &person.subject);
    let since = visit.now.minus(REMEMBERED);
    let mut rows = of(visit, person, &published, since).await?;
    // To the person it is the same connection, renewed.
    rows.retain(|row| row.state != GrantState::Replaced || row.reason.as_deref() != Some("newer_consent"));
    connections(visit, &published, rows).await
}

/// All that is stored of the person's connections, renewed and long ended ones included; and whether there may be more.
pub(super) async fn list_all(visit: &Visit, person: &Person) -> Result<(Vec<Connection>, bool), Refused> {
    let published = published_user_id(&person.issuer, &person.subject);
    let ever = Timestamp::from_secs(0);
    let rows = of(visit, person, &published, ever).await?;
    let rest = rows.len() >= grant::MOST_OF_PERSON;
    Ok((connections(visit, &published, rows).await?, rest))
}

/// The person's grants in the account that their gateway serves.
async fn of(
    visit: &Visit,
    person: &Person,
    published: &str,
    ended_after: Timestamp,
) -> Result<Vec<GrantRow>, Refused> {
    let state = &visit.state;
    let account = state.config.account_served(person);
    let rows = grant::list_by_person(&state.pool, &person.user_key, published, account, ended_after);
    Ok(rows.await?)
}

async fn connections(
    visit: &Visit,
    published: &str,
    rows: Vec<GrantRow>,
) -> Result<Vec<Connection>, Refused> {
    let state = &visit.state;
    let mut connections: Vec<Connection> = Vec::new();
    for row in rows {
        // It is asked about on the page where it was connected, and connects nothing yet.
        if row.state == GrantState::Unconfirmed {
            continue;
        }
        let keyring = &*state.vault_keyring(&row.account)?;
        let account = readable_identity(keyring, &row);
        let id = id(published, &row, account.as_ref());
        let known = connections.iter().position(|known| known.id == id);
        let at = known.unwrap_or_else(|| {
            connections.push(Connection {
                id,
                provider: row.provider_name.clone(),
                account,
                grants: Vec::new(),
                ended: Vec::new(),
            });
            connections.len() - 1
        });
        if row.ended_at.is_some() {
            let revocation = revocation::find(&state.pool, &row.id).await?;
            connections[at].ended.push((row, revocation));
        } else {
            connections[at].grants.push(hold(visit, row).await?);
        }
    }
    connections.sort_by_key(|connection| connection.grants.is_empty());
    Ok(connections)
}

/// One of the person's connections.
pub(super) async fn find(visit: &Visit, person: &Person, id: &str) -> Result<Option<Connection>, Refused> {
    let mut connections = list(visit, person).await?;
    let at = connections.iter().position(|connection| connection.id == id);
    Ok(at.map(|at| connections.swap_remove(at)))
}

fn id(published: &str, row: &GrantRow, account: Option<&AccountIdentity>) -> String {
    let account = account.map_or("", |account| &account.id);
    let parts = [
        b"connection",
        published.as_bytes(),
        row.account.as_bytes(),
        row.provider_id.as_bytes(),
        account.as_bytes(),
    ];
    hex::encode(&sha256_parts(&parts)[..16])
}

async fn hold(visit: &Visit, row: GrantRow) -> Result<Held, Refused> {
    let state = &visit.state;
    let uses = uses::list(state, &row.id, USES)
        .await
        .map_err(|error| Refused::failed("audit_unreadable", error))?;
    let mut subjects = vec![
        Subject::Account,
        Subject::Workload(row.workload_name.clone()),
        Subject::Provider(row.provider_name.clone()),
    ];
    subjects.extend(user_subjects(row.user_key, row.person.as_deref()));
    let stopped = state
        .stops
        .first_stopped(&row.account, &subjects)
        .await?
        .is_some();
    let last_use = uses.first().map(|used| used.at);
    let limit = limits::end_of(&state.settings(&row.account).grant_limits, &row, last_use);
    Ok(Held {
        health: health::of(&row, stopped, limit, visit.now),
        row,
        uses,
    })
}
