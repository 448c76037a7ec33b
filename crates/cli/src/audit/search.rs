//! What a search asks for, in the words of the trail.

use anyhow::{Context as _, bail};
use countersign_audit::tail::Filter;
use countersign_crypto::{Clock as _, SystemClock, Timestamp};

use super::command::{Search, TimeRange};
use super::store::Store;

/// Days of a report that says nothing of its time.
const DEFAULT_DAYS: i64 = 30;

/// A time range as it was given.
#[derive(Debug, Clone, Copy)]
pub(super) struct Range {
    pub(super) from: Option<Timestamp>,
    pub(super) to: Option<Timestamp>,
}

/// Reads a time range; with `bounded` it is the last 30 days where nothing else was said.
pub(super) fn range(time: &TimeRange, bounded: bool) -> anyhow::Result<Range> {
    let now = SystemClock.now();
    let read = |option: &str, text: &Option<String>| match text {
        None => Ok(None),
        Some(text) => moment(text, now)
            .map(Some)
            .with_context(|| format!("{option} {text}")),
    };
    let (mut from, mut to) = (read("--from", &time.from)?, read("--to", &time.to)?);
    if bounded {
        // The end of this second, so that what was released just now is in it.
        let end = *to.get_or_insert(Timestamp::from_secs(now.as_secs() + 1));
        from.get_or_insert(Timestamp::from_secs(end.as_secs() - DEFAULT_DAYS * 86_400));
    }
    if let (Some(from), Some(to)) = (from, to)
        && from >= to
    {
        bail!("--from must be before --to");
    }
    Ok(Range { from, to })
}

/// A date, a time, or a span back from now.
fn moment(text: &str, now: Timestamp) -> anyhow::Result<Timestamp> {
    if let Ok(time) = text.parse::<jiff::Timestamp>() {
        return Ok(Timestamp::from_micros(time.as_microsecond()));
    }
    if let Ok(midnight) = format!("{text}T00:00:00Z").parse::<jiff::Timestamp>() {
        return Ok(Timestamp::from_micros(midnight.as_microsecond()));
    }
    let unit = text.char_indices().next_back().map_or(0, |(at, _)| at);
    let (count, unit) = text.split_at(unit);
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => {
            bail!("is neither a date (2026-11-29), a time (2026-11-29T14:03:00Z) nor a span (90m, 24h, 30d)")
        }
    };
    let count: u32 = count.parse().context("a span is a number and s, m, h or d")?;
    Ok(Timestamp::from_secs(now.as_secs() - i64::from(count) * seconds))
}

/// The search in one store.
pub(super) async fn filter(search: &Search, store: &Store) -> anyhow::Result<Filter> {
    let range = range(&search.time, false)?;
    let person = match &search.subject.user {
        None => None,
        // One that nobody has: nothing is recorded here of this person.
        Some(user) => Some(
            pseudonyms(user, store)
                .await?
                .into_iter()
                .next()
                .unwrap_or_else(|| "none".to_owned()),
        ),
    };
    Ok(Filter {
        action: search.action.clone(),
        outcome: search.outcome.clone(),
        reason: search.reason.clone(),
        principal: search.principal.clone(),
        request_id: search.request.clone(),
        sid: search.sid.clone(),
        workload: search.subject.workload.clone(),
        provider: search.subject.provider.clone(),
        grant: search.subject.grant.clone(),
        person,
        since: range.from.map(Timestamp::as_micros),
        until: range.to.map(Timestamp::as_micros),
        ..Filter::default()
    })
}

/// Under which pseudonyms a person is recorded in a store.
pub(super) async fn pseudonyms(user: &str, store: &Store) -> anyhow::Result<Vec<String>> {
    // Only the identity service's database knows which keys a published id stands for.
    let keys = if store.role == "identity" {
        countersign_identity::user_keys(&store.pool, user).await?
    } else {
        let key = countersign_crypto::UserKey::from_hex(user);
        vec![key.unwrap_or_else(|_| countersign_crypto::UserKey::id(user))]
    };
    let mut found = vec![];
    for key in keys {
        found.extend(store.persons.pseudonym(&key).await?);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments() {
        let now = Timestamp::from_secs(1_800_000_000);
        for (text, seconds) in [
            ("1970-01-02", 86_400),
            ("1970-01-01T00:00:05Z", 5),
            ("1970-01-01T01:00:05+01:00", 5),
            ("90m", 1_800_000_000 - 5400),
            ("24h", 1_800_000_000 - 86_400),
            ("30d", 1_800_000_000 - 30 * 86_400),
            ("0s", 1_800_000_000),
        ] {
            let read = moment(text, now).expect(text);
            assert_eq!(read, Timestamp::from_secs(seconds), "{text}");
        }
        for bad in [
            "",
            "yesterday",
            "5",
            "-5m",
            "5 m",
            "d",
            "2026-13-01",
            "9999999999d",
        ] {
            assert!(moment(bad, now).is_err(), "{bad}");
        }
    }
}
