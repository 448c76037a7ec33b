//! When an agent was given a token of a grant: the audit trail knows, and nothing else is kept for it.

use countersign_audit::{AuditError, tail};
use countersign_crypto::Timestamp;
use serde_json::Value;

use crate::operation::OperationError;
use crate::state::State;

/// The operation that releases tokens.
const RELEASE: &str = "GetResourceOauth2Token";

/// One release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Use {
    pub(crate) at: Timestamp,
    /// The audit record, by which an operator finds everything about it.
    pub(crate) record: String,
}

/// The last releases from a grant, newest first; at most `limit`.
pub(crate) async fn list(state: &State, grant: &str, limit: u32) -> Result<Vec<Use>, AuditError> {
    Ok(list_and_rest(state, grant, limit).await?.0)
}

/// As [`list`], and whether there may be older ones.
pub(crate) async fn list_and_rest(
    state: &State,
    grant: &str,
    limit: u32,
) -> Result<(Vec<Use>, bool), AuditError> {
    let records = tail::list_by_grant(&state.pool, grant, RELEASE, limit).await?;
    let rest = records.len() >= limit as usize;
    let released = records
        .into_iter()
        .filter(|record| record.detail["released"] == Value::Bool(true));
    let uses = released
        .map(|record| Use {
            at: record.at,
            record: record.id.to_string(),
        })
        .collect();
    Ok((uses, rest))
}

/// The last release from a grant. Requests that ended with a need for consent stand between releases, so a few records
/// are looked at.
pub(crate) async fn last(state: &State, grant: &str) -> Result<Option<Timestamp>, AuditError> {
    Ok(list(state, grant, 5).await?.first().map(|used| used.at))
}

impl From<AuditError> for OperationError {
    fn from(error: AuditError) -> Self {
        Self::unavailable("audit_unreadable", error)
    }
}
