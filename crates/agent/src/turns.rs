//! Which turn is under way in each conversation on this replica. A person's new message replaces the turn
//! that still waits; the two never run at once. Across replicas the conversation's turn number decides, when
//! the replaced turn comes to write.

use std::collections::HashMap;
use std::collections::hash_map::Entry as Slot;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use countersign_crypto::UserKey;
use tokio::sync::watch;

use crate::session_id::SessionId;
use crate::turn_log::TurnLog;

/// Conversations in which one person may have a turn under way.
const MOST_PER_PERSON: usize = 8;
/// Time a replaced turn gets to finish the call it is in, longer than any tool may take. It begins no further one.
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
    log: Arc<TurnLog>,
    end: watch::Sender<Option<Ended>>,
    finished: watch::Receiver<()>,
}

/// Why a turn must not go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// A newer message of the person took its place.
    Replaced,
    /// The person pressed stop.
    Stopped,
}

/// The turn under way in a conversation, until dropped.
#[derive(Debug)]
pub(crate) struct RunningTurn {
    turns: Arc<Turns>,
    key: Key,
    number: u64,
    end: watch::Receiver<Option<Ended>>,
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
    pub(crate) fn begin(
        self: &Arc<Self>,
        person: UserKey,
        id: SessionId,
        log: Arc<TurnLog>,
    ) -> Result<RunningTurn, TooManyTurns> {
        let key = (person, id);
        let mut table = self.table();
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
        let (end, when_ended) = watch::channel(None);
        let (finished, when_finished) = watch::channel(());
        let current = Current {
            number,
            log,
            end,
            finished: when_finished,
        };
        let predecessor = table.current.insert(key.clone(), current).map(|old| {
            old.end.send_replace(Some(Ended::Replaced));
            old.finished
        });
        Ok(RunningTurn {
            turns: Arc::clone(self),
            key,
            number,
            end: when_ended,
            predecessor,
            _finished: finished,
        })
    }

    /// The log of the turn under way in the person's conversation.
    pub(crate) fn under_way(&self, person: UserKey, id: &SessionId) -> Option<Arc<TurnLog>> {
        let table = self.table();
        let current = table.current.get(&(person, id.clone()))?;
        Some(Arc::clone(&current.log))
    }

    /// Ends the turn under way in the person's conversation; whether there was one.
    pub(crate) fn stop(&self, person: UserKey, id: &SessionId) -> bool {
        let table = self.table();
        let current = table.current.get(&(person, id.clone()));
        current
            .inspect(|current| {
                current.end.send_replace(Some(Ended::Stopped));
            })
            .is_some()
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl RunningTurn {
    /// Waits until the turn that this one replaces has finished the call it is in.
    pub(crate) async fn predecessor(&mut self) {
        if let Some(mut predecessor) = self.predecessor.take() {
            // One that hangs never ends by itself. It cannot write any more: the conversation's turn number is
            // past it.
            let _ = tokio::time::timeout(GRACE, predecessor.changed()).await;
        }
    }

    /// Why the turn must not go on, if so.
    pub(crate) fn has_ended(&self) -> Option<Ended> {
        *self.end.borrow()
    }

    /// Resolves once the turn must not go on.
    pub(crate) async fn ended(&self) -> Ended {
        let mut end = self.end.clone();
        // The sender goes only when the slot is taken over, which sends first, or emptied by our own drop.
        end.wait_for(Option::is_some)
            .await
            .ok()
            .and_then(|ended| *ended)
            .unwrap_or(Ended::Replaced)
    }
}

impl Drop for RunningTurn {
    fn drop(&mut self) {
        let mut table = self.turns.table();
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

    fn begin(turns: &Arc<Turns>, name: &str, conversation: &str) -> Result<RunningTurn, TooManyTurns> {
        turns.begin(key(name), id(conversation), TurnLog::new().0)
    }

    #[tokio::test]
    async fn a_new_turn_replaces_the_old_and_waits_for_its_end() {
        let turns = Arc::new(Turns::default());
        let first = begin(&turns, "alice", "c").expect("room");
        assert!(first.ended().now_or_never().is_none());
        let mut second = begin(&turns, "alice", "c").expect("room");
        assert_eq!(first.ended().await, Ended::Replaced);
        assert!(second.predecessor().now_or_never().is_none());
        // The wait was given up above; it is taken again by a third.
        let mut third = begin(&turns, "alice", "c").expect("room");
        drop(first);
        drop(second);
        third.predecessor().await;
        assert!(third.ended().now_or_never().is_none());
        drop(third);
        assert!(turns.0.lock().expect("sound").current.is_empty());
    }

    #[tokio::test]
    async fn turns_of_others_are_left_alone_and_one_person_has_a_limit() {
        let turns = Arc::new(Turns::default());
        let bob = begin(&turns, "bob", "c0").expect("room");
        let running: Vec<_> = (0..MOST_PER_PERSON)
            .map(|number| begin(&turns, "alice", &format!("c{number}")).expect("room"))
            .collect();
        assert!(begin(&turns, "alice", "more").is_err());
        assert!(bob.ended().now_or_never().is_none());
        assert!(
            begin(&turns, "alice", "c0").is_ok(),
            "replacing one's own is no further turn"
        );
        drop(running);
    }

    #[tokio::test]
    async fn a_person_stops_their_own_turn_and_no_other() {
        let turns = Arc::new(Turns::default());
        let turn = begin(&turns, "alice", "c").expect("room");
        assert!(!turns.stop(key("mallory"), &id("c")));
        assert!(turns.under_way(key("mallory"), &id("c")).is_none());
        assert!(turn.ended().now_or_never().is_none());
        assert!(turns.under_way(key("alice"), &id("c")).is_some());
        assert!(turns.stop(key("alice"), &id("c")));
        assert_eq!(turn.ended().await, Ended::Stopped);
    }
}
