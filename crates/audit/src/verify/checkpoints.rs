//! The checkpoints in the database, replayed from the first.

use std::collections::{BTreeMap, HashMap};

use countersign_crypto::Timestamp;

use super::evidence::Evidence;
use super::outside::Outside;
use super::records::Scanned;
use super::{Anchor, Faults, LeftBehind, Subject};
use crate::AuditError;
use crate::checkpoint::{Checkpoint, Head, Statement};
use crate::checkpointer::root_of_heads;

/// What a record must be for some statement to be true.
pub(super) struct Expectation {
    /// Who says so.
    pub(super) by: String,
    /// The record's hash, hexadecimal.
    pub(super) hash: String,
    /// The root of the chain's tree at that record, hexadecimal, where it is known.
    pub(super) root: Option<String>,
}

/// Expectations by writer and number.
pub(super) type Expectations = HashMap<String, BTreeMap<i64, Vec<Expectation>>>;

/// What the checkpoints say.
#[derive(Default)]
pub(super) struct History {
    pub(super) count: u64,
    pub(super) expectations: Expectations,
    /// Hashes by number.
    pub(super) hashes: BTreeMap<i64, String>,
    /// As of the newest in the database.
    pub(super) last: Option<Anchored>,
    /// As of the newest that is also outside.
    pub(super) outside: Option<Anchored>,
    /// Lines outside that a restore left behind, by its epoch.
    pub(super) left_behind: BTreeMap<i64, LeftBehind>,
}

/// A checkpoint and the heads it vouches for.
pub(super) struct Anchored {
    number: i64,
    at: i64,
    heads: BTreeMap<String, i64>,
}

impl Anchored {
    pub(super) fn anchor(&self, scanned: &Scanned) -> Anchor {
        let after = scanned.counts.iter().map(|(writer, (last, count))| {
            let head = self.heads.get(writer).copied().unwrap_or(0);
            count.saturating_sub(u64::try_from(head.min(*last)).unwrap_or(0))
        });
        Anchor {
            checkpoint: self.number,
            at: Timestamp::from_micros(self.at).to_rfc3339(),
            records_after: after.sum(),
        }
    }
}

struct Replay<'a> {
    subject: &'a Subject<'a>,
    history: History,
    heads: BTreeMap<String, Head>,
    previous: String,
    epoch: i64,
    /// The number of the first checkpoint of each restore epoch.
    firsts: BTreeMap<i64, i64>,
    newest: Option<Statement>,
}

/// Checks each checkpoint against the one before, the signing keys and the lines outside.
pub(super) async fn replay(
    evidence: &mut impl Evidence,
    subject: &Subject<'_>,
    outside: &Outside,
    faults: &mut Faults,
) -> Result<History, AuditError> {
    let mut replay = Replay {
        subject,
        history: History::default(),
        heads: BTreeMap::new(),
        previous: "0".repeat(64),
        epoch: 0,
        firsts: BTreeMap::new(),
        newest: None,
    };
    let mut expected = 1;
    let mut was_outside = false;
    loop {
        let page = evidence.checkpoints().await?;
        if page.is_empty() {
            break;
        }
        for found in page {
            let number = found.number;
            let place = format!("audit_checkpoint {number}");
            if !found.columns {
                faults.add("audit_checkpoint", "has other columns than the product's");
            }
            if number != expected {
                let missing = format!("audit_checkpoint {expected}");
                faults.add(missing, format!("is missing, up to the one before {number}"));
                replay.previous.clear();
            }
            expected = number.saturating_add(1);
            replay.history.count += 1;
            match found.checkpoint {
                Ok(checkpoint) => {
                    let is_outside = lines_of(outside, number).any(|(_, (_, other))| *other == checkpoint);
                    // The heads are copied only where the lines end, which they mostly do once.
                    if was_outside && !is_outside {
                        replay.history.outside = replay.anchored();
                    }
                    was_outside = is_outside;
                    let verified = replay.check(number, &checkpoint, &place, faults);
                    replay.compare(outside, number, (&checkpoint, verified), &place, faults);
                }
                Err(error) => {
                    faults.add(place, error);
                    replay.previous.clear();
                }
            }
        }
    }
    if was_outside {
        replay.history.outside = replay.anchored();
    }
    for (&(number, epoch), (line, checkpoint)) in outside {
        if replay.history.hashes.contains_key(&number) {
            continue;
        }
        if let Err(unknown) = replay.leave_behind(number, epoch, checkpoint) {
            faults.add(
                format!("audit_checkpoint {number}"),
                format!("is in the checkpoint file (line {line}) and not in the database: the database was rolled back to an older copy, or truncated{unknown}"),
            );
        }
    }
    replay.history.last = replay.anchored();
    if let Some(newest) = replay.newest.take() {
        replay.compare_root(&newest, &format!("audit_checkpoint {}", newest.number), faults);
    }
    Ok(replay.history)
}

