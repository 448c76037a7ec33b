//! Listing records in the order of their times.

use countersign_db::Pool;

use crate::{AuditError, Record};

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

/// At most `limit` (1 to 1000) records after the cursor. With oldest first, the cursor of the last page
/// fetches what is recorded later.
pub async fn list(pool: &Pool, filter: &Filter, after: Option<&str>, limit: u32) -> Result<Page, AuditError> {
    todo!()
}
