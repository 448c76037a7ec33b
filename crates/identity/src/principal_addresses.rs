//! From where principals call. The first call from an address that a principal was not seen at before is recorded, and
//! counted for an alert: a stolen access key shows first by this.
//!
//! What is known is in memory for as long as the process lives; the store is asked once for each principal and address.
//! Nobody waits for it.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, PoisonError, RwLock};
use std::time::Duration;

use countersign_audit::{Entry, Outcome};
use countersign_crypto::Timestamp;
use countersign_db::DbError;

use crate::operation::Caller;
use crate::state::State;
use crate::store::principal_address;

/// The counter of first calls from further addresses.
pub(crate) const METRIC: &str = "countersign_identity_new_principal_addresses_total";
/// Principals and addresses in memory; beyond it all are looked up again.
const REMEMBERED: usize = 20_000;
/// How often it is written who was seen again.
const INTERVAL: Duration = Duration::from_mins(1);
/// After this time without a call an address counts as new.
const KEPT: Duration = Duration::from_hours(24 * 90);

/// When each address was last noted, microseconds since the epoch.
type Seen = HashMap<IpAddr, AtomicI64>;

/// What is known.
#[derive(Debug, Default)]
pub(crate) struct PrincipalAddresses {
    /// By account and principal.
    known: RwLock<HashMap<String, HashMap<String, Seen>>>,
    /// Seen again since it was last written.
    again: Mutex<HashMap<(String, String, IpAddr), Timestamp>>,
}

/// What memory has of a principal at an address.
enum Known {
    Yes,
    /// It is a minute since it was noted.
    Again,
    No,
}

impl PrincipalAddresses {
    fn look(&self, account: &str, principal: &str, address: IpAddr, now: Timestamp) -> Known {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let of_account = known.get(account);
        let seen = of_account.and_then(|of_account| of_account.get(principal));
        let Some(noted) = seen.and_then(|seen| seen.get(&address)) else {
            return Known::No;
        };
        if now.since(Timestamp::from_micros(noted.load(Ordering::Relaxed))) < INTERVAL {
            return Known::Yes;
        }
        noted.store(now.as_micros(), Ordering::Relaxed);
        Known::Again
    }

    fn remember(&self, account: &str, principal: &str, address: IpAddr, now: Timestamp) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let count: usize = known.values().flat_map(HashMap::values).map(HashMap::len).sum();
        if count >= REMEMBERED {
            known.clear();
        }
        let of_account = known.entry(account.to_owned()).or_default();
        let seen = of_account.entry(principal.to_owned()).or_default();
        seen.insert(address, AtomicI64::new(now.as_micros()));
    }

    fn seen_again(&self) -> std::sync::MutexGuard<'_, HashMap<(String, String, IpAddr), Timestamp>> {
        self.again.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// IPv6 hosts change the rest of their addresses by themselves (RFC 8981).
fn place(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from(u128::from(address) & !u128::from(u64::MAX))),
    }
}

/// Notes an authenticated call.
pub(crate) fn note(state: &State, caller: &Caller, address: Option<IpAddr>, now: Timestamp) {
    let Some(address) = address.map(place) else { return };
    let (account, principal) = (caller.account.as_str(), caller.principal.name.as_str());
    match state.principal_addresses.look(account, principal, address, now) {
        Known::Yes => return,
        Known::Again => {
            let key = (account.to_owned(), principal.to_owned(), address);
            state.principal_addresses.seen_again().insert(key, now);
            return;
        }
        Known::No => state
            .principal_addresses
            .remember(account, principal, address, now),
    }
    let (state, caller) = (state.clone(), caller.clone());
    tokio::spawn(async move {
        if let Err(error) = first_seen(&state, &caller, address, now).await {
            tracing::warn!(%error, principal.name = caller.principal.name, "where a principal called from was not stored");
        }
    });
}

async fn first_seen(state: &State, caller: &Caller, address: IpAddr, now: Timestamp) -> Result<(), DbError> {
    let (account, principal) = (caller.account.as_str(), caller.principal.name.as_str());
    let text = address.to_string();
    if !principal_address::insert(&state.pool, account, principal, &text, now).await? {
        principal_address::set_last_seen(&state.pool, account, principal, &text, now).await?;
        return Ok(());
    }
    let others = principal_address::count(&state.pool, account, principal).await? - 1;
    if others > 0 {
        metrics::counter!(METRIC).increment(1);
    }
    let mut entry = Entry::new("NewPrincipalAddress", Outcome::Done)
        .with_account(account, &*state.config.region)
        .with_principal(caller.arn.to_string())
        .with_request_id(caller.request_id.as_str())
        .with_source(text);
    entry.detail.insert("otherAddresses".to_owned(), others.into());
    if let Err(error) = state.recorder.record(entry).await {
        tracing::error!(%error, "a principal's first call from an address could not be recorded");
    }
    Ok(())
}

/// Writes who was seen again, and forgets the long unseen, for ever.
pub(crate) async fn work(state: State) {
    metrics::counter!(METRIC).increment(0);
    loop {
        tokio::time::sleep(INTERVAL).await;
        if let Err(error) = write(&state).await {
            tracing::warn!(%error, "where principals called from could not be stored");
        }
    }
}

async fn write(state: &State) -> Result<(), DbError> {
    let again = std::mem::take(&mut *state.principal_addresses.seen_again());
    for ((account, principal, address), at) in again {
        principal_address::set_last_seen(&state.pool, &account, &principal, &address.to_string(), at).await?;
    }
    principal_address::purge(&state.pool, state.clock.now().minus(KEPT)).await?;
    Ok(())
}
