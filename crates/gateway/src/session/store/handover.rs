//! Hand-over codes.

use countersign_crypto::Timestamp;
use countersign_db::{DbError, params};
use uuid::Uuid;

use super::{Store, inconsistent};

/// A hand-over code as it is stored.
#[derive(Debug)]
pub(crate) struct Handover {
    pub(crate) code_hash: String,
    pub(crate) sid: Uuid,
    pub(crate) origin: String,
    pub(crate) state_hash: String,
    pub(crate) expires_at: Timestamp,
}

impl Store {
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
}
