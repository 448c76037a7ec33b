//! Records found by what they say, a page at a time.

use countersign_db::{Pool, params};

use super::{record_id, records};
use crate::AuditError;
use crate::record::{Record, RecordId};
use crate::tail::Filter;

/// `$by` names the index: alone it says no more than the conditions after it.
macro_rules! list_sql {
    ($by:literal, $beyond:literal, $within:literal, $order:literal) => {
        concat!(
            "SELECT * FROM audit_record WHERE ",
            $by,
            "recorded_at >= $1 AND recorded_at < $2 AND (recorded_at, writer, seq) ",
            $beyond,
            " ($3, $4, $5) AND ($18 IS NULL OR (recorded_at, writer, seq) ",
            $within,
            " ($18, $19, $20)) ",
            "AND ($6 IS NULL OR action = $6) AND ($7 IS NULL OR outcome = $7) ",
            "AND ($8 IS NULL OR reason = $8) AND ($9 IS NULL OR principal = $9) ",
            "AND ($10 IS NULL OR request_id = $10) AND ($11 IS NULL OR sid = $11) ",
            "AND ($12 IS NULL OR workload = $12) AND ($13 IS NULL OR provider = $13) ",
            "AND ($14 IS NULL OR session_id = $14) AND ($15 IS NULL OR grant_id = $15) ",
            "AND ($16 IS NULL OR person = $16) ORDER BY ",
            $order,
            " LIMIT $17"
        )
    };
    ($by:literal, newest first: $newest:expr) => {
        if $newest {
            list_sql!($by, "<", ">=", "recorded_at DESC, writer DESC, seq DESC")
        } else {
            list_sql!($by, ">", "<=", "recorded_at, writer, seq")
        }
    };
}

/// Which index leads to the records of a filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// Every record in the order of its time.
    Time,
    Request,
    Grant,
    Session,
    Sid,
    Reason,
    /// Refusals and failures, few among many.
    NotDone,
}

impl Access {
    /// The one that leaves the fewest records to look at.
    pub(crate) fn of(filter: &Filter) -> Self {
        match filter {
            Filter {
                request_id: Some(_), ..
            } => Self::Request,
            Filter { session: Some(_), .. } => Self::Session,
            Filter { grant: Some(_), .. } => Self::Grant,
            Filter { sid: Some(_), .. } => Self::Sid,
            Filter { reason: Some(_), .. } => Self::Reason,
            Filter {
                outcome: Some(outcome),
                ..
            } if outcome != "done" => Self::NotDone,
            _ => Self::Time,
        }
    }

    const fn list_sql(self, newest: bool) -> &'static str {
        match self {
            Self::Time => list_sql!("", newest first: newest),
            Self::Request => list_sql!("request_id = $10 AND ", newest first: newest),
            Self::Grant => list_sql!("grant_id = $15 AND ", newest first: newest),
            Self::Session => list_sql!("session_id = $14 AND ", newest first: newest),
            Self::Sid => list_sql!("sid = $11 AND ", newest first: newest),
            Self::Reason => list_sql!("reason = $8 AND ", newest first: newest),
            Self::NotDone => list_sql!("outcome <> 'done' AND ", newest first: newest),
        }
    }
}

/// A position in the order of times.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Position {
    /// Microseconds since the epoch.
    pub(crate) at: i64,
    pub(crate) id: RecordId,
}

impl Position {
    /// Before the first record of a direction.
    fn outset(newest_first: bool) -> Self {
        let (at, writer) = if newest_first {
            (i64::MAX, "\u{7f}")
        } else {
            (i64::MIN, "")
        };
        Self {
            at,
            id: RecordId {
                writer: writer.to_owned(),
                seq: 0,
            },
        }
    }
}

/// The times that lie beyond `after`: they let the index on the time do what the row comparison cannot.
fn span(filter: &Filter, after: &Position) -> (i64, i64) {
    let (since, until) = (filter.since.unwrap_or(i64::MIN), filter.until.unwrap_or(i64::MAX));
    if filter.newest_first {
        (since, until.min(after.at.saturating_add(1)))
    } else {
        (since.max(after.at), until)
    }
}

/// A page of records in the order of their times, beyond `after`, not beyond `within`.
pub(crate) async fn list(
    pool: &Pool,
    filter: &Filter,
    after: Option<Position>,
    within: Option<&Position>,
    limit: i64,
) -> Result<Vec<Record>, AuditError> {
    let after = after.unwrap_or_else(|| Position::outset(filter.newest_first));
    let (mut since, mut until) = span(filter, &after);
    if let Some(within) = within {
        if filter.newest_first {
            since = since.max(within.at);
        } else {
            until = until.min(within.at.saturating_add(1));
        }
    }
    let params = params![
        since,
        until,
        after.at,
        after.id.writer,
        after.id.seq,
        filter.action.as_deref(),
        filter.outcome.as_deref(),
        filter.reason.as_deref(),
        filter.principal.as_deref(),
        filter.request_id.as_deref(),
        filter.sid.as_deref(),
        filter.workload.as_deref(),
        filter.provider.as_deref(),
        filter.session.as_deref(),
        filter.grant.as_deref(),
        filter.person.as_deref(),
        limit,
        within.map(|within| within.at),
        within.map(|within| within.id.writer.as_str()),
        within.map(|within| within.id.seq),
    ];
    let sql = Access::of(filter).list_sql(filter.newest_first);
    records(&pool.fetch_all(sql, params).await?)
}

/// The position of the `count`th record of any kind beyond `after`; `None` when there are fewer.
pub(crate) async fn position_beyond(
    pool: &Pool,
    filter: &Filter,
    after: Option<&Position>,
    count: i64,
) -> Result<Option<Position>, AuditError> {
    let outset;
    let after = if let Some(after) = after {
        after
    } else {
        outset = Position::outset(filter.newest_first);
        &outset
    };
    let (since, until) = span(filter, after);
    let sql = if filter.newest_first {
        "SELECT recorded_at, writer, seq FROM audit_record WHERE recorded_at >= $1 AND recorded_at < $2 \
         AND (recorded_at, writer, seq) < ($3, $4, $5) \
         ORDER BY recorded_at DESC, writer DESC, seq DESC LIMIT 1 OFFSET $6"
    } else {
        "SELECT recorded_at, writer, seq FROM audit_record WHERE recorded_at >= $1 AND recorded_at < $2 \
         AND (recorded_at, writer, seq) > ($3, $4, $5) ORDER BY recorded_at, writer, seq LIMIT 1 OFFSET $6"
    };
    let (writer, seq) = (after.id.writer.as_str(), after.id.seq);
    let params = params![since, until, after.at, writer, seq, count - 1];
    let row = pool.fetch_optional(sql, params).await?;
    row.map(|row| {
        Ok(Position {
            at: row.int("recorded_at")?,
            id: record_id(&row)?,
        })
    })
    .transpose()
}
