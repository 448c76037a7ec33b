//! The gateway's own keys: created at the first start, wrapped by its key provider, kept in its database,
//! so that sessions and tokens outlive a restart.

use std::sync::Arc;

use countersign_crypto::{
    JwkSet, KeyError, KeyProvider, KeyPurpose, KeyRow, KeyState, Keyring, NewKey, SharedClock, SharedRandom,
    SigningKey,
};
use countersign_db::{DbError, Pool};

use crate::config::Config;
use crate::session::Store;

/// Purposes of symmetric keys.
const SYMMETRIC: [KeyPurpose; 2] = [KeyPurpose::Session, KeyPurpose::Person];
/// Purposes of signing keys.
const SIGNING: [KeyPurpose; 3] = [
    KeyPurpose::UserTokenSigning,
    KeyPurpose::AlbHeaderSigning,
    KeyPurpose::AuditSigning,
];

/// The keys cannot be had; the gateway does not start without them.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// The database with the wrapped keys.
    #[error("gateway keys: {0}")]
    Database(#[from] DbError),
    /// The key provider, or what it unwrapped.
    #[error("gateway keys: {0}")]
    Key(#[from] KeyError),
    /// No primary key of a purpose.
    #[error("gateway keys: no primary key for {0}")]
    Missing(&'static str),
}

/// All keys, unwrapped.
pub(crate) struct Keys {
    pub(crate) session: Keyring,
    pub(crate) person: Keyring,
    pub(crate) user_token: SigningKey,
    pub(crate) alb_header: SigningKey,
    pub(crate) audit: SigningKey,
    /// Public halves, retired keys excepted.
    pub(crate) public: PublicKeys,
}

/// What a reader of the gateway's audit chain needs.
pub struct AuditKeys {
    /// Public keys of checkpoints, all versions.
    pub signing: JwkSet,
    /// Opens the keys of persons.
    pub persons: Arc<Keyring>,
}

/// Reads the keys of the audit chain from the gateway's database, which may be open read-only. Creates
/// none.
pub async fn audit_keys(pool: &Pool, provider: &dyn KeyProvider) -> Result<AuditKeys, KeysError> {
    let rows = Store::new(pool.clone()).list_all_keys().await?;
    let mut signing = JwkSet::default();
    for row in rows.iter().filter(|row| row.purpose == KeyPurpose::AuditSigning) {
        signing
            .keys
            .push(SigningKey::unwrap(provider, row).await?.public_jwk());
    }
    let persons: Vec<KeyRow> = rows
        .into_iter()
        .filter(|row| row.purpose == KeyPurpose::Person)
        .collect();
    Ok(AuditKeys {
        signing,
        persons: Arc::new(Keyring::unwrap(provider, &persons).await?),
    })
}

/// What the key listener serves.
#[derive(Debug, Default)]
pub(crate) struct PublicKeys {
    /// Keys of user tokens.
    pub(crate) user_token: JwkSet,
    /// Key id and PEM of user-token and ALB-header keys.
    pub(crate) pem: Vec<(String, String)>,
}

impl Keys {
    /// Loads all keys, creating those that are missing.
    pub(crate) async fn load(
        store: &Store,
        provider: &dyn KeyProvider,
        config: &Config,
        clock: &SharedClock,
        random: &SharedRandom,
    ) -> Result<Self, KeysError> {
        let rows = store.list_keys(&config.account).await?;
        let resource = format!("arn:aws:countersign:{}:{}:gateway", config.region, config.account);
        let missing = |purpose: &KeyPurpose| rows.iter().all(|row| row.purpose != *purpose);
        for purpose in SYMMETRIC.into_iter().filter(missing) {
            let new = NewKey {
                account: &config.account,
                resource: &resource,
                purpose,
                version: 1,
            };
            store
                .insert_key(&KeyRow::generate_symmetric(provider, &**random, &**clock, new).await?)
                .await?;
        }
        for purpose in SIGNING.into_iter().filter(missing) {
            let new = NewKey {
                account: &config.account,
                resource: &resource,
                purpose,
                version: 1,
            };
            store
                .insert_key(&KeyRow::generate_es256(provider, &**random, &**clock, new).await?)
                .await?;
        }
        // Read back: another replica may have been first.
        Self::unwrap(&store.list_keys(&config.account).await?, provider).await
    }

    async fn unwrap(rows: &[KeyRow], provider: &dyn KeyProvider) -> Result<Self, KeysError> {
        let of = |purpose| {
            rows.iter()
                .filter(|row| row.purpose == purpose)
                .cloned()
                .collect::<Vec<_>>()
        };
        Ok(Self {
            session: Keyring::unwrap(provider, &of(KeyPurpose::Session)).await?,
            person: Keyring::unwrap(provider, &of(KeyPurpose::Person)).await?,
            user_token: primary(rows, KeyPurpose::UserTokenSigning, provider).await?,
            alb_header: primary(rows, KeyPurpose::AlbHeaderSigning, provider).await?,
            audit: primary(rows, KeyPurpose::AuditSigning, provider).await?,
            public: PublicKeys::unwrap(rows, provider).await?,
        })
    }
}

async fn primary(
    rows: &[KeyRow],
    purpose: KeyPurpose,
    provider: &dyn KeyProvider,
) -> Result<SigningKey, KeysError> {
    let row = rows
        .iter()
        .find(|row| row.purpose == purpose && row.state == KeyState::Primary)
        .ok_or(KeysError::Missing(purpose.as_str()))?;
    Ok(SigningKey::unwrap(provider, row).await?)
}

impl PublicKeys {
    async fn unwrap(rows: &[KeyRow], provider: &dyn KeyProvider) -> Result<Self, KeysError> {
        let mut public = Self::default();
        for row in rows.iter().filter(|row| row.state != KeyState::Retired) {
            let user_token = row.purpose == KeyPurpose::UserTokenSigning;
            if !user_token && row.purpose != KeyPurpose::AlbHeaderSigning {
                continue;
            }
            let key = SigningKey::unwrap(provider, row).await?;
            if user_token {
                public.user_token.keys.push(key.public_jwk());
            }
            public.pem.push((key.kid().to_owned(), key.public_pem()));
        }
        Ok(public)
    }
}
