//! The records, in chain order.

use std::collections::{BTreeMap, HashMap};

use countersign_crypto::chain::GENESIS;
use countersign_crypto::merkle::TreeFrontier;
use serde::Deserialize;

use super::checkpoints::{Expectation, Expectations, History};
use super::evidence::{Evidence, FoundRecord};
use super::{Faults, Progress};
use crate::AuditError;
use crate::record::{Record, RecordId};

/// What was found.
#[derive(Default)]
pub(super) struct Scanned {
    pub(super) writers: u64,
    pub(super) records: u64,
    /// Last number and count of each writer's records.
    pub(super) counts: HashMap<String, (i64, u64)>,
}

/// What a writer's first record says about the others.
#[derive(Deserialize)]
struct Claims {
    checkpoint: Option<ClaimedCheckpoint>,
    heads: Vec<ClaimedHead>,
}

#[derive(Deserialize)]
struct ClaimedCheckpoint {
    number: i64,
    hash: String,
}

#[derive(Deserialize)]
struct ClaimedHead {
    writer: String,
    seq: i64,
    hash: String,
}

/// Reads the first record of every chain: each names the checkpoint and heads that it found.
pub(super) async fn opening_claims(
    evidence: &mut impl Evidence,
    history: &History,
    faults: &mut Faults,
) -> Result<Expectations, AuditError> {
    let mut expectations = Expectations::new();
    loop {
        let page = evidence.first_records().await?;
        if page.is_empty() {
            return Ok(expectations);
        }
        for found in page {
            // An unreadable record is reported by the scan.
            let Ok(record) = found.record else { continue };
            let place = format!("audit_record {}", record.id);
            let Ok(claims) = serde_json::from_str::<Claims>(&record.stored.detail) else {
                faults.add(place, "does not name the heads that its writer found");
                continue;
            };
            if let Some(claimed) = claims.checkpoint
                && history.hashes.get(&claimed.number) != Some(&claimed.hash)
            {
                let number = claimed.number;
                faults.add(
                    format!("audit_checkpoint {number}"),
                    format!("is missing or not the one that record {} found", record.id),
                );
            }
            for head in claims.heads {
                let expectation = Expectation {
                    by: format!("record {}", record.id),
                    hash: head.hash,
                    root: None,
                };
                let writer = expectations.entry(head.writer).or_default();
                writer.entry(head.seq).or_default().push(expectation);
            }
        }
    }
}

/// Reads every record, recomputing hashes and trees and comparing them with what others said of them.
pub(super) async fn scan(
    evidence: &mut impl Evidence,
    role: &str,
    history: &History,
    claims: Expectations,
    faults: &mut Faults,
    progress: Progress<'_>,
) -> Result<Scanned, AuditError> {
    let mut scanned = Scanned::default();
    let mut chain: Option<Chain> = None;
    let mut last: Option<RecordId> = None;
    loop {
        let page = match evidence.records().await? {
            Ok(page) if page.is_empty() => break,
            Ok(page) => page,
            Err(what) => {
                let last = last.map_or_else(|| "the beginning".to_owned(), |last| last.to_string());
                faults.add(format!("audit_record after {last}"), what);
                return Ok(scanned);
            }
        };
        for found in page {
            if chain.as_ref().is_none_or(|chain| chain.writer != found.id.writer) {
                if let Some(ended) = chain.take() {
                    ended.end(&mut scanned, faults);
                }
                chain = Some(Chain::begin(&found.id.writer, history, &claims));
            }
            scanned.records += 1;
            last = Some(found.id.clone());
            if let Some(chain) = &mut chain {
                chain.follow(found, role, faults);
            }
        }
        progress(scanned.records);
    }
    if let Some(ended) = chain.take() {
        ended.end(&mut scanned, faults);
    }
    report_lost_writers(history, &claims, &scanned, faults);
    Ok(scanned)
}

/// Writers that somebody vouches for and of whom not one record is left.
fn report_lost_writers(history: &History, claims: &Expectations, scanned: &Scanned, faults: &mut Faults) {
    let mut lost: BTreeMap<&String, &str> = BTreeMap::new();
    for (writer, numbers) in history.expectations.iter().chain(claims) {
        if !scanned.counts.contains_key(writer)
            && let Some(expectation) = numbers.values().flatten().next()
        {
            lost.entry(writer).or_insert(&expectation.by);
        }
    }
    for (writer, by) in lost {
        faults.add(
            format!("audit_record {writer}-1"),
            format!("is missing with all of its writer, whom {by} names"),
        );
    }
}

