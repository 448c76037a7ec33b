//! When access keys were last used, to about a minute: noted in memory, written by the way. What a replica noted and did
//! not write before it was killed is lost; a key that is in use is noted again within a minute.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use countersign_crypto::Timestamp;
use countersign_db::DbError;

use crate::state::State;
use crate::store::access_key;

/// How often notes are written, and so how far what `GetAccessKey` says is behind.
const INTERVAL: Duration = Duration::from_mins(1);

/// Uses that are not yet written, by access key id. Only keys that exist are noted, so that strangers fill nothing.
#[derive(Debug, Default)]
pub(crate) struct AccessKeyUses(Mutex<HashMap<String, Timestamp>>);

impl AccessKeyUses {
    /// Notes a verified signature of the key.
    pub(crate) fn note(&self, id: &str, now: Timestamp) {
        let mut noted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match noted.get_mut(id) {
            Some(last) => *last = (*last).max(now),
            None => drop(noted.insert(id.to_owned(), now)),
        }
    }

    fn take(&self) -> HashMap<String, Timestamp> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Writes what was noted since it was last called.
pub(crate) async fn write(state: &State) -> Result<(), DbError> {
    for (id, at) in state.access_key_uses.take() {
        access_key::set_last_used(&state.pool, &id, at).await?;
    }
    Ok(())
}

/// Writes at every [`INTERVAL`], for ever.
pub(crate) async fn work(state: State) {
    loop {
        tokio::time::sleep(INTERVAL).await;
        if let Err(error) = write(&state).await {
            tracing::warn!(%error, "the last uses of access keys could not be written");
        }
    }
}
