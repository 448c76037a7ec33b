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

/// The counts of the minute under way.
#[derive(Debug, Default)]
pub(crate) struct Refusals {
    minute: i64,
    counts: HashMap<(String, &'static str), Count>,
}

#[derive(Debug, Default)]
struct Count {
    seen: u32,
    /// What the summary repeats of the entries that were not recorded.
    suppressed: u32,
    action: &'static str,
    account: String,
    region: String,
}

impl Refusals {
    /// Counts a refusal: whether it is to be recorded itself, and the summaries of a minute that has ended.
    pub(crate) fn count(&mut self, source: &str, entry: &Entry, now: Timestamp) -> (bool, Vec<Entry>) {
        let summaries = self.end_minute(now);
        let reason = entry.reason.unwrap_or("unspecified");
        let mut key = (network(source), reason);
        if self.counts.len() >= TOLD_APART && !self.counts.contains_key(&key) {
            key = (OTHERS.to_owned(), reason);
        }
        let others = key.0 == OTHERS;
        let count = self.counts.entry(key).or_insert_with(|| Count {
            action: entry.action,
            account: entry.account.clone(),
            region: entry.region.clone(),
            ..Count::default()
        });
        count.seen = count.seen.saturating_add(1);
        let record = count.seen <= RECORDED && !others;
        if !record {
            count.suppressed = count.suppressed.saturating_add(1);
        }
        (record, summaries)
    }

    /// Counts an entry that was to be recorded and found no room in the queue.
    pub(crate) fn count_dropped(&mut self, source: &str, reason: Option<&'static str>) {
        let key = (network(source), reason.unwrap_or("unspecified"));
        if let Some(count) = self.counts.get_mut(&key) {
            count.suppressed = count.suppressed.saturating_add(1);
        }
    }

    /// The summaries of the last minute, if it has ended.
    pub(crate) fn end_minute(&mut self, now: Timestamp) -> Vec<Entry> {
        let minute = now.as_secs().div_euclid(60);
        if minute == self.minute {
            Vec::new()
        } else {
            self.summarise(minute)
        }
    }

    /// The summaries of what was counted until now.
    pub(crate) fn end(&mut self) -> Vec<Entry> {
        self.summarise(self.minute)
    }

    fn summarise(&mut self, next: i64) -> Vec<Entry> {
        let minute = Timestamp::from_secs(self.minute.saturating_mul(60));
        self.minute = next;
        let mut summaries: Vec<Entry> = std::mem::take(&mut self.counts)
            .into_iter()
            .filter(|(_, count)| count.suppressed > 0)
            .map(|((source, reason), count)| {
                Entry::new("SummarizeRefusals", Outcome::Refused)
                    .with_account(count.account, count.region)
                    .with_reason(reason)
                    .with_source(source)
                    .with_detail("count", count.suppressed)
                    .with_detail("minute", minute.to_rfc3339())
                    .with_detail("firstAction", count.action)
            })
            .collect();
        summaries.sort_by(|a, b| (&a.source, a.reason).cmp(&(&b.source, b.reason)));
        summaries
    }
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
        assert_eq!(summaries[0].source.as_deref(), Some("192.0.2.1"));
        assert_eq!(summaries[0].detail["count"], 490);
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
        assert_eq!(summaries[0].source.as_deref(), Some(OTHERS));
        assert_eq!(summaries[0].detail["count"], 4000);
    }
}
