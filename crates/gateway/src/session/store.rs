//! The gateway's only SQL: sessions, hand-over codes and the gateway's own keys.

use countersign_crypto::{KeyRow, Timestamp, UserKey};
use countersign_db::{DbError, Migration, Pool, Row, params};
use uuid::Uuid;

/// Migrations of the gateway's own tables.
pub(crate) const MIGRATIONS: &[Migration] = &[Migration {
    version: 1,
    name: "session",
    sqlite: include_str!("../../migrations/sqlite/0001_session.sql"),
    postgres: include_str!("../../migrations/postgres/0001_session.sql"),
}];

/// A session as it is stored.
#[derive(Debug)]
pub(crate) struct SessionRow {
    pub(crate) sid: Uuid,
    pub(crate) user_key: UserKey,
    /// Sealed under the ticket's key.
    pub(crate) record: Vec<u8>,
    pub(crate) created_at: Timestamp,
    pub(crate) last_seen_at: Timestamp,
    pub(crate) expires_at: Timestamp,
}

/// A hand-over code as it is stored.
#[derive(Debug)]
pub(crate) struct Handover {
    pub(crate) code_hash: String,
    pub(crate) sid: Uuid,
    pub(crate) origin: String,
    pub(crate) state_hash: String,
    pub(crate) expires_at: Timestamp,
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
                "INSERT INTO session (sid, user_key, record, created_at, last_seen_at, expires_at)
                 VALUES ($1, $2, $3, $4, $5, $6)",
                params![
                    row.sid.to_string(),
                    row.user_key.to_hex(),
                    row.record.clone(),
                    row.created_at.as_micros(),
                    row.last_seen_at.as_micros(),
                    row.expires_at.as_micros()
                ],
            )
            .await?;
        Ok(())
    }

    pub(crate) async fn find(&self, sid: Uuid) -> Result<Option<SessionRow>, DbError> {
        let row = self
            .pool
            .fetch_optional(
                "SELECT user_key, record, created_at, last_seen_at, expires_at FROM session WHERE sid = $1",
                params![sid.to_string()],
            )
            .await?;
        row.map(|row| {
            Ok(SessionRow {
                sid,
                user_key: UserKey::from_hex(&row.text("user_key")?)
                    .map_err(|_| inconsistent("session", "user_key", &sid.to_string()))?,
                record: row.bytes("record")?,
                created_at: Timestamp::from_micros(row.int("created_at")?),
                last_seen_at: Timestamp::from_micros(row.int("last_seen_at")?),
                expires_at: Timestamp::from_micros(row.int("expires_at")?),
            })
        })
        .transpose()
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

    pub(crate) async fn delete_expired(&self, now: Timestamp, seen_before: Timestamp) -> Result<(), DbError> {
        self.pool
            .execute(
                "DELETE FROM handover WHERE expires_at <= $1",
                params![now.as_micros()],
            )
            .await?;
        self.pool
            .execute(
                "DELETE FROM session WHERE expires_at <= $1 OR last_seen_at <= $2",
                params![now.as_micros(), seen_before.as_micros()],
            )
            .await?;
        Ok(())
    }

    pub(crate) async fn insert_handover(&self, row: &Handover) -> Result<(), DbError> {
        self.pool
            .execute(
                "INSERT INTO handover (code_hash, sid, origin, state_hash, expires_at) VALUES ($1, $2, $3, $4, $5)",
                params![
                    row.code_hash.clone(),
                    row.sid.to_string(),
                    row.origin.clone(),
                    row.state_hash.clone(),
                    row.expires_at.as_micros()
                ],
            )
            .await?;
        Ok(())
    }

    /// Takes a code out: of any number of callers, one gets it.
    pub(crate) async fn take_handover(&self, code_hash: &str) -> Result<Option<Handover>, DbError> {
        let row = self
            .pool
            .fetch_optional(
                "DELETE FROM handover WHERE code_hash = $1 RETURNING sid, origin, state_hash, expires_at",
                params![code_hash],
            )
            .await?;
        row.map(|row| {
            Ok(Handover {
                code_hash: code_hash.to_owned(),
                sid: row
                    .text("sid")?
                    .parse()
                    .map_err(|_| inconsistent("handover", "sid", code_hash))?,
                origin: row.text("origin")?,
                state_hash: row.text("state_hash")?,
                expires_at: Timestamp::from_micros(row.int("expires_at")?),
            })
        })
        .transpose()
    }

    /// The account's keys, oldest first.
    pub(crate) async fn list_keys(&self, account: &str) -> Result<Vec<KeyRow>, DbError> {
        self.pool
            .fetch_all(
                "SELECT id, account, resource, purpose, version, state, wrapped, provider_key_id, created_at
                 FROM key WHERE account = $1 ORDER BY purpose, version",
                params![account],
            )
            .await?
            .iter()
            .map(key_row)
            .collect()
    }

    /// The keys of all accounts.
    pub(crate) async fn list_all_keys(&self) -> Result<Vec<KeyRow>, DbError> {
        self.pool
            .fetch_all(
                "SELECT id, account, resource, purpose, version, state, wrapped, provider_key_id, created_at
                 FROM key ORDER BY account, purpose, version",
                params![],
            )
            .await?
            .iter()
            .map(key_row)
            .collect()
    }

    /// Adds a key, unless another replica has added one of this purpose and version.
    pub(crate) async fn insert_key(&self, row: &KeyRow) -> Result<(), DbError> {
        self.pool
            .execute(
                "INSERT INTO key (id, account, resource, purpose, version, state, wrapped, provider_key_id, created_at)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
                 ON CONFLICT (account, purpose, version) DO NOTHING",
                params![
                    row.id.clone(),
                    row.account.clone(),
                    row.resource.clone(),
                    row.purpose.as_str(),
                    row.version,
                    row.state.as_str(),
                    row.wrapped.clone(),
                    row.provider_key_id.clone(),
                    row.created_at.as_micros()
                ],
            )
            .await?;
        Ok(())
    }
}

fn key_row(row: &Row) -> Result<KeyRow, DbError> {
    let id = row.text("id")?;
    Ok(KeyRow {
        account: row.text("account")?,
        resource: row.text("resource")?,
        purpose: row
            .text("purpose")?
            .parse()
            .map_err(|_| inconsistent("key", "purpose", &id))?,
        version: row.int("version")?,
        state: row
            .text("state")?
            .parse()
            .map_err(|_| inconsistent("key", "state", &id))?,
        wrapped: row.bytes("wrapped")?,
        provider_key_id: row.text("provider_key_id")?,
        created_at: Timestamp::from_micros(row.int("created_at")?),
        id,
    })
}

fn inconsistent(table: &'static str, column: &'static str, id: &str) -> DbError {
    DbError::Inconsistent {
        table,
        column,
        id: id.to_owned(),
    }
}