impl Replay<'_> {
    /// By the newest checkpoint so far that verified.
    fn anchored(&self) -> Option<Anchored> {
        let heads = self
            .heads
            .iter()
            .map(|(writer, head)| (writer.clone(), head.seq))
            .collect();
        self.newest.as_ref().map(|newest| Anchored {
            number: newest.number,
            at: newest.at,
            heads,
        })
    }

    /// The restore epoch that it states, if its signature verifies.
    fn check(
        &mut self,
        number: i64,
        checkpoint: &Checkpoint,
        place: &str,
        faults: &mut Faults,
    ) -> Option<i64> {
        let hash = checkpoint.hash();
        let previous = std::mem::replace(&mut self.previous, hash.clone());
        self.history.hashes.insert(number, hash);
        let statement = match checkpoint.verify(self.subject.keys) {
            Ok(statement) => statement,
            Err(error) => {
                faults.add(place, error.to_string());
                return None;
            }
        };
        for (wrong, what) in [
            (
                statement.number != number,
                "holds the statement of another number",
            ),
            (
                statement.database != self.subject.database.id,
                "belongs to another database",
            ),
            (statement.role != self.subject.role, "belongs to another role"),
            (
                !previous.is_empty() && statement.previous != previous,
                "does not follow the checkpoint before it",
            ),
            (
                statement.restore_epoch < self.epoch
                    || statement.restore_epoch > self.subject.database.restore_epoch,
                "is of another restore epoch",
            ),
        ] {
            if wrong {
                faults.add(place, what);
            }
        }
        let epoch = statement.restore_epoch;
        self.epoch = epoch;
        self.firsts.entry(epoch).or_insert(number);
        self.take(&statement, place, faults);
        self.newest = Some(statement);
        Some(epoch)
    }

    /// Against the lines outside that have the same number.
    fn compare(
        &mut self,
        outside: &Outside,
        number: i64,
        (checkpoint, verified): (&Checkpoint, Option<i64>),
        place: &str,
        faults: &mut Faults,
    ) {
        for (&(_, epoch), (line, other)) in lines_of(outside, number) {
            // Of another life before this one: the number came again. What does not verify has no life.
            let before = verified.is_some_and(|verified| epoch < verified);
            if other == checkpoint {
                continue;
            }
            let left = if before {
                self.leave_behind(number, epoch, other)
            } else {
                Err(String::new())
            };
            if let Err(unknown) = left {
                faults.add(
                    place,
                    format!(
                        "differs from line {line} of the checkpoint file: the history was rolled back and forked{unknown}"
                    ),
                );
            }
        }
    }

    /// Whether a later life began at or before this number, so that a restore explains that a line of `epoch` is not in
    /// the database, and the operator knows of that restore; if not, what more there is to say. What came before that life
    /// must be there.
    fn leave_behind(&mut self, number: i64, epoch: i64, checkpoint: &Checkpoint) -> Result<(), String> {
        let mut later = self.firsts.range(epoch.saturating_add(1)..);
        let Some((&restore, _)) = later.find(|(_, first)| **first <= number) else {
            return Err(String::new());
        };
        if restore > self.subject.restored {
            return Err(format!(
                ", by restore {restore} of which nobody has said that it was meant (--restored {restore})"
            ));
        }
        let at = checkpoint.read().map_or(0, |statement| statement.at);
        let left = self.history.left_behind.entry(restore);
        left.or_insert_with(|| LeftBehind::before(restore)).add(at);
        Ok(())
    }

    fn take(&mut self, statement: &Statement, place: &str, faults: &mut Faults) {
        for head in &statement.heads {
            let known = self.heads.insert(head.writer.clone(), head.clone());
            if known.as_ref().is_some_and(|known| known.seq > head.seq) {
                faults.add(place, format!("sets the head of writer {} back", head.writer));
            }
            if known.is_some_and(|known| known == *head) {
                continue;
            }
            let expectation = Expectation {
                by: place.replace("audit_checkpoint", "checkpoint"),
                hash: head.hash.clone(),
                root: Some(head.root.clone()),
            };
            let writer = self.history.expectations.entry(head.writer.clone()).or_default();
            writer.entry(head.seq).or_default().push(expectation);
        }
        // The tree over all heads costs time in their number: looked at where all are listed, and in the end.
        if statement.complete {
            self.compare_root(statement, place, faults);
        }
    }

    fn compare_root(&self, statement: &Statement, place: &str, faults: &mut Faults) {
        if root_of_heads(&self.heads) != (statement.writers, statement.root.clone()) {
            faults.add(place, "has a tree of heads other than the heads give");
        }
    }
}

/// The lines outside that have a number, one a life.
fn lines_of(
    outside: &Outside,
    number: i64,
) -> std::collections::btree_map::Range<'_, (i64, i64), (usize, Checkpoint)> {
    outside.range((number, i64::MIN)..=(number, i64::MAX))
}
