//! The keyrings of the installation and of each account, made at the first start (design D24, D27).

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use countersign_api::Arn;
use countersign_crypto::{
    Aad, Clock, KeyError, KeyProvider, KeyProviderError, KeyPurpose, KeyRow, KeyState, Keyring, NewKey,
    OpenError, Random, SecretBytes, SigningKey,
};
use countersign_db::{DbError, Pool};

use crate::state::NoKeys;
use crate::store::key;
use crate::store::sealed::SealedColumn;

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
    /// Tokens and sessions; [`Self::vault`].
    vault: ArcSwapOption<Keyring>,
    /// Workload access tokens.
    pub(crate) workload_access_token: Arc<Keyring>,
    /// Secrets of access keys, and what providers are reached with.
    pub(crate) credential: Arc<Keyring>,
}

impl AccountKeys {
    /// The purposes of an account's own keys.
    pub(crate) const PURPOSES: [KeyPurpose; 3] = [
        KeyPurpose::Vault,
        KeyPurpose::Credential,
        KeyPurpose::WorkloadAccessToken,
    ];

    /// The keys of one of [`Self::PURPOSES`]; `None` where a customer managed key does not open the vault's.
    pub(crate) fn ring(&self, purpose: KeyPurpose) -> Option<Arc<Keyring>> {
        match purpose {
            KeyPurpose::Credential => Some(Arc::clone(&self.credential)),
            KeyPurpose::WorkloadAccessToken => Some(Arc::clone(&self.workload_access_token)),
            _ => self.vault.load_full(),
        }
    }

    /// Seals and opens tokens and sessions.
    pub(crate) fn vault(&self) -> Result<Arc<Keyring>, NoKeys> {
        self.vault.load_full().ok_or(NoKeys::VaultAway)
    }

    /// Opens the vault with this ring, or closes it.
    pub(crate) fn set_vault(&self, ring: Option<Arc<Keyring>>) {
        self.vault.store(ring);
    }

    /// Opens a value of a column, at its place.
    pub(crate) fn open(
        &self,
        column: &SealedColumn,
        place: &Aad,
        sealed: &[u8],
    ) -> Result<SecretBytes, OpenError> {
        self.open_under([Some(column.purpose), column.before], place, sealed)
    }

    /// Opens what a provider is reached with: a client secret, an API key. Once such were sealed under the vault's key;
    /// now they outlive it, as in AWS, where they lie in Secrets Manager.
    pub(crate) fn open_provider_secret(&self, place: &Aad, sealed: &[u8]) -> Result<SecretBytes, OpenError> {
        let purposes = [Some(KeyPurpose::Credential), Some(KeyPurpose::Vault)];
        self.open_under(purposes, place, sealed)
    }

    fn open_under(
        &self,
        purposes: [Option<KeyPurpose>; 2],
        place: &Aad,
        sealed: &[u8],
    ) -> Result<SecretBytes, OpenError> {
        let rings = purposes
            .into_iter()
            .flatten()
            .filter_map(|purpose| self.ring(purpose));
        let mut opened = Err(OpenError::UnknownKey);
        for ring in rings {
            opened = ring.open(place, sealed);
            if !matches!(opened, Err(OpenError::UnknownKey)) {
                break;
            }
        }
        opened
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
        // Those of a third root key are not its business: a customer may manage it.
        let rows = key::list_of_root(self.pool, &previous.key_id()).await?;
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
            let vault = self.rows(account, KeyPurpose::Vault).await?;
            let vault = open_vault(self.provider, &vault).await?;
            let wats = self.keyring(account, KeyPurpose::WorkloadAccessToken).await?;
            let of_account = AccountKeys {
                vault: ArcSwapOption::from(vault),
                workload_access_token: Arc::new(wats),
                credential: Arc::new(self.keyring(account, KeyPurpose::Credential).await?),
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

/// The keys of a vault, unwrapped. `None` when a key that its customer manages does not open them: then the vault is
/// closed, and nothing else is.
pub(crate) async fn open_vault(
    provider: &dyn KeyProvider,
    rows: &[KeyRow],
) -> Result<Option<Arc<Keyring>>, KeyError> {
    match Keyring::unwrap(provider, rows).await {
        Ok(ring) => Ok(Some(Arc::new(ring))),
        Err(error @ KeyError::Provider(_)) if customer_managed(provider, rows).is_some() => {
            log_closed(&error, rows.first().map_or("", |row| &row.account));
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Says why a vault is closed: its customer has a key that refuses, or KMS could not be asked.
pub(crate) fn log_closed(error: &KeyError, account: &str) {
    if matches!(error, KeyError::Provider(KeyProviderError::Unavailable(_))) {
        tracing::error!(%error, account, "KMS could not be asked for the vault's customer managed key; no token is served until it answers");
    } else {
        tracing::error!(%error, account, "the vault's customer managed key does not open it; no token is served");
    }
}

/// The primary key of a vault, if a key that its customer manages wraps it.
pub(crate) fn customer_managed<'a>(provider: &dyn KeyProvider, rows: &'a [KeyRow]) -> Option<&'a KeyRow> {
    let root = provider.key_id();
    let primary = rows.iter().find(|row| row.state == KeyState::Primary)?;
    (primary.purpose == KeyPurpose::Vault && primary.provider_key_id != root).then_some(primary)
}

/// What the audit trail of the role is verified and read with.
#[derive(Debug)]
pub struct AuditKeys {
    /// Public keys of every version of the audit signing key.
    pub signing: countersign_crypto::JwkSet,
    /// Opens the per-person keys.
    pub persons: Arc<Keyring>,
    /// Signs checkpoints: the primary one, if there is one.
    pub signer: Option<SigningKey>,
}

/// Reads the audit keys, and makes none: for reading a stopped store.
pub async fn audit_keys(pool: &Pool, provider: &dyn KeyProvider) -> Result<AuditKeys, KeysError> {
    let (mut keys, mut signer) = (Vec::new(), None);
    for row in key::list_by_purpose(pool, KeyPurpose::AuditSigning).await? {
        let key = SigningKey::unwrap(provider, &row).await?;
        keys.push(key.public_jwk());
        if row.state == KeyState::Primary {
            signer = Some(key);
        }
    }
    let persons = key::list_by_purpose(pool, KeyPurpose::Person).await?;
    Ok(AuditKeys {
        signing: countersign_crypto::JwkSet { keys },
        persons: Arc::new(Keyring::unwrap(provider, &persons).await?),
        signer,
    })
}
