//! Listing records in the order of their times.

use countersign_db::Pool;

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

/// At most `limit` (1 to 1000) records beyond the one with id `after`, in the order of their times. With
/// oldest first, the last record's id fetches what comes later. Records of another replica that commit
/// within the same instant may come in late; whoever must have all of them reads by writer and number.
pub async fn list(pool: &Pool, filter: &Filter, after: Option<&str>, limit: u32) -> Result<Page, AuditError> {
    let after = match after {
        None => None,
        Some(text) => {
            let id: RecordId = text.parse().map_err(|_| AuditError::Cursor)?;
            let record = store::by_id(pool, &id).await?.ok_or(AuditError::Cursor)?;
            Some((record.at.as_micros(), id))
        }
    };
    let records = store::list(pool, filter, after, i64::from(limit.clamp(1, 1000))).await?;
    let cursor = records.last().map(|record| record.id.to_string());
    Ok(Page { records, cursor })
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
