//! The only SQL of the identity role, one file an aggregate.
//!
//! Verbs: `find` gives an `Option`, `list` a page in the order of its key, `insert`, `update`, `delete` run in
//! the caller's transaction, so that a change and its entry in the change feed commit together. Every row key
//! carries the account (design D5); the functions that look across accounts say so: they find a caller by access key
//! or a session by a secret of ours, and serve start-up.

pub(crate) mod access_key;
pub(crate) mod account;
pub(crate) mod api_key_provider;
pub(crate) mod authorization_session;
#[cfg(test)]
mod authorization_session_tests;
pub(crate) mod client_token;
pub(crate) mod confirmation;
#[cfg(test)]
mod confirmation_tests;
pub(crate) mod grant;
pub(crate) mod grant_overview;
#[cfg(test)]
pub(crate) mod grant_tests;
pub(crate) mod inbound_jwt;
pub(crate) mod key;
pub(crate) mod oauth2_provider;
#[cfg(test)]
mod oauth2_provider_tests;
pub(crate) mod principal;
pub(crate) mod principal_address;
#[cfg(test)]
mod principal_tests;
pub(crate) mod refresh_ledger;
#[cfg(test)]
mod refresh_ledger_tests;
pub(crate) mod restored;
pub(crate) mod revocation;
pub(crate) mod sealed;
#[cfg(test)]
mod sealed_tests;
pub(crate) mod stop;
pub(crate) mod tag;
#[cfg(test)]
mod tests;
pub(crate) mod token_vault;
pub(crate) mod workload_identity;

use countersign_crypto::UserKey;
use countersign_db::Migration;

macro_rules! migration {
    ($version:literal, $name:literal) => {
        migration!("000", $version, $name)
    };
    ($zeros:literal, $version:literal, $name:literal) => {
        Migration {
            version: $version,
            name: $name,
            sqlite: include_str!(concat!(
                "../../migrations/sqlite/",
                $zeros,
                $version,
                "_",
                $name,
                ".sql"
            )),
            postgres: include_str!(concat!(
                "../../migrations/postgres/",
                $zeros,
                $version,
                "_",
                $name,
                ".sql"
            )),
        }
    };
}

/// The schema of the identity role. The audit tables are their own owner's.
pub(crate) const MIGRATIONS: &[Migration] = &[
    migration!(1, "accounts_principals_and_registrations"),
    migration!(2, "authorization_session_and_grant"),
    migration!(3, "principal_trust_and_access_key_status"),
    migration!(4, "client_token_and_inbound_jwt"),
    migration!(5, "api_key_provider_and_resource_tag"),
    migration!(6, "revocations"),
    migration!(7, "refresh_ledger"),
    migration!(8, "token_vault"),
    migration!(9, "lists_and_principal_addresses"),
    migration!("00", 10, "unconfirmed_grants"),
];

/// The owner's name in the migration table, and the default schema in PostgreSQL.
pub(crate) const OWNER: &str = "identity";

/// What the ids of a page of newest first lie below: `after`, or for the first page more than any UUID. A condition that
/// spared the first page the comparison would keep the others from beginning where they do in the index.
fn before_id(after: &str) -> &str {
    if after.is_empty() { "z" } else { after }
}

/// A stored SHA-256.
fn hash32(bytes: Vec<u8>) -> Option<[u8; 32]> {
    bytes.try_into().ok()
}

/// A stored user key.
fn user_key(bytes: Vec<u8>) -> Option<UserKey> {
    hash32(bytes).map(UserKey::from_bytes)
}

/// A list of texts, stored as a JSON array.
fn json_list(text: &str) -> Option<Vec<String>> {
    serde_json::from_str(text).ok()
}
