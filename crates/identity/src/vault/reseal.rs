//! Sealing anew: after a rotation every stored value of the account is opened once and sealed under the new primary key,
//! in the background, page by page, while everybody goes on (design D27).
//!
//! A value that changes in between is left to whoever changed it: it is under the new key already. Ended at any moment,
//! the pass begins anew and finds only what is left. A value that does not open is left as it is, and keeps its key
//! from being retired.

use std::time::Duration;

use countersign_crypto::{ExposeSecret as _, KeyPurpose, Keyring, token};
use countersign_db::{DbError, Fence, claim_lease, release_lease, renew_lease};

use crate::keys::AccountKeys;
use crate::state::State;
use crate::store::sealed::{COLUMNS, SealedColumn};

/// Values of one transaction: few, so that nobody waits for their rows.
const PAGE: i64 = 100;
const LEASE: Duration = Duration::from_mins(1);

/// What a pass came to.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Pass {
    /// Values that are under the primary key now.
    pub(crate) resealed: u64,
    /// Values that do not open under any key of the account.
    pub(crate) unreadable: u64,
}

/// Seals anew what is not under the primary key of `purpose`; one replica at a time. `None`: another one is at it.
pub(crate) async fn pass(
    state: &State,
    account: &str,
    purpose: KeyPurpose,
    keys: &AccountKeys,
) -> Result<Option<Pass>, DbError> {
    let Some(keyring) = keys.ring(purpose) else {
        return Ok(None);
    };
    let lease = format!("reseal {account} {}", purpose.as_str());
    let ttl = i64::try_from(LEASE.as_micros()).unwrap_or(i64::MAX);
    let now = state.clock.now().as_micros();
    let holder = token(&*state.random);
    let Some(fence) = claim_lease(&state.pool, &lease, &holder, now, ttl).await? else {
        return Ok(None);
    };
    let mut pass = Pass::default();
    for column in COLUMNS.iter().filter(|column| column.purpose == purpose) {
        let under = (column, keys, &*keyring);
        if !reseal_column(state, account, under, (&lease, fence, ttl), &mut pass).await? {
            return Ok(None);
        }
    }
    release_lease(&state.pool, &lease, fence).await?;
    Ok(Some(pass))
}

/// `false`: the lease is lost.
async fn reseal_column(
    state: &State,
    account: &str,
    (column, keys, keyring): (&SealedColumn, &AccountKeys, &Keyring),
    (lease, fence, ttl): (&str, Fence, i64),
    pass: &mut Pass,
) -> Result<bool, DbError> {
    let Some(prefix) = Keyring::sealed_prefix(&keyring.primary_id()) else {
        return Ok(true);
    };
    let mut after = String::new();
    loop {
        let page = column
            .list_not_under(&state.pool, account, &prefix, &after, PAGE)
            .await?;
        let Some((last, _)) = page.last() else {
            return Ok(true);
        };
        after.clone_from(last);
        let mut tx = state.pool.begin().await?;
        for (id, old) in &page {
            let place = column.place(account, id);
            let Ok(plaintext) = keys.open(column, &place, old) else {
                tracing::error!(
                    table = column.table,
                    column = column.column,
                    id,
                    "a stored value does not open and is not sealed anew"
                );
                pass.unreadable += 1;
                continue;
            };
            let new = keyring.seal(&*state.random, &place, plaintext.expose_secret());
            if column.replace(&mut tx, id, old, new.as_bytes()).await? {
                pass.resealed += 1;
            }
        }
        tx.commit().await?;
        let now = state.clock.now().as_micros();
        if !renew_lease(&state.pool, lease, fence, now, ttl).await? {
            return Ok(false);
        }
    }
}
