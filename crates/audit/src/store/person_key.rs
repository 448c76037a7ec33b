//! The keys of persons, whose deletion forgets them.

use countersign_crypto::Timestamp;
use countersign_db::{DbError, Engine, Pool, Row, Transaction, params};

/// A person key as it is stored.
pub(crate) struct PersonKeyRow {
    pub(crate) id: String,
    pub(crate) pseudonym: Option<String>,
    pub(crate) sealed: Vec<u8>,
}

fn person_key(row: &Row) -> Result<PersonKeyRow, DbError> {
    Ok(PersonKeyRow {
        id: row.text("id")?,
        pseudonym: row.opt_text("pseudonym")?,
        sealed: row.bytes("sealed")?,
    })
}

pub(crate) async fn person_key_by_id(pool: &Pool, id: &str) -> Result<Option<PersonKeyRow>, DbError> {
    let sql = "SELECT id, pseudonym, sealed FROM person_key WHERE id = $1";
    pool.fetch_optional(sql, params![id])
        .await?
        .as_ref()
        .map(person_key)
        .transpose()
}

pub(crate) async fn person_key_by_pseudonym(
    pool: &Pool,
    pseudonym: &str,
) -> Result<Option<PersonKeyRow>, DbError> {
    let sql = "SELECT id, pseudonym, sealed FROM person_key WHERE pseudonym = $1";
    pool.fetch_optional(sql, params![pseudonym])
        .await?
        .as_ref()
        .map(person_key)
        .transpose()
}

/// Leaves an existing key in place: of two replicas that make one, the first wins.
pub(crate) async fn insert_person_key(pool: &Pool, row: PersonKeyRow, now: Timestamp) -> Result<(), DbError> {
    pool.execute(
        "INSERT INTO person_key (id, pseudonym, sealed, created_at) VALUES ($1, $2, $3, $4) \
         ON CONFLICT (id) DO NOTHING",
        params![row.id, row.pseudonym, row.sealed, now.as_micros()],
    )
    .await?;
    Ok(())
}

pub(crate) async fn delete_person_key(tx: &mut Transaction, id: &str) -> Result<bool, DbError> {
    Ok(tx
        .execute("DELETE FROM person_key WHERE id = $1", params![id])
        .await?
        > 0)
}

/// Ids of the keys of persons of whom nothing has been recorded since `before`.
pub(crate) async fn inactive_persons(pool: &Pool, before: Timestamp) -> Result<Vec<String>, DbError> {
    let sql = "SELECT id FROM person_key WHERE pseudonym IS NOT NULL AND created_at < $1 AND pseudonym NOT IN \
               (SELECT person FROM audit_record WHERE recorded_at >= $1 AND person IS NOT NULL) ORDER BY id";
    let rows = pool.fetch_all(sql, params![before.as_micros()]).await?;
    rows.iter().map(|row| row.text("id")).collect()
}

/// Folds the write-ahead log into the file and empties it, so that a deleted key does not linger there.
pub(crate) async fn empty_write_ahead_log(pool: &Pool) -> Result<(), DbError> {
    if pool.engine() == Engine::Sqlite {
        pool.fetch_all("PRAGMA wal_checkpoint(TRUNCATE)", params![])
            .await?;
    }
    Ok(())
}
