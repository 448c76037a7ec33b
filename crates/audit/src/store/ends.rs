//! All that is recorded of one thing, or of much of it both ends.

use countersign_db::{Pool, params};

use super::records;
use crate::AuditError;
use crate::record::Record;

/// Records from each end where there are more than twice as many.
const END: usize = 100;

/// What is recorded of one thing, oldest first.
#[derive(Default)]
pub(crate) struct Ends {
    pub(crate) records: Vec<Record>,
    /// How many there are between the ends.
    pub(crate) omitted: u64,
}

/// Statements over the records with one value in a column.
struct Sql {
    oldest: &'static str,
    newest: &'static str,
    count: &'static str,
}

macro_rules! sql {
    ($column:literal) => {
        Sql {
            oldest: concat!(
                "SELECT * FROM audit_record WHERE ",
                $column,
                " = $1 ORDER BY recorded_at, writer, seq LIMIT $2"
            ),
            newest: concat!(
                "SELECT * FROM audit_record WHERE ",
                $column,
                " = $1 ORDER BY recorded_at DESC, writer DESC, seq DESC LIMIT $2"
            ),
            count: concat!(
                "SELECT COUNT(*) AS count FROM audit_record WHERE ",
                $column,
                " = $1"
            ),
        }
    };
}

pub(crate) async fn by_request(pool: &Pool, request_id: &str) -> Result<Ends, AuditError> {
    ends(pool, sql!("request_id"), request_id).await
}

pub(crate) async fn by_grant(pool: &Pool, grant: &str) -> Result<Ends, AuditError> {
    ends(pool, sql!("grant_id"), grant).await
}

pub(crate) async fn by_session(pool: &Pool, session: &str) -> Result<Ends, AuditError> {
    ends(pool, sql!("session_id"), session).await
}

/// The oldest records tell how a thing began, the newest what became of it.
async fn ends(pool: &Pool, sql: Sql, value: &str) -> Result<Ends, AuditError> {
    let most = |records: usize| i64::try_from(records).unwrap_or(i64::MAX);
    let mut found = records(
        &pool
            .fetch_all(sql.oldest, params![value, most(2 * END + 1)])
            .await?,
    )?;
    if found.len() <= 2 * END {
        return Ok(Ends {
            records: found,
            omitted: 0,
        });
    }
    let newest = records(&pool.fetch_all(sql.newest, params![value, most(END)]).await?)?;
    let counted = pool.fetch_optional(sql.count, params![value]).await?;
    let count = counted.map_or(Ok(0), |row| row.int("count"))?;
    found.truncate(END);
    found.extend(newest.into_iter().rev());
    let omitted = usize::try_from(count)
        .unwrap_or_default()
        .saturating_sub(found.len());
    Ok(Ends {
        records: found,
        omitted: u64::try_from(omitted).unwrap_or(u64::MAX),
    })
}
