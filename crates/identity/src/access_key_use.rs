//! When access keys were last used, to about a minute: noted in memory, written by the way. What a replica noted and did
//! not write before it was killed is lost; a key that is in use is noted again within a minute.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use countersign_crypto::Timestamp;
use countersign_db::DbError;

use crate::state::State;
use crate::store::access_key;

/// How often notes are written, and so how far what `GetAccessKey` says is behind.
const INTERVAL: Duration = Duration::from_mins(1);

/// What this replica has seen of access keys. Only keys that exist are noted, so that strangers fill nothing.
#[derive(Debug, Default)]
pub(crate) struct AccessKeyUses(Mutex<Uses>);

#[derive(Debug, Default)]
struct Uses {
    /// By access key id.
    unwritten: HashMap<String, Timestamp>,
    written: HashSet<String>,
}

impl AccessKeyUses {
    /// Notes a verified signature of the key.
    pub(crate) fn note(&self, id: &str, now: Timestamp) {
        let unwritten = &mut self.uses().unwritten;
        match unwritten.get_mut(id) {
            Some(last) => *last = (*last).max(now),
            None => drop(unwritten.insert(id.to_owned(), now)),
        }
    }

    /// Whether a signature of the key was ever verified here, whatever has become of it since.
    pub(crate) fn has_seen(&self, id: &str) -> bool {
        let uses = self.uses();
        uses.unwritten.contains_key(id) || uses.written.contains(id)
    }

    fn take(&self) -> HashMap<String, Timestamp> {
        let mut uses = self.uses();
        let unwritten = std::mem::take(&mut uses.unwritten);
        uses.written.extend(unwritten.keys().cloned());
        unwritten
    }

    fn uses(&self) -> MutexGuard<'_, Uses> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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
