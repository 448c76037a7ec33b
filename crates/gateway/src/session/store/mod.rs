//! The gateway's only SQL: sessions here, hand-over codes and the gateway's own keys in [`handover`] and [`keys`].

use std::time::Duration;

use countersign_crypto::{Timestamp, UserKey};
use countersign_db::{DbError, Migration, Pool, Row, params};
use uuid::Uuid;

use super::SessionSummary;

mod handover;
mod keys;

pub(crate) use handover::Handover;
pub(crate) use keys::KEY_CHANGED;

/// Migrations of the gateway's own tables.
pub(crate) const MIGRATIONS: &[Migration] = &[
    Migration {
        version: 1,
        name: "session",
        sqlite: include_str!("../../../migrations/sqlite/0001_session.sql"),
        postgres: include_str!("../../../migrations/postgres/0001_session.sql"),
    },
    Migration {
        version: 2,
        name: "application",
        sqlite: include_str!("../../../migrations/sqlite/0002_application.sql"),
        postgres: include_str!("../../../migrations/postgres/0002_application.sql"),
    },
];

/// A session as it is stored.
#[derive(Debug)]
pub(crate) struct SessionRow {
    pub(crate) sid: Uuid,
    pub(crate) user_key: UserKey,
    pub(crate) application: String,
    pub(crate) idp_session: Option<String>,
    /// Sealed under the ticket's key.
    pub(crate) record: Vec<u8>,
    pub(crate) version: i64,
    pub(crate) created_at: Timestamp,
    pub(crate) last_seen_at: Timestamp,
    pub(crate) expires_at: Timestamp,
    pub(crate) idle_timeout: Duration,
}

/// The tables.
#[derive(Clone)]
pub(crate) struct Store {
    pool: Pool,
}

impl Store {
    pub(crate) fn new(pool: Pool) -> Self {
        Self { pool }
    }

