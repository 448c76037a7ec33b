//! Which turn is under way in each conversation on this replica. A person's new message replaces the turn
//! that still waits; the two never run at once. Across replicas the conversation's turn number decides, when
//! the replaced turn comes to write.

use std::collections::HashMap;
use std::collections::hash_map::Entry as Slot;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use countersign_crypto::UserKey;
use tokio::sync::watch;

use crate::session_id::SessionId;

/// Conversations in which one person may have a turn under way.
const MOST_PER_PERSON: usize = 8;
/// Time a replaced turn gets to finish the call it is in, longer than any tool may take.
const GRACE: Duration = Duration::from_secs(15);

type Key = (UserKey, SessionId);

/// The turns under way.
#[derive(Debug, Default)]
pub(crate) struct Turns(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    last: u64,
    current: HashMap<Key, Current>,
}

#[derive(Debug)]
struct Current {
    number: u64,
    /// Dropping it tells the turn that it is replaced.
    _replace: watch::Sender<()>,
    finished: watch::Receiver<()>,
}

/// A turn's place in its conversation, left when dropped.
#[derive(Debug)]
pub(crate) struct Place {
    turns: Arc<Turns>,
    key: Key,
    number: u64,
    replaced: watch::Receiver<()>,
    predecessor: Option<watch::Receiver<()>>,
    /// Dropping it lets the successor begin.
    _finished: watch::Sender<()>,
}

/// The person has as many turns under way as one may have.
#[derive(Debug, thiserror::Error)]
#[error("too many turns under way")]
pub(crate) struct TooManyTurns;

impl Turns {
    /// Takes the conversation's place from whichever turn has it.
    pub(crate) fn begin(self: &Arc<Self>, person: UserKey, id: SessionId) -> Result<Place, TooManyTurns> {
        let key = (person, id);
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let others = table
            .current
            .keys()
            .filter(|other| other.0 == key.0 && **other != key)
            .count();
        if others >= MOST_PER_PERSON {
            return Err(TooManyTurns);
        }
        table.last += 1;
        let number = table.last;
        let (replace, replaced) = watch::channel(());
        let (finished, when_finished) = watch::channel(());
        let current = Current {
            number,
            _replace: replace,
            finished: when_finished,
        };
        let predecessor = table.current.insert(key.clone(), current).map(|old| old.finished);
        Ok(Place {
            turns: Arc::clone(self),
            key,
            number,
            replaced,
            predecessor,
            _finished: finished,
        })
    }
}

impl Place {
    /// Waits until the turn that this one replaces has finished the call it is in.
    pub(crate) async fn predecessor(&mut self) {
        if let Some(mut predecessor) = self.predecessor.take() {
            // A predecessor whose reader has stalled never ends by itself. It cannot write any more: the
            // conversation's turn number is past it.
            let _ = tokio::time::timeout(GRACE, predecessor.changed()).await;
        }
    }

    /// Resolves once a newer message has taken this place.
    pub(crate) async fn replaced(&self) {
        // Nothing is ever sent: the channel only closes.
        let _ = self.replaced.clone().changed().await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut table = self.turns.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Slot::Occupied(slot) = table.current.entry(self.key.clone())
            && slot.get().number == self.number
        {
            slot.remove();
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    fn key(name: &str) -> UserKey {
        UserKey::jwt("https://idp.example", name)
    }

    fn id(text: &str) -> SessionId {
        text.parse().expect("an id")
    }

    #[tokio::test]
    async fn a_new_turn_replaces_the_old_and_waits_for_its_end() {
        let turns = Arc::new(Turns::default());
        let first = turns.begin(key("alice"), id("c")).expect("room");
        assert!(first.replaced().now_or_never().is_none());
        let mut second = turns.begin(key("alice"), id("c")).expect("room");
        first.replaced().await;
        assert!(second.predecessor().now_or_never().is_none());
        // The wait was given up above; it is taken again by a third.
        let mut third = turns.begin(key("alice"), id("c")).expect("room");
        drop(first);
        drop(second);
        third.predecessor().await;
        assert!(third.replaced().now_or_never().is_none());
        drop(third);
        assert!(turns.0.lock().expect("sound").current.is_empty());
    }

    #[tokio::test]
    async fn turns_of_others_are_left_alone_and_one_person_has_a_limit() {
        let turns = Arc::new(Turns::default());
        let bob = turns.begin(key("bob"), id("c0")).expect("room");
        let places: Vec<_> = (0..MOST_PER_PERSON)
            .map(|number| {
                turns
                    .begin(key("alice"), id(&format!("c{number}")))
                    .expect("room")
            })
            .collect();
        assert!(turns.begin(key("alice"), id("more")).is_err());
        assert!(bob.replaced().now_or_never().is_none());
        assert!(
            turns.begin(key("alice"), id("c0")).is_ok(),
            "replacing one's own is no further turn"
        );
        drop(places);
    }
}
