//! Every column that holds sealed values: what rotation seals anew, and what a key may be needed for.
//!
//! A value says by its first bytes which key sealed it, so the database itself finds those of an old key.

use countersign_crypto::{Aad, KeyPurpose};
use countersign_db::{DbError, Pool, Transaction, params};

/// A column of sealed values.
#[derive(Debug)]
pub(crate) struct SealedColumn {
    /// The table it is in.
    pub(crate) table: &'static str,
    /// Its name.
    pub(crate) column: &'static str,
    /// Which of the account's keys seals it.
    pub(crate) purpose: KeyPurpose,
    /// Which one sealed it in older versions, until the background pass comes by.
    pub(crate) before: Option<KeyPurpose>,
    /// The table that a value is bound to (design D27): not `table` where a row takes over another's values.
    place: &'static str,
    list: &'static str,
    replace: &'static str,
    count: &'static str,
}

macro_rules! sealed_column {
    ($purpose:ident, $table:literal . $column:literal of $id:literal, at $place:literal) => {
        SealedColumn {
            table: $table,
            column: $column,
            purpose: KeyPurpose::$purpose,
            before: None,
            place: $place,
            list: concat!(
                "SELECT ", $id, " AS id, ", $column, " AS sealed FROM ", $table, " WHERE account = $1 AND ", $id,
                " > $2 AND ", $column, " IS NOT NULL AND substr(", $column, ", 1, 17) <> $3 ORDER BY ", $id,
                " LIMIT $4"
            ),
            replace: concat!(
                "UPDATE ", $table, " SET ", $column, " = $3 WHERE ", $id, " = $1 AND ", $column, " = $2"
            ),
            count: concat!(
                "SELECT COUNT(*) AS n FROM ", $table, " WHERE account = $1 AND substr(", $column, ", 1, 17) = $2"
            ),
        }
    };
    ($purpose:ident, $table:literal . $column:literal) => {
        sealed_column!($purpose, $table . $column of "id", at $table)
    };
}

/// All of them.
pub(crate) const COLUMNS: &[SealedColumn] = &[
    sealed_column!(Vault, "oauth2_grant"."access_token"),
    sealed_column!(Vault, "oauth2_grant"."refresh_token"),
    sealed_column!(Vault, "oauth2_grant"."account_identity"),
    sealed_column!(Vault, "revocation"."access_token" of "grant_id", at "oauth2_grant"),
    sealed_column!(Vault, "revocation"."refresh_token" of "grant_id", at "oauth2_grant"),
    sealed_column!(Vault, "authorization_session"."secrets"),
    sealed_column!(Vault, "authorization_session"."code"),
    sealed_column!(Vault, "client_token"."access_token"),
    SealedColumn {
        before: Some(KeyPurpose::Vault),
        ..sealed_column!(Credential, "oauth2_provider"."client_secret")
    },
    SealedColumn {
        before: Some(KeyPurpose::Vault),
        ..sealed_column!(Credential, "api_key_provider"."api_key")
    },
    sealed_column!(Credential, "access_key"."secret"),
    sealed_column!(WorkloadAccessToken, "inbound_jwt"."jwt"),
];

impl SealedColumn {
    /// Whether a key of this purpose may be needed for a value.
    pub(crate) fn needs(&self, purpose: KeyPurpose) -> bool {
        self.purpose == purpose || self.before == Some(purpose)
    }

    /// Where the value of the row `id` is bound to.
    pub(crate) fn place(&self, account: &str, id: &str) -> Aad {
        Aad::new(account, self.place, id, self.column)
    }

    /// Values of an account that do not begin with `prefix`, with the ids of their rows, in the order of these, after
    /// the row `after`.
    pub(crate) async fn list_not_under(
        &self,
        pool: &Pool,
        account: &str,
        prefix: &[u8],
        after: &str,
        limit: i64,
    ) -> Result<Vec<(String, Vec<u8>)>, DbError> {
        let rows = pool
            .fetch_all(self.list, params![account, after, prefix, limit])
            .await?;
        rows.iter()
            .map(|row| Ok((row.text("id")?, row.bytes("sealed")?)))
            .collect()
    }

    /// Puts `new` in the place of `old`; `false` when another value, or none, stands there by now.
    pub(crate) async fn replace(
        &self,
        tx: &mut Transaction,
        id: &str,
        old: &[u8],
        new: &[u8],
    ) -> Result<bool, DbError> {
        Ok(tx.execute(self.replace, params![id, old, new]).await? == 1)
    }

    /// How many values of an account begin with `prefix`.
    pub(crate) async fn count_under(
        &self,
        pool: &Pool,
        account: &str,
        prefix: &[u8],
    ) -> Result<i64, DbError> {
        let row = pool.fetch_optional(self.count, params![account, prefix]).await?;
        row.map_or(Ok(0), |row| row.int("n"))
    }
}
