//! The SQL of reports.

use countersign_db::{Pool, params};

use crate::record::Record;
use crate::{AuditError, store};

/// How a grant began and ended, newest first: the condition is that of an index.
pub(super) async fn fate(pool: &Pool, grant: &str) -> Result<Vec<Record>, AuditError> {
    let sql = "SELECT * FROM audit_record WHERE grant_id = $1 AND action IN ('CompleteResourceTokenAuth', \
               'RevokeAtProvider', 'RevokeGrant', 'EndGrant', 'DisconnectGrant', 'Disconnect') \
               ORDER BY recorded_at DESC, writer DESC, seq DESC LIMIT 200";
    let rows = pool.fetch_all(sql, params![grant]).await?;
    rows.iter().map(store::record).collect()
}
