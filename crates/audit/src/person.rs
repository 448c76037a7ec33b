//! Per-person keys: what makes a person's details readable, and erasable.

use countersign_crypto::{Keyring, UserKey};
use countersign_db::Pool;

use crate::{AuditError, Record};

/// Opens personal details for an operator.
#[derive(Debug)]
pub struct PersonKeys {}

impl PersonKeys {
    /// Reads with the operator's keyring (purpose [`countersign_crypto::KeyPurpose::Person`]).
    #[must_use]
    pub fn new(pool: &Pool, keyring: std::sync::Arc<Keyring>) -> Self {
        todo!()
    }
    /// Opens the personal details of records, in place.
    pub async fn open(&self, records: &mut [Record]) -> Result<(), AuditError> {
        todo!()
    }
    /// The pseudonym under which a person's records are stored; `None` when there are none (or no longer).
    pub async fn pseudonym(&self, person: &UserKey) -> Result<Option<String>, AuditError> {
        todo!()
    }
}

/// Destroys the person's key in this database. Records stay and still verify; nobody can read their personal
/// details or link them to the person any more. `false`: there was none.
pub async fn forget(pool: &Pool, keyring: &Keyring, person: &UserKey, now_micros: i64) -> Result<bool, AuditError> {
    todo!()
}
