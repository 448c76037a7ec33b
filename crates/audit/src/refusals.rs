//! Refusals of strangers, counted so that they cannot fill the disk (design D15).

use std::collections::HashMap;
use std::net::IpAddr;

use countersign_crypto::Timestamp;

use crate::{Entry, Outcome};

/// Records of one source, reason and minute; the rest is counted.
const RECORDED: u32 = 10;
/// Sources and reasons told apart in one minute; the rest is counted together.
const TOLD_APART: usize = 1000;
const OTHERS: &str = "others";

/// Source and reason.
type Key = (String, &'static str);

/// The counts of the minute under way.
#[derive(Debug, Default)]
pub(crate) struct Refusals {
    minute: i64,
    counts: HashMap<Key, Count>,
}

#[derive(Debug)]
struct Count {
    /// In the minute under way.
    seen: u32,
    /// What the summary repeats of the entries that were not recorded.
    suppressed: u32,
    /// The first minute of these.
    since: i64,
    action: &'static str,
    account: String,
    region: String,
}

/// What is told of one source and reason when the minute is over.
#[derive(Debug)]
pub(crate) struct Summary {
    key: Key,
    count: Count,
}

impl Summary {
    pub(crate) fn entry(&self) -> Entry {
        let (source, reason) = &self.key;
        let minute = Timestamp::from_secs(self.count.since.saturating_mul(60));
        Entry::new("SummarizeRefusals", Outcome::Refused)
            .with_account(&*self.count.account, &*self.count.region)
            .with_reason(reason)
            .with_source(&**source)
            .with_detail("count", self.count.suppressed)
            .with_detail("minute", minute.to_rfc3339())
            .with_detail("firstAction", self.count.action)
    }

    /// How many refusals it stands for.
    pub(crate) fn refusals(&self) -> u64 {
        u64::from(self.count.suppressed)
    }
}

impl Refusals {
    /// Counts a refusal: whether it is to be recorded itself, and the summaries of a minute that has ended.
    pub(crate) fn count(&mut self, source: &str, entry: &Entry, now: Timestamp) -> (bool, Vec<Summary>) {
        let summaries = self.end_minute(now);
        let (count, others) = self.counted_with(key(source, entry), entry);
        count.seen = count.seen.saturating_add(1);
        let record = count.seen <= RECORDED && !others;
        if !record {
            count.suppressed = count.suppressed.saturating_add(1);
        }
        (record, summaries)
    }

    /// Counts an entry that was to be recorded and found no room in the queue.
    pub(crate) fn count_dropped(&mut self, source: &str, entry: &Entry) {
        let (count, _) = self.counted_with(key(source, entry), entry);
        count.suppressed = count.suppressed.saturating_add(1);
    }

    /// Takes back a summary that found no room: it is told with that of the minute under way.
    pub(crate) fn put_back(&mut self, summary: Summary) {
        let Summary { key, count: untold } = summary;
        let (suppressed, since) = (untold.suppressed, untold.since);
        let (count, _) = self.of(key, || Count {
            seen: 0,
            suppressed: 0,
            ..untold
        });
        count.suppressed = count.suppressed.saturating_add(suppressed);
        count.since = count.since.min(since);
    }

    fn counted_with(&mut self, key: Key, entry: &Entry) -> (&mut Count, bool) {
        let since = self.minute;
        self.of(key, || Count {
            seen: 0,
            suppressed: 0,
            since,
            action: entry.action,
            account: entry.account.clone(),
            region: entry.region.clone(),
        })
    }

    /// Where to count, and whether together with others.
    fn of(&mut self, mut key: Key, new: impl FnOnce() -> Count) -> (&mut Count, bool) {
        if self.counts.len() >= TOLD_APART && !self.counts.contains_key(&key) {
            OTHERS.clone_into(&mut key.0);
        }
        let others = key.0 == OTHERS;
        (self.counts.entry(key).or_insert_with(new), others)
    }

    /// The summaries of the last minute, if it has ended.
    pub(crate) fn end_minute(&mut self, now: Timestamp) -> Vec<Summary> {
        let minute = now.as_secs().div_euclid(60);
        if minute == self.minute {
            Vec::new()
        } else {
            self.summarise(minute)
        }
    }

    /// The summaries of what was counted until now.
    pub(crate) fn end(&mut self) -> Vec<Summary> {
        self.summarise(self.minute)
    }

    fn summarise(&mut self, next: i64) -> Vec<Summary> {
        self.minute = next;
        let mut summaries: Vec<Summary> = std::mem::take(&mut self.counts)
            .into_iter()
            .filter(|(_, count)| count.suppressed > 0)
            .map(|(key, count)| Summary { key, count })
            .collect();
        summaries.sort_by(|a, b| a.key.cmp(&b.key));
        summaries
    }
}

fn key(source: &str, entry: &Entry) -> Key {
    (network(source), entry.reason.unwrap_or("unspecified"))
}

/// The source to count under. One IPv6 subscriber has a whole /64.
fn network(source: &str) -> String {
    match source.parse::<IpAddr>().map(|address| address.to_canonical()) {
        Ok(IpAddr::V6(address)) => {
            let [a, b, c, d, ..] = address.segments();
            format!("{a:x}:{b:x}:{c:x}:{d:x}::/64")
        }
        Ok(IpAddr::V4(address)) => address.to_string(),
        Err(_) => source.chars().take(64).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Timestamp = Timestamp::from_secs(1_700_000_040);

    fn refusal() -> Entry {
        Entry::new("GetResourceOauth2Token", Outcome::Refused).with_reason("bad_signature")
    }

    fn recorded(refusals: &mut Refusals, source: &str, times: usize) -> usize {
        (0..times)
            .filter(|_| refusals.count(source, &refusal(), START).0)
            .count()
    }

    #[test]
    fn ten_a_minute_then_one_summary() {
        let mut refusals = Refusals::default();
        assert_eq!(recorded(&mut refusals, "192.0.2.1", 500), 10);
        assert_eq!(
            recorded(&mut refusals, "192.0.2.2", 3),
            3,
            "another source has its own count"
        );
        let later = Timestamp::from_secs(START.as_secs() + 60);
        let (record, summaries) = refusals.count("192.0.2.1", &refusal(), later);
        assert!(record, "a new minute");
        assert_eq!(summaries.len(), 1);
        let summary = summaries[0].entry();
        assert_eq!(summary.source.as_deref(), Some("192.0.2.1"));
        assert_eq!(summary.detail["count"], 490);
    }

    #[test]
    fn a_summary_that_was_put_back_is_told_with_the_next() {
        let mut refusals = Refusals::default();
        recorded(&mut refusals, "192.0.2.1", 500);
        let begun = refusals.end().remove(0);
        assert_eq!(begun.refusals(), 490);
        let minute = begun.entry().detail["minute"].clone();
        let later = |minutes: i64| Timestamp::from_secs(START.as_secs() + 60 * minutes);
        assert!(refusals.end_minute(later(1)).is_empty());
        refusals.put_back(begun);
        for n in 0..20 {
            let (record, _) = refusals.count("192.0.2.1", &refusal(), later(1));
            assert_eq!(record, n < 10, "the minute has its own ten");
        }
        let summaries = refusals.end_minute(later(2));
        assert_eq!(summaries.len(), 1);
        let summary = summaries[0].entry();
        assert_eq!(summary.detail["count"], 500);
        assert_eq!(summary.detail["minute"], minute, "the first of them");
        assert_eq!(summary.detail["firstAction"], "GetResourceOauth2Token");
    }

    #[test]
    fn what_is_put_back_is_bounded_and_none_of_it_is_lost() {
        let mut refusals = Refusals::default();
        for minute in 0..3_u32 {
            let now = Timestamp::from_secs(START.as_secs() + 60 * i64::from(minute));
            let mut untold = refusals.end_minute(now);
            for n in 0..1000_u32 {
                let source = std::net::Ipv4Addr::from(minute * 1000 + n).to_string();
                for _ in 0..11 {
                    untold.extend(refusals.count(&source, &refusal(), now).1);
                }
            }
            for summary in untold {
                refusals.put_back(summary);
            }
        }
        let summaries = refusals.end();
        assert_eq!(summaries.len(), TOLD_APART + 1);
        assert_eq!(summaries.iter().map(Summary::refusals).sum::<u64>(), 3000);
    }

    #[test]
    fn one_ipv6_network_is_one_source() {
        let mut refusals = Refusals::default();
        let total: usize = (0..50)
            .map(|n| recorded(&mut refusals, &format!("2001:db8:1:2::{n:x}"), 1))
            .sum();
        assert_eq!(total, 10);
        assert_eq!(recorded(&mut refusals, "2001:db8:1:3::1", 1), 1);
        assert_eq!(recorded(&mut refusals, "::ffff:192.0.2.1", 20), 10);
        assert_eq!(
            recorded(&mut refusals, "192.0.2.1", 1),
            0,
            "the mapped form is the same host"
        );
    }

    #[test]
    fn a_flood_from_everywhere_is_bounded() {
        let mut refusals = Refusals::default();
        let total: usize = (0..5000_u32)
            .map(|n| recorded(&mut refusals, &std::net::Ipv4Addr::from(n).to_string(), 1))
            .sum();
        assert_eq!(total, TOLD_APART);
        let summaries = refusals.end();
        assert_eq!(summaries.len(), 1);
        let summary = summaries[0].entry();
        assert_eq!(summary.source.as_deref(), Some(OTHERS));
        assert_eq!(summary.detail["count"], 4000);
    }
}
