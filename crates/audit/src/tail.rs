//! Listing records in the order of their times.

use countersign_crypto::Timestamp;
use countersign_db::Pool;

use crate::store::{Access, Position};
use crate::{AuditError, Record, RecordId, store};

/// Which records; a member that is `None` matches all.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// The operation's name.
    pub action: Option<String>,
    /// `done`, `refused`, `failed`.
    pub outcome: Option<String>,
    /// Reason of a refusal or failure.
    pub reason: Option<String>,
    /// Caller's ARN.
    pub principal: Option<String>,
    /// Request id.
    pub request_id: Option<String>,
    /// Login session.
    pub sid: Option<String>,
    /// Workload identity.
    pub workload: Option<String>,
    /// Credential provider.
    pub provider: Option<String>,
    /// Authorization session.
    pub session: Option<String>,
    /// Grant.
    pub grant: Option<String>,
    /// Pseudonym, from [`crate::PersonKeys::pseudonym`].
    pub person: Option<String>,
    /// From this time on, microseconds since the epoch.
    pub since: Option<i64>,
    /// Before this time, microseconds since the epoch.
    pub until: Option<i64>,
    /// Newest first instead of oldest first.
    pub newest_first: bool,
}

/// A page of records.
#[derive(Debug, Clone)]
pub struct Page {
    /// The records.
    pub records: Vec<Record>,
    /// Pass it as `after` for the next page; `None` when this one was empty.
    pub cursor: Option<String>,
}

/// A page of records that were looked for.
#[derive(Debug, Clone)]
pub struct Found {
    /// The records.
    pub records: Vec<Record>,
    /// Pass it as `after` to go on; `None` when there is nothing left to look at.
    pub cursor: Option<String>,
    /// Where the search ended before the page was full, with more left to look at: the time of the last record seen.
    pub searched_to: Option<Timestamp>,
}

impl Found {
    /// How many records of [`search`] this one is made from: those that are in it, or as many as a page may look at where
    /// it ended before it was full.
    #[must_use]
    pub fn looked_at(&self) -> i64 {
        match self.searched_to {
            Some(_) => LOOKED_AT,
            None => i64::try_from(self.records.len()).unwrap_or(i64::MAX),
        }
    }
}

/// Most records that one page of [`search`] looks at: about 20 ms of a database's time.
const LOOKED_AT: i64 = 5_000;

/// At most `limit` (1 to 1000) records beyond the one with id `after`, in the order of their times. With
/// oldest first, the last record's id fetches what comes later. Records of another replica that commit
/// within the same instant may come in late; whoever must have all of them reads by writer and number.
pub async fn list(pool: &Pool, filter: &Filter, after: Option<&str>, limit: u32) -> Result<Page, AuditError> {
    let after = position(pool, after).await?;
    let records = store::list(pool, filter, after, None, i64::from(limit.clamp(1, 1000))).await?;
    let cursor = records.last().map(|record| record.id.to_string());
    Ok(Page { records, cursor })
}

/// As [`list`], in a time that does not grow with the trail: what no index leads to is looked for among the next few
/// thousand records, and then the page ends, be it empty, with a cursor to go on from.
pub async fn search(
    pool: &Pool,
    filter: &Filter,
    after: Option<&str>,
    limit: u32,
) -> Result<Found, AuditError> {
    let after = position(pool, after).await?;
    let limit = limit.clamp(1, 1000);
    let within = if Access::of(filter) == Access::Time {
        store::position_beyond(pool, filter, after.as_ref(), LOOKED_AT).await?
    } else {
        None
    };
    let records = store::list(pool, filter, after, within.as_ref(), i64::from(limit)).await?;
    let full = records.len() >= limit as usize;
    let last = records.last().map(|record| record.id.to_string());
    let (cursor, searched_to) = match within {
        _ if full => (last, None),
        None => (None, None),
        Some(within) => (
            Some(within.id.to_string()),
            Some(Timestamp::from_micros(within.at)),
        ),
    };
    Ok(Found {
        records,
        cursor,
        searched_to,
    })
}

async fn position(pool: &Pool, after: Option<&str>) -> Result<Option<Position>, AuditError> {
    let Some(text) = after else { return Ok(None) };
    let id: RecordId = text.parse().map_err(|_| AuditError::Cursor)?;
    let record = store::by_id(pool, &id).await?.ok_or(AuditError::Cursor)?;
    Ok(Some(Position {
        at: record.at.as_micros(),
        id,
    }))
}

/// At most `limit` (1 to 1000) records of `action` that was done with a grant, newest first.
pub async fn list_by_grant(
    pool: &Pool,
    grant: &str,
    action: &str,
    limit: u32,
) -> Result<Vec<Record>, AuditError> {
    store::newest_by_grant(pool, grant, action, i64::from(limit.clamp(1, 1000))).await
}
