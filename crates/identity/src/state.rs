//! What every operation and page of the identity role shares.

use std::collections::HashMap;
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use countersign_audit::Recorder;
use countersign_crypto::{KeyProvider, Keyring, SharedClock, SharedRandom, Timestamp};
use countersign_db::{ChangeFeed, DbError, Pool, Transaction, record_change};
use countersign_oauth::{Discovery, JwksCache, KeyDiscovery};
use countersign_outbound as outbound;
use countersign_web::PersonVerifier;
use url::Url;

use crate::access_key_use::AccessKeyUses;
use crate::cache::Cache;
use crate::client_keys::ClientKeys;
use crate::config::{AccountChange, Config, GrantLimits, Quotas, SidRule, StartLogin};
use crate::console::Verification;
use crate::external_secret::ExternalSecrets;
use crate::keys::{AccountKeys, InstallationKeys};
use crate::principal_addresses::PrincipalAddresses;
use crate::rate_limit::RateLimiter;
use crate::stops::Stops;
use crate::strangers::Strangers;
use crate::vault::client_token::Turns;
use crate::vault::refresh::Refreshes;

/// The shared state; cheap to clone.
#[derive(Clone)]
pub(crate) struct State(Arc<Shared>);

/// The parts of [`State`].
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) pool: Pool,
    pub(crate) feed: ChangeFeed,
    pub(crate) cache: Arc<Cache>,
    pub(crate) stops: Arc<Stops>,
    pub(crate) rates: RateLimiter,
    pub(crate) strangers: Strangers,
    pub(crate) installation: InstallationKeys,
    /// Secrets in customers' own Secrets Manager.
    pub(crate) external_secrets: ExternalSecrets,
    /// The operator's keys for `PRIVATE_KEY_JWT`.
    pub(crate) client_keys: ClientKeys,
    /// One request of client credentials at a time for each token.
    pub(crate) client_tokens: Turns,
    /// Refreshes under way in this replica.
    pub(crate) refreshes: Refreshes,
    pub(crate) access_key_uses: AccessKeyUses,
    /// From where principals call.
    pub(crate) principal_addresses: PrincipalAddresses,
    /// When each gateway last asked who is stopped, by issuer.
    pub(crate) gateways_asked: Mutex<HashMap<String, Timestamp>>,
    /// The check of the trail that an operator began at the console.
    pub(crate) verification: Verification,
    /// Opens what is new in `key_version`.
    pub(crate) key_provider: Arc<dyn KeyProvider>,
    pub(crate) accounts: HashMap<String, AccountKeys>,
    /// Whether `accounts` is known to be older than the store and could not be renewed.
    pub(crate) keys_outdated: AtomicBool,
    pub(crate) recorder: Recorder,
    pub(crate) clock: SharedClock,
    pub(crate) random: SharedRandom,
    pub(crate) outbound: outbound::Client,
    pub(crate) discovery: Discovery,
    pub(crate) key_discovery: KeyDiscovery,
    pub(crate) jwks: JwksCache,
    /// Verifies user tokens of the configured gateways; each door names its own audience.
    pub(crate) persons: Arc<PersonVerifier>,
}

/// The settings of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct AccountSettings {
    pub(crate) start_login: StartLogin,
    pub(crate) sid: SidRule,
    pub(crate) account_change: AccountChange,
    pub(crate) quotas: Quotas,
    pub(crate) grant_limits: GrantLimits,
}

/// The keys of an account cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoKeys {
    /// The account is not configured any more.
    #[error("account {0} is not configured")]
    NotConfigured(String),
    /// They have changed, and the key provider has not opened the new ones yet. What is sealed under the old ones now
    /// might be lost when they are retired.
    #[error("the keys have changed and cannot be read")]
    Outdated,
    /// The customer managed key of the account does not open its vault.
    #[error("the vault's customer managed key does not open it")]
    VaultAway,
}

impl Deref for State {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

impl From<Shared> for State {
    fn from(shared: Shared) -> Self {
        Self(Arc::new(shared))
    }
}

impl axum::extract::FromRef<State> for Arc<PersonVerifier> {
    fn from_ref(state: &State) -> Self {
        Self::clone(&state.persons)
    }
}

impl Shared {
    /// The keys of an account.
    pub(crate) fn keys(&self, account: &str) -> Result<&AccountKeys, NoKeys> {
        if self.keys_outdated.load(Ordering::Acquire) {
            return Err(NoKeys::Outdated);
        }
        self.accounts
            .get(account)
            .ok_or_else(|| NoKeys::NotConfigured(account.to_owned()))
    }

    /// Seals and opens tokens and sessions of an account.
    pub(crate) fn vault_keyring(&self, account: &str) -> Result<Arc<Keyring>, NoKeys> {
        self.keys(account)?.vault()
    }

    /// As [`Self::vault_keyring`], or `before` where the vault has closed since that was taken: for what a vendor gave in
    /// the place of something that is spent by now, and that must not be lost.
    pub(crate) fn vault_keyring_or(&self, account: &str, before: &Arc<Keyring>) -> Arc<Keyring> {
        self.vault_keyring(account).unwrap_or_else(|_| Arc::clone(before))
    }

    /// The settings of an account; the strictest for one that is not configured any more.
    pub(crate) fn settings(&self, account: &str) -> AccountSettings {
        let configured = self
            .config
            .accounts()
            .into_iter()
            .find(|configured| configured.id == account);
        configured.map_or(
            AccountSettings {
                start_login: StartLogin::Required,
                sid: SidRule::Require,
                account_change: AccountChange::Refuse,
                quotas: Quotas::default(),
                grant_limits: GrantLimits::default(),
            },
            |account| AccountSettings {
                start_login: account.start_login,
                sid: account.sid,
                account_change: account.account_change,
                quotas: account.quotas,
                grant_limits: account.grant_limits,
            },
        )
    }

    /// A URL of the front channel; `path` begins with a slash.
    pub(crate) fn front_channel(&self, path: &str) -> Url {
        let mut url = self.config.front_channel_url.clone();
        url.set_path(path);
        url
    }

    /// The redirect URI of the provider with this callback id.
    pub(crate) fn callback_url(&self, callback_id: &str) -> Url {
        self.front_channel(&format!("/identities/oauth2/callback/{callback_id}"))
    }

    /// Records `changes` (kind and key) and commits; what this replica had cached of them is dropped on the way.
    pub(crate) async fn commit(
        &self,
        mut tx: Transaction,
        changes: &[(&'static str, &str)],
    ) -> Result<(), DbError> {
        let now = self.clock.now().as_micros();
        for (kind, key) in changes {
            record_change(&mut tx, kind, key, now).await?;
        }
        tx.commit().await?;
        if changes
            .iter()
            .any(|(kind, _)| *kind == crate::store::stop::CHANGE)
        {
            // It is committed, and says so: what is in memory no longer counts, and whoever follows the changes reads it
            // again until it succeeds.
            if let Err(error) = self.stops.reload().await {
                tracing::warn!(%error, "stops were changed and could not be read again yet");
            }
        }
        Ok(())
    }
}
