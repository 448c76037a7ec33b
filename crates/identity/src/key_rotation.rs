//! Rotation of an account's keys while every replica goes on (design D27).
//!
//! A new key first only opens; once every replica holds it, it becomes the one that seals. What the key before it sealed
//! is sealed anew in the background ([`crate::vault::reseal`]), and then that key can be retired.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use countersign_audit::{Entry, Outcome};
use countersign_crypto::{KeyError, KeyPurpose, KeyRow, KeyState, Keyring, NewKey, Timestamp};
use countersign_db::{Change, DbError};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use crate::customer_key;
use crate::keys::{AccountKeys, KeysError, customer_managed, log_closed, open_vault};
use crate::state::State;
use crate::store::key;
use crate::store::sealed::COLUMNS;
use crate::vault::reseal;
use crate::wat;

/// How long a new key opens before it seals: a change reaches every replica within a second (design D26), or that replica
/// answers nothing from memory.
const SETTLE: Duration = Duration::from_secs(3);
/// Keys of one purpose that are not retired, at most: all of them are held in memory.
const MAX_KEYS: usize = 8;
/// The longest life of temporary credentials, which the credential key seals.
const ROLE_SESSION: Duration = Duration::from_hours(12);
/// How often somebody looks whether values wait to be sealed anew.
const ROUND: Duration = Duration::from_secs(2);
const AGAIN: Duration = Duration::from_millis(500);
/// The longest from the moment a value is sealed until it stands in the store, where that is away: what a vendor gave is
/// tried again and again.
const LATE: Duration = Duration::from_mins(20);

