//! The keyrings of the installation and of each account, made at the first start (design D24, D27).

use std::collections::HashMap;
use std::sync::Arc;

use countersign_api::Arn;
use countersign_crypto::{
    Clock, KeyError, KeyProvider, KeyPurpose, KeyRow, Keyring, NewKey, Random, SigningKey,
};
use countersign_db::{DbError, Pool};

use crate::store::key;

/// Keys of the installation as a whole.
#[derive(Debug)]
pub(crate) struct InstallationKeys {
    /// Browser cookies' form tokens and pagination tokens.
    pub(crate) session: Keyring,
    /// The per-person keys of the audit trail.
    pub(crate) person: Arc<Keyring>,
    /// Public halves of every audit key that is not retired.
    pub(crate) audit_public: countersign_crypto::JwkSet,
}

/// Keys of one account.
#[derive(Debug)]
pub(crate) struct AccountKeys {
    /// Tokens, client secrets, sessions.
    pub(crate) vault: Keyring,
    /// Workload access tokens.
    pub(crate) workload_access_token: Keyring,
    /// Secrets of access keys.
    pub(crate) credential: Keyring,
}

impl AccountKeys {
    /// The purposes of an account's own keys.
    pub(crate) const PURPOSES: [KeyPurpose; 3] = [
        KeyPurpose::Vault,
        KeyPurpose::Credential,
        KeyPurpose::WorkloadAccessToken,
    ];

    /// The keys of one of [`Self::PURPOSES`].
    pub(crate) fn ring(&self, purpose: KeyPurpose) -> &Keyring {
        match purpose {
            KeyPurpose::Credential => &self.credential,
            KeyPurpose::WorkloadAccessToken => &self.workload_access_token,
            _ => &self.vault,
        }
    }
}

/// Why keys could not be loaded or made.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// The database.
    #[error(transparent)]
    Database(#[from] DbError),
    /// The key provider, or a key that is not what it should be.
    #[error(transparent)]
    Key(#[from] KeyError),
}

/// Loads keys, making those that do not exist yet.
pub(crate) struct KeyLoader<'a> {
    pub(crate) pool: &'a Pool,
    pub(crate) provider: &'a dyn KeyProvider,
    pub(crate) random: &'a dyn Random,
    pub(crate) clock: &'a dyn Clock,
    pub(crate) region: &'a str,
}

impl KeyLoader<'_> {
    /// Wraps every key that `previous` wrapped under the provider (design D27: nothing that the keys sealed changes).
    /// Gives how many. Ended half-way, it goes on at the next start.
    pub(crate) async fn rewrap(&self, previous: &dyn KeyProvider) -> Result<usize, KeysError> {
        let rows = key::list_of_other_roots(self.pool, &self.provider.key_id()).await?;
        for row in &rows {
            let rewrapped = row.rewrap(previous, self.provider).await?;
            key::set_wrapped(self.pool, &rewrapped, &row.wrapped).await?;
        }
        Ok(rows.len())
    }

    /// The keys of the installation, and the one that signs audit checkpoints; `account` is its own account.
    pub(crate) async fn installation(
        &self,
        account: &str,
    ) -> Result<(InstallationKeys, SigningKey), KeysError> {
        let audit_rows = self.rows(account, KeyPurpose::AuditSigning).await?;
        let mut audit_keys = Vec::with_capacity(audit_rows.len());
        for row in &audit_rows {
            audit_keys.push(SigningKey::unwrap(self.provider, row).await?);
        }
        let audit_public = countersign_crypto::JwkSet {
            keys: audit_keys.iter().map(SigningKey::public_jwk).collect(),
        };
        let primary = audit_rows
            .iter()
            .position(|row| row.state == countersign_crypto::KeyState::Primary);
        let audit = primary
            .map(|index| audit_keys.swap_remove(index))
            .ok_or(KeyError::Rows)?;
        let keys = InstallationKeys {
            session: self.keyring(account, KeyPurpose::Session).await?,
            person: Arc::new(self.keyring(account, KeyPurpose::Person).await?),
            audit_public,
        };
        Ok((keys, audit))
    }

    /// The keys of every one of `accounts`.
    pub(crate) async fn accounts(
        &self,
        accounts: impl IntoIterator<Item = &str>,
    ) -> Result<HashMap<String, AccountKeys>, KeysError> {
        let mut keys = HashMap::new();
        for account in accounts {
            let of_account = AccountKeys {
                vault: self.keyring(account, KeyPurpose::Vault).await?,
                workload_access_token: self.keyring(account, KeyPurpose::WorkloadAccessToken).await?,
                credential: self.keyring(account, KeyPurpose::Credential).await?,
            };
            keys.insert(account.to_owned(), of_account);
        }
        Ok(keys)
    }

    async fn keyring(&self, account: &str, purpose: KeyPurpose) -> Result<Keyring, KeysError> {
        let rows = self.rows(account, purpose).await?;
        Ok(Keyring::unwrap(self.provider, &rows).await?)
    }

    async fn rows(&self, account: &str, purpose: KeyPurpose) -> Result<Vec<KeyRow>, KeysError> {
        let rows = key::list(self.pool, account, purpose).await?;
        if !rows.is_empty() {
            return Ok(rows);
        }
        let resource = match purpose {
            KeyPurpose::Vault => Arn::token_vault(self.region, account),
            _ => Arn::account(self.region, account),
        };
        let new = NewKey {
            account,
            resource: &resource.to_string(),
            purpose,
            version: 1,
        };
        let row = match purpose {
            KeyPurpose::AuditSigning => {
                KeyRow::generate_es256(self.provider, self.random, self.clock, new).await?
            }
            _ => KeyRow::generate_symmetric(self.provider, self.random, self.clock, new).await?,
        };
        // A replica that starts at the same moment may be first; then its key is everybody's.
        key::insert(self.pool, &row).await?;
        Ok(key::list(self.pool, account, purpose).await?)
    }
}

/// What the audit trail of the role is verified and read with.
#[derive(Debug)]
pub struct AuditKeys {
    /// Public keys of every version of the audit signing key.
    pub signing: countersign_crypto::JwkSet,
    /// Opens the per-person keys.
    pub persons: Arc<Keyring>,
}

/// Reads the audit keys, and makes none: for reading a stopped store.
pub async fn audit_keys(pool: &Pool, provider: &dyn KeyProvider) -> Result<AuditKeys, KeysError> {
    let mut keys = Vec::new();
    for row in key::list_by_purpose(pool, KeyPurpose::AuditSigning).await? {
        keys.push(SigningKey::unwrap(provider, &row).await?.public_jwk());
    }
    let persons = key::list_by_purpose(pool, KeyPurpose::Person).await?;
    Ok(AuditKeys {
        signing: countersign_crypto::JwkSet { keys },
        persons: Arc::new(Keyring::unwrap(provider, &persons).await?),
    })
}