/// One writer's chain while it is read.
struct Chain<'a> {
    writer: String,
    count: u64,
    last: i64,
    hash: [u8; 32],
    tree: TreeFrontier,
    /// A fault was found: later roots differ because of it and say nothing new.
    broken: bool,
    expected: Vec<&'a BTreeMap<i64, Vec<Expectation>>>,
}

impl<'a> Chain<'a> {
    fn begin(writer: &str, history: &'a History, claims: &'a Expectations) -> Self {
        let expected = [history.expectations.get(writer), claims.get(writer)];
        Self {
            writer: writer.to_owned(),
            count: 0,
            last: 0,
            hash: GENESIS,
            tree: TreeFrontier::new(),
            broken: false,
            expected: expected.into_iter().flatten().collect(),
        }
    }

    fn follow(&mut self, found: FoundRecord, role: &str, faults: &mut Faults) {
        let id = &found.id;
        let place = format!("audit_record {id}");
        let mut add = |what: String| {
            self.broken = true;
            faults.add(place.clone(), what);
        };
        if !found.columns {
            add("has other columns than the product's".to_owned());
        }
        self.count += 1;
        if id.seq < 1 {
            add("is numbered below 1".to_owned());
            return;
        }
        let in_place = id.seq == self.last + 1;
        if !in_place {
            let missing = RecordId {
                writer: self.writer.clone(),
                seq: self.last + 1,
            };
            self.broken = true;
            faults.add(
                format!("audit_record {missing}"),
                format!("is missing, up to the one before {id}"),
            );
        }
        self.last = id.seq;
        match found.record {
            Ok(record) => {
                self.check(&record, in_place, role, &place, faults);
                self.hash = record.hash;
            }
            Err(error) => {
                self.broken = true;
                faults.add(place.clone(), error);
                if let Some(hash) = found.hash {
                    self.hash = hash;
                }
            }
        }
        self.tree.push(&self.hash);
        self.compare(id.seq, &place, faults);
    }

    fn check(&mut self, record: &Record, in_place: bool, role: &str, place: &str, faults: &mut Faults) {
        let first = record.id.seq == 1;
        for (wrong, what) in [
            (
                record.expected_hash() != record.hash,
                "does not have the hash of its content",
            ),
            (
                in_place && record.previous != self.hash,
                "does not follow the record before it",
            ),
            (record.role != role, "belongs to another role"),
            (
                first != (record.action == "OpenAuditWriter"),
                "opens a writer out of place, or does not",
            ),
        ] {
            if wrong {
                self.broken = true;
                faults.add(place, what);
            }
        }
    }

    fn compare(&mut self, seq: i64, place: &str, faults: &mut Faults) {
        let hash = hex::encode(self.hash);
        let expectations = self
            .expected
            .iter()
            .filter_map(|numbers| numbers.get(&seq))
            .flatten();
        for expectation in expectations {
            let by = &expectation.by;
            if expectation.hash != hash {
                self.broken = true;
                faults.add(place, format!("is not the record that {by} names"));
            } else if let Some(root) = &expectation.root
                && !self.broken
                && *root != hex::encode(self.tree.root())
            {
                self.broken = true;
                faults.add(
                    place,
                    format!("ends a chain whose tree is not the one that {by} names"),
                );
            }
        }
    }

    /// Whoever vouches for later records vouches for lost ones.
    fn end(self, scanned: &mut Scanned, faults: &mut Faults) {
        let beyond = self
            .expected
            .iter()
            .filter_map(|numbers| numbers.last_key_value());
        if let Some((seq, by)) = beyond
            .filter(|(seq, _)| **seq > self.last)
            .max_by_key(|(seq, _)| **seq)
            .map(|(seq, by)| (*seq, by))
        {
            let missing = RecordId {
                writer: self.writer.clone(),
                seq: self.last + 1,
            };
            let by = by.first().map_or("a checkpoint", |expectation| &expectation.by);
            let what = format!("is missing, and all after it up to {seq}, which {by} names");
            faults.add(format!("audit_record {missing}"), what);
        }
        scanned.writers += 1;
        scanned.counts.insert(self.writer, (self.last, self.count));
    }
}