    pub(crate) async fn insert(&self, row: &SessionRow) -> Result<(), DbError> {
        self.pool
            .execute(
                "INSERT INTO session (sid, user_key, application, idp_session, record, version, created_at,
                                      last_seen_at, expires_at, idle_timeout)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
                params![
                    row.sid.to_string(),
                    row.user_key.to_hex(),
                    row.application.clone(),
                    row.idp_session.clone(),
                    row.record.clone(),
                    row.version,
                    row.created_at.as_micros(),
                    row.last_seen_at.as_micros(),
                    row.expires_at.as_micros(),
                    i64::try_from(row.idle_timeout.as_micros()).unwrap_or(i64::MAX)
                ],
            )
            .await?;
        Ok(())
    }

    pub(crate) async fn find(&self, sid: Uuid) -> Result<Option<SessionRow>, DbError> {
        let row = self
            .pool
            .fetch_optional(
                "SELECT user_key, application, idp_session, record, version, created_at, last_seen_at,
                        expires_at, idle_timeout
                 FROM session WHERE sid = $1",
                params![sid.to_string()],
            )
            .await?;
        row.map(|row| {
            Ok(SessionRow {
                sid,
                user_key: user_key(&row, sid)?,
                application: row.text("application")?,
                idp_session: row.opt_text("idp_session")?,
                record: row.bytes("record")?,
                version: row.int("version")?,
                created_at: Timestamp::from_micros(row.int("created_at")?),
                last_seen_at: Timestamp::from_micros(row.int("last_seen_at")?),
                expires_at: Timestamp::from_micros(row.int("expires_at")?),
                idle_timeout: Duration::from_micros(u64::try_from(row.int("idle_timeout")?).unwrap_or(0)),
            })
        })
        .transpose()
    }

    /// Live sessions, newest first; those of one person where `user` is given.
    pub(crate) async fn list(
        &self,
        user: Option<&UserKey>,
        now: Timestamp,
        limit: u32,
    ) -> Result<Vec<SessionSummary>, DbError> {
        let rows = self
            .pool
            .fetch_all(
                "SELECT sid, user_key, application, created_at, last_seen_at, expires_at FROM session
                 WHERE expires_at > $1 AND last_seen_at + idle_timeout > $1 AND ($2 = '' OR user_key = $2)
                 ORDER BY created_at DESC, sid LIMIT $3",
                params![
                    now.as_micros(),
                    user.map_or_else(String::new, UserKey::to_hex),
                    i64::from(limit)
                ],
            )
            .await?;
        rows.iter()
            .map(|row| {
                let sid = sid(row)?;
                Ok(SessionSummary {
                    sid,
                    user_key: user_key(row, sid)?,
                    application: row.text("application")?,
                    created_at: Timestamp::from_micros(row.int("created_at")?),
                    last_seen_at: Timestamp::from_micros(row.int("last_seen_at")?),
                    expires_at: Timestamp::from_micros(row.int("expires_at")?),
                })
            })
            .collect()
    }

    pub(crate) async fn list_of_user(&self, user_key: &UserKey) -> Result<Vec<Uuid>, DbError> {
        let rows = self
            .pool
            .fetch_all(
                "SELECT sid FROM session WHERE user_key = $1",
                params![user_key.to_hex()],
            )
            .await?;
        rows.iter().map(sid).collect()
    }

    pub(crate) async fn users_of_idp_session(&self, idp_session: &str) -> Result<Vec<UserKey>, DbError> {
        let sql = "SELECT DISTINCT user_key FROM session WHERE idp_session = $1";
        let rows = self.pool.fetch_all(sql, params![idp_session]).await?;
        let key = |row: &Row| {
            UserKey::from_hex(&row.text("user_key")?)
                .map_err(|_| inconsistent("session", "user_key", idp_session))
        };
        rows.iter().map(key).collect()
    }

    /// Sessions that a provider's session has led to.
    pub(crate) async fn list_of_idp_session(&self, idp_session: &str) -> Result<Vec<Uuid>, DbError> {
        let rows = self
            .pool
            .fetch_all(
                "SELECT sid FROM session WHERE idp_session = $1",
                params![idp_session],
            )
            .await?;
        rows.iter().map(sid).collect()
    }

    /// Claims the refresh of a record; `None` when it is claimed, was refreshed, or the session is gone.
    pub(crate) async fn claim_refresh(
        &self,
        sid: Uuid,
        version: i64,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Option<i64>, DbError> {
        let row = self
            .pool
            .fetch_optional(
                "UPDATE session SET refresh_until = $3, refresh_fence = refresh_fence + 1, refresh_paused = 0
                 WHERE sid = $1 AND version = $2 AND refresh_until <= $4 RETURNING refresh_fence",
                params![sid.to_string(), version, until.as_micros(), now.as_micros()],
            )
            .await?;
        row.map(|row| row.int("refresh_fence")).transpose()
    }

    /// Replaces a record under its lease. `false`: the session is gone, or the lease is somebody else's. With
    /// `paused_until` the refresh was in vain, and the next has to wait.
    pub(crate) async fn update_record(
        &self,
        sid: Uuid,
        fence: i64,
        record: &[u8],
        idp_session: Option<&str>,
        paused_until: Option<Timestamp>,
    ) -> Result<bool, DbError> {
        let updated = self
            .pool
            .execute(
                "UPDATE session SET record = $3, idp_session = COALESCE($4, idp_session),
                        version = version + 1, refresh_until = $5, refresh_paused = $6
                 WHERE sid = $1 AND refresh_fence = $2",
                params![
                    sid.to_string(),
                    fence,
                    record.to_vec(),
                    idp_session.map(str::to_owned),
                    paused_until.map_or(0, Timestamp::as_micros),
                    i64::from(paused_until.is_some())
                ],
            )
            .await?;
        Ok(updated == 1)
    }

    pub(crate) async fn postpone_refresh(
        &self,
        sid: Uuid,
        fence: i64,
        until: Timestamp,
    ) -> Result<(), DbError> {
        self.pool
            .execute(
                "UPDATE session SET refresh_until = $3, refresh_paused = 1
                 WHERE sid = $1 AND refresh_fence = $2",
                params![sid.to_string(), fence, until.as_micros()],
            )
            .await?;
        Ok(())
    }

    /// Deletes a session under the lease of its refresh. `false`: it is gone, or the lease is somebody else's.
    pub(crate) async fn delete_under(&self, sid: Uuid, fence: i64) -> Result<bool, DbError> {
        let sql = "DELETE FROM session WHERE sid = $1 AND refresh_fence = $2";
        let deleted = self.pool.execute(sql, params![sid.to_string(), fence]).await?;
        Ok(deleted == 1)
    }

    /// Whether the last refresh was in vain and the next has not begun.
    pub(crate) async fn is_refresh_paused(&self, sid: Uuid) -> Result<bool, DbError> {
        let row = self
            .pool
            .fetch_optional(
                "SELECT refresh_paused FROM session WHERE sid = $1",
                params![sid.to_string()],
            )
            .await?;
        row.map_or(Ok(false), |row| Ok(row.int("refresh_paused")? == 1))
    }

    pub(crate) async fn is_logout_token_taken(&self, token_hash: &str) -> Result<bool, DbError> {
        let sql = "SELECT 1 AS taken FROM logout_token WHERE token_hash = $1";
        let row = self.pool.fetch_optional(sql, params![token_hash]).await?;
        Ok(row.is_some())
    }

    /// Notes a logout token as taken.
    pub(crate) async fn take_logout_token(
        &self,
        token_hash: &str,
        expires_at: Timestamp,
    ) -> Result<(), DbError> {
        self.pool
            .execute(
                "INSERT INTO logout_token (token_hash, expires_at) VALUES ($1, $2)
                 ON CONFLICT (token_hash) DO NOTHING",
                params![token_hash, expires_at.as_micros()],
            )
            .await?;
        Ok(())
    }

    /// Moves `last_seen_at` forward; never back, whichever replica is late.
    pub(crate) async fn touch(&self, sid: Uuid, now: Timestamp) -> Result<(), DbError> {
        self.pool
            .execute(
                "UPDATE session SET last_seen_at = $2 WHERE sid = $1 AND last_seen_at < $2",
                params![sid.to_string(), now.as_micros()],
            )
            .await?;
        Ok(())
    }

    /// Deletes a session and, by cascade, its hand-over codes. One that is not there is no error.
    pub(crate) async fn delete(&self, sid: Uuid) -> Result<(), DbError> {
        self.pool
            .execute("DELETE FROM session WHERE sid = $1", params![sid.to_string()])
            .await?;
        Ok(())
    }

    /// Deletes every session; gives how many.
    pub(crate) async fn end_all(&self) -> Result<u64, DbError> {
        self.pool.execute("DELETE FROM session", params![]).await
    }

    pub(crate) async fn delete_expired(&self, now: Timestamp) -> Result<(), DbError> {
        for statement in [
            "DELETE FROM handover WHERE expires_at <= $1",
            "DELETE FROM logout_token WHERE expires_at <= $1",
            "DELETE FROM session WHERE expires_at <= $1 OR last_seen_at + idle_timeout <= $1",
        ] {
            self.pool.execute(statement, params![now.as_micros()]).await?;
        }
        Ok(())
    }
}

fn sid(row: &Row) -> Result<Uuid, DbError> {
    let text = row.text("sid")?;
    text.parse().map_err(|_| inconsistent("session", "sid", &text))
}

fn user_key(row: &Row, sid: Uuid) -> Result<UserKey, DbError> {
    UserKey::from_hex(&row.text("user_key")?)
        .map_err(|_| inconsistent("session", "user_key", &sid.to_string()))
}

fn inconsistent(table: &'static str, column: &'static str, id: &str) -> DbError {
    DbError::Inconsistent {
        table,
        column,
        id: id.to_owned(),
    }
}
