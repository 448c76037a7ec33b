//! The gateway's own keys: created at the first start, wrapped by its key provider, kept in its database,
//! so that sessions and tokens outlive a restart. A rotation is followed by every running replica; the key
//! before opens and verifies until it is retired.

use std::sync::Arc;

use arc_swap::ArcSwap;
use countersign_crypto::{
    JwkSet, KeyError, KeyProvider, KeyPurpose, KeyRow, KeyState, Keyring, NewKey, SharedClock, SharedRandom,
    SigningKey,
};
use countersign_db::{Change, DbError, Pool};
use tokio::sync::broadcast::{self, error::RecvError};

use crate::session::{KEY_CHANGED, Store};

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

/// The keys that rotate while the gateway runs, unwrapped.
pub(crate) struct Keys {
    /// Seals tickets and login transactions.
    pub(crate) session: Keyring,
    pub(crate) user_token: SigningKey,
    pub(crate) alb_header: SigningKey,
    /// Public halves, retired keys excepted.
    pub(crate) public: PublicKeys,
}

/// The keys of this process's audit chain; a chain keeps the key it began with.
pub(crate) struct ChainKeys {
    pub(crate) person: Keyring,
    pub(crate) audit: SigningKey,
}

/// The keys as of now.
pub(crate) struct LiveKeys {
    keys: ArcSwap<Keys>,
    store: Store,
    provider: Arc<dyn KeyProvider>,
    account: String,
}

impl LiveKeys {
    pub(crate) fn new(keys: Keys, store: Store, provider: Arc<dyn KeyProvider>, account: &str) -> Self {
        Self {
            keys: ArcSwap::from_pointee(keys),
            store,
            provider,
            account: account.to_owned(),
        }
    }

    pub(crate) fn provider(&self) -> Arc<dyn KeyProvider> {
        self.provider.clone()
    }

    pub(crate) fn current(&self) -> arc_swap::Guard<Arc<Keys>> {
        self.keys.load()
    }

    /// Follows rotations on any replica until the future is dropped.
    pub(crate) async fn follow(&self, mut changes: broadcast::Receiver<Change>) {
        loop {
            match changes.recv().await {
                Ok(change) if change.kind != KEY_CHANGED && !change.is_everything() => continue,
                Ok(_) | Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return,
            }
            match self.reload().await {
                Ok(()) => tracing::info!("keys read again"),
                Err(error) => tracing::error!(%error, "changed keys cannot be read; the old ones stay"),
            }
        }
    }

    async fn reload(&self) -> Result<(), KeysError> {
        let rows = self.store.list_keys(&self.account).await?;
        self.keys
            .store(Arc::new(Keys::unwrap(&rows, &*self.provider).await?));
        Ok(())
    }
}

/// What a reader of the gateway's audit chain needs.
pub struct AuditKeys {
    /// Public keys of checkpoints, all versions.
    pub signing: JwkSet,
    /// Opens the keys of persons.
    pub persons: Arc<Keyring>,
    /// Signs checkpoints: the primary one, if there is one.
    pub signer: Option<SigningKey>,
}

/// Reads the keys of the audit chain from the gateway's database, which may be open read-only. Creates
/// none.
pub async fn audit_keys(pool: &Pool, provider: &dyn KeyProvider) -> Result<AuditKeys, KeysError> {
    let rows = Store::new(pool.clone()).list_all_keys().await?;
    let (mut signing, mut signer) = (JwkSet::default(), None);
    for row in rows.iter().filter(|row| row.purpose == KeyPurpose::AuditSigning) {
        let key = SigningKey::unwrap(provider, row).await?;
        signing.keys.push(key.public_jwk());
        if row.state == KeyState::Primary {
            signer = Some(key);
        }
    }
    let persons: Vec<KeyRow> = rows
        .into_iter()
        .filter(|row| row.purpose == KeyPurpose::Person)
        .collect();
    Ok(AuditKeys {
        signing,
        persons: Arc::new(Keyring::unwrap(provider, &persons).await?),
        signer,
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
    /// Wraps every key that `previous` wrapped under `provider`; nothing that the keys sealed changes. Gives how many.
    pub(crate) async fn rewrap(
        store: &Store,
        previous: &dyn KeyProvider,
        provider: &dyn KeyProvider,
    ) -> Result<usize, KeysError> {
        let mut rows = store.list_all_keys().await?;
        rows.retain(|row| row.provider_key_id != provider.key_id());
        for row in &rows {
            store
                .set_wrapped_key(&row.rewrap(previous, provider).await?, &row.wrapped)
                .await?;
        }
        Ok(rows.len())
    }

    /// Loads all keys, creating those that are missing.
    pub(crate) async fn load(
        store: &Store,
        provider: &dyn KeyProvider,
        (account, region): (&str, &str),
        clock: &SharedClock,
        random: &SharedRandom,
    ) -> Result<(Self, ChainKeys), KeysError> {
        let rows = store.list_keys(account).await?;
        let resource = resource(region, account);
        let missing = |purpose: &KeyPurpose| rows.iter().all(|row| row.purpose != *purpose);
        for purpose in SYMMETRIC.into_iter().filter(missing) {
            let new = NewKey {
                account,
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
                account,
                resource: &resource,
                purpose,
                version: 1,
            };
            store
                .insert_key(&KeyRow::generate_es256(provider, &**random, &**clock, new).await?)
                .await?;
        }
        // Read back: another replica may have been first.
        let rows = store.list_keys(account).await?;
        let chain = ChainKeys {
            person: Keyring::unwrap(provider, &of(&rows, KeyPurpose::Person)).await?,
            audit: primary(&rows, KeyPurpose::AuditSigning, provider).await?,
        };
        Ok((Self::unwrap(&rows, provider).await?, chain))
    }

    async fn unwrap(rows: &[KeyRow], provider: &dyn KeyProvider) -> Result<Self, KeysError> {
        Ok(Self {
            session: Keyring::unwrap(provider, &of(rows, KeyPurpose::Session)).await?,
            user_token: primary(rows, KeyPurpose::UserTokenSigning, provider).await?,
            alb_header: primary(rows, KeyPurpose::AlbHeaderSigning, provider).await?,
            public: PublicKeys::unwrap(rows, provider).await?,
        })
    }
}

/// The ARN that the gateway's keys are wrapped for.
pub(crate) fn resource(region: &str, account: &str) -> String {
    format!("arn:aws:countersign:{region}:{account}:gateway")
}

fn of(rows: &[KeyRow], purpose: KeyPurpose) -> Vec<KeyRow> {
    rows.iter()
        .filter(|row| row.purpose == purpose)
        .cloned()
        .collect()
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