/// Why keys stay as they are.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RotationError {
    /// As it stands; what the caller is told.
    #[error("{0}")]
    Conflict(String),
    /// The store.
    #[error(transparent)]
    Db(#[from] DbError),
    /// The key provider, or a key that is not what it should be.
    #[error(transparent)]
    Key(#[from] KeyError),
}

/// Makes a new primary key; the one before opens what it sealed.
pub(crate) async fn rotate(
    state: &State,
    account: &str,
    purpose: KeyPurpose,
) -> Result<KeyRow, RotationError> {
    if purpose != KeyPurpose::Vault {
        return rotate_alone(state, account, purpose).await;
    }
    // What wraps the vault's keys must not change between the look and the insert.
    let Some(turn) = customer_key::Turn::take(state, account).await? else {
        let message = "its customer managed key is being changed, or it is being rotated";
        return Err(RotationError::Conflict(message.to_owned()));
    };
    let rotated = rotate_alone(state, account, purpose).await;
    turn.end(state).await;
    rotated
}

async fn rotate_alone(state: &State, account: &str, purpose: KeyPurpose) -> Result<KeyRow, RotationError> {
    let rows = key::list(&state.pool, account, purpose).await?;
    let newest = rows.first().ok_or(KeyError::Rows)?;
    let under_way = || RotationError::Conflict("a rotation of this key is under way".to_owned());
    if newest.state != KeyState::Primary {
        return Err(under_way());
    }
    if rows.len() >= MAX_KEYS {
        let message = format!("{MAX_KEYS} keys of this purpose are in use; retire the oldest first");
        return Err(RotationError::Conflict(message));
    }
    let new = NewKey {
        account,
        resource: &newest.resource,
        purpose,
        version: newest.version + 1,
    };
    // A vault's keys stay under the key that its customer manages.
    let customer = if newest.provider_key_id == state.key_provider.key_id() {
        None
    } else {
        state.key_provider.customer_key(account, &newest.provider_key_id)
    };
    let provider = match customer {
        Some(customer) => customer.await.map_err(KeyError::from)?,
        None => Arc::clone(&state.key_provider),
    };
    let mut row = KeyRow::generate_symmetric(&*provider, &*state.random, &*state.clock, new).await?;
    row.state = KeyState::Enabled;
    if !key::insert(&state.pool, &row).await? {
        return Err(under_way());
    }
    announce(state, account).await?;
    tokio::time::sleep(SETTLE).await;
    promote(state, row).await
}

/// Makes a key that every replica holds the one that seals.
async fn promote(state: &State, mut row: KeyRow) -> Result<KeyRow, RotationError> {
    let mut tx = state.pool.begin().await?;
    if key::promote(&mut tx, &row).await? {
        state.commit(tx, &[(key::CHANGE, &row.account)]).await?;
        renew_own(state).await;
    }
    row.state = KeyState::Primary;
    Ok(row)
}

/// Retires a key that nothing needs any more. `force` does not wait for the end of tokens that it sealed and that left
/// the process; stored values keep their key in any case.
pub(crate) async fn retire(state: &State, row: &KeyRow, force: bool) -> Result<(), RotationError> {
    let conflict = |message: &str| Err(RotationError::Conflict(message.to_owned()));
    match row.state {
        KeyState::Primary => return conflict("it is the primary key; rotate first"),
        KeyState::Retired => return conflict("it is retired already"),
        KeyState::Enabled => {}
    }
    let rows = key::list(&state.pool, &row.account, row.purpose).await?;
    let Some(primary) = rows
        .iter()
        .find(|other| other.state == KeyState::Primary && other.version > row.version)
    else {
        return conflict("it is about to become the primary key");
    };
    let now = state.clock.now();
    if now < settled_at(primary) {
        return conflict("it was replaced a moment ago; try again in some seconds");
    }
    let replaced = rows.iter().filter(|other| other.version > row.version);
    let replaced = replaced.map(|other| other.created_at).min().unwrap_or(now);
    let tokens_end = replaced.plus(SETTLE).plus(token_life(row.purpose));
    if now < tokens_end && !force {
        let message = format!(
            "tokens that it sealed are good until {tokens_end}; retire it then, or by force to end them now"
        );
        return Err(RotationError::Conflict(message));
    }
    let needed = values_under(state, row).await?;
    if needed > 0 {
        let message = format!("{needed} stored values are sealed under it and wait to be sealed anew");
        return Err(RotationError::Conflict(message));
    }
    let mut tx = state.pool.begin().await?;
    if !key::retire(&mut tx, row).await? {
        return conflict("it has changed in the meantime");
    }
    state.commit(tx, &[(key::CHANGE, &row.account)]).await?;
    renew_own(state).await;
    Ok(())
}

/// This replica has the change before anybody is told of it; [`follow`] brings it to the others, and here too should this
/// fail.
pub(crate) async fn renew_own(state: &State) {
    if let Err(error) = renew(state).await {
        tracing::warn!(%error, "changed keys could not be read at once");
    }
}

/// How many stored values only this key opens.
pub(crate) async fn values_under(state: &State, row: &KeyRow) -> Result<i64, DbError> {
    let Some(prefix) = Keyring::sealed_prefix(&row.id) else {
        return Ok(0);
    };
    let mut values = 0;
    for column in COLUMNS.iter().filter(|column| column.needs(row.purpose)) {
        values += column.count_under(&state.pool, &row.account, &prefix).await?;
    }
    Ok(values)
}

/// How long a token lives that a key of `purpose` sealed and that is stored nowhere.
fn token_life(purpose: KeyPurpose) -> Duration {
    match purpose {
        KeyPurpose::Credential => ROLE_SESSION,
        KeyPurpose::WorkloadAccessToken => wat::LIFETIME,
        _ => Duration::ZERO,
    }
}

/// Tells every replica that the keys of an account, or what is sealed under them, have changed.
async fn announce(state: &State, account: &str) -> Result<(), DbError> {
    let tx = state.pool.begin().await?;
    state.commit(tx, &[(key::CHANGE, account)]).await
}

/// Keeps this replica's keys as the store has them, until the role ends.
pub(crate) async fn follow(state: State, mut changes: Receiver<Change>) {
    loop {
        match changes.recv().await {
            Ok(change) if change.kind == key::CHANGE || change.is_everything() => {}
            Ok(_) => continue,
            Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => return,
        }
        while let Err(error) = renew(&state).await {
            // Rather no answer than a value sealed under a key that somebody is about to retire.
            state.keys_outdated.store(true, Ordering::Release);
            tracing::error!(%error, "changed keys cannot be read; tokens and credentials are not served until then");
            tokio::time::sleep(AGAIN).await;
        }
        state.keys_outdated.store(false, Ordering::Release);
        // What is cached may still be sealed under a key that is retired next.
        state.cache.clear();
    }
}

async fn renew(state: &State) -> Result<(), KeysError> {
    for (account, keys) in &state.accounts {
        for purpose in AccountKeys::PURPOSES {
            let rows = key::list(&state.pool, account, purpose).await?;
            let Some(ring) = keys.ring(purpose) else {
                keys.set_vault(open_vault(&*state.key_provider, &rows).await?);
                continue;
            };
            match ring.renew(&*state.key_provider, &rows).await {
                // A key that others have rotated to while KMS is away, or under another of the customer's that refuses.
                Err(error) if customer_managed(&*state.key_provider, &rows).is_some() => {
                    log_closed(&error, account);
                    keys.set_vault(None);
                }
                renewed => renewed?,
            }
        }
    }
    Ok(())
}

/// When everything was found to be under the primary key.
struct Looked {
    /// The keys of the ring by then.
    ids: Vec<String>,
    /// From when on it is to be looked again.
    again: Option<Timestamp>,
}

/// Ends rotations that were left half-way, and seals values anew, for as long as the role runs.
pub(crate) async fn work(state: State) {
    let mut settled: HashMap<(String, &'static str), Looked> = HashMap::new();
    loop {
        tokio::time::sleep(ROUND).await;
        for (account, keys) in &state.accounts {
            for purpose in AccountKeys::PURPOSES {
                let Some(ring) = keys.ring(purpose) else { continue };
                let ids = ring.ids();
                let place = (account.clone(), purpose.as_str());
                // An older version sealed some under another purpose's key: the first look is for these.
                let older = COLUMNS
                    .iter()
                    .any(|column| column.purpose == purpose && column.before.is_some());
                let looked = settled.get(&place).filter(|looked| looked.ids == ids);
                let done = looked.is_some_and(|looked| looked.again.is_none_or(|at| state.clock.now() < at));
                if (ids.len() < 2 && !older) || done {
                    continue;
                }
                match settle(&state, account, purpose, keys).await {
                    Ok(Settled::No) => {}
                    Ok(Settled::Until(at)) => {
                        let again = Some(at);
                        settled.insert(place, Looked { ids, again });
                    }
                    Ok(Settled::ForGood) => {
                        settled.insert(place, Looked { ids, again: None });
                    }
                    Err(error) => {
                        tracing::warn!(%error, account, "values could not be sealed anew");
                    }
                }
            }
        }
    }
}

/// Whether everything is under the primary key.
enum Settled {
    No,
    /// But for what was sealed before and is written later.
    Until(Timestamp),
    ForGood,
}

async fn settle(
    state: &State,
    account: &str,
    purpose: KeyPurpose,
    keys: &AccountKeys,
) -> Result<Settled, RotationError> {
    let Some(ring) = keys.ring(purpose) else {
        return Ok(Settled::No);
    };
    let rows = key::list(&state.pool, account, purpose).await?;
    let Some(newest) = rows.first() else {
        return Ok(Settled::No);
    };
    let now = state.clock.now();
    if newest.state != KeyState::Primary {
        // Whoever made it was to do this; twice the time, so that they come first.
        if now >= newest.created_at.plus(SETTLE * 2) {
            announce(state, account).await?;
            tokio::time::sleep(SETTLE).await;
            promote(state, newest.clone()).await?;
        }
        return Ok(Settled::No);
    }
    // Until then another replica may still seal under the key before it.
    if ring.primary_id() != newest.id || now < settled_at(newest) {
        return Ok(Settled::No);
    }
    let Some(pass) = reseal::pass(state, account, purpose, keys).await? else {
        return Ok(Settled::No);
    };
    if pass.resealed > 0 || pass.unreadable > 0 {
        announce(state, account).await?;
        record(state, account, newest, pass).await;
    }
    let late = settled_at(newest).plus(LATE);
    Ok(if now < late {
        Settled::Until(late)
    } else {
        Settled::ForGood
    })
}

/// When no replica seals under another key than `primary` any more: it opens first, and seals then.
fn settled_at(primary: &KeyRow) -> Timestamp {
    primary.created_at.plus(SETTLE * 2)
}

async fn record(state: &State, account: &str, primary: &KeyRow, pass: reseal::Pass) {
    let mut entry = Entry::new("ResealValues", Outcome::Done).with_account(account, &*state.config.region);
    let detail = [
        ("purpose", primary.purpose.as_str().into()),
        ("keyId", primary.id.as_str().into()),
        ("values", pass.resealed.into()),
        ("unreadable", pass.unreadable.into()),
    ];
    entry
        .detail
        .extend(detail.map(|(name, value)| (name.to_owned(), value)));
    if let Err(error) = state.recorder.record(entry).await {
        tracing::error!(%error, "values sealed anew could not be recorded");
    }
}
