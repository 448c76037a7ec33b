//! What `countersign dev` finds in place: principals, access keys, a workload identity and a provider. Repeating it
//! changes nothing that is as it should be.

use countersign_api::control::CredentialProviderVendor;
use countersign_api::control::oauth2_provider_config::{ClientAuthenticationMethod, Oauth2Discovery};
use countersign_api::{Arn, Operation, admin, data};
use countersign_audit::{AuditError, Entry, Outcome};
use countersign_crypto::{SecretString, uuid_v4, uuid_v7};
use countersign_db::DbError;
use serde_json::{Value, json};
use url::Url;

use crate::authn::{self, is_access_key_id};
use crate::policy::Policy;
use crate::start::Identity;
use crate::state::{NoKeys, State};
use crate::store::access_key;
use crate::store::oauth2_provider::{self, ProviderConfig, ProviderRow, ProviderUpdate};
use crate::store::principal::{self, PrincipalRow};
use crate::store::workload_identity::{self, ReturnHandle, WorkloadIdentityRow};

/// An access key.
#[derive(Debug, Clone)]
pub struct AccessKey {
    /// Its id, 16 to 128 upper-case letters and digits.
    pub access_key_id: String,
    /// Its secret.
    pub secret_access_key: SecretString,
}

/// What should be in place. Keys that are given are made valid; for a principal without one a new key is made and
/// its older ones go.
#[derive(Debug, Clone)]
pub struct Bootstrap {
    /// Of `dev-admin`, who may do everything (break-glass).
    pub admin: Option<AccessKey>,
    /// Of `dev-agent`.
    pub agent: Option<AccessKey>,
    /// Of `dev-binding`.
    pub binding: Option<AccessKey>,
    /// Name of the workload identity.
    pub workload: String,
    /// Its return URLs.
    pub return_urls: Vec<Url>,
    /// The provider.
    pub provider: BootstrapProvider,
}

/// A `CustomOauth2` provider. Its discovery document is not read here: it may be served by a process that starts
/// later.
#[derive(Debug, Clone)]
pub struct BootstrapProvider {
    /// Its name.
    pub name: String,
    /// Where its metadata is.
    pub discovery_url: Url,
    /// Our client id there.
    pub client_id: String,
    /// Our client secret there.
    pub client_secret: SecretString,
}

/// What is in place.
#[derive(Debug, Clone)]
pub struct Bootstrapped {
    /// Of `dev-admin`.
    pub admin: AccessKey,
    /// Of `dev-agent`.
    pub agent: AccessKey,
    /// Of `dev-binding`.
    pub binding: AccessKey,
    /// The redirect URI to register at the provider.
    pub callback_url: Url,
}

/// Why not everything could be put in place.
#[derive(Debug, thiserror::Error)]
pub enum BootstrapError {
    /// The database.
    #[error(transparent)]
    Database(#[from] DbError),
    /// The account has no keys.
    #[error("{0}")]
    Account(String),
    /// An access key id is not of the form, or belongs to somebody else.
    #[error("access key {0} cannot be used")]
    AccessKey(String),
    /// It cannot be put on record.
    #[error(transparent)]
    Audit(#[from] AuditError),
    /// A policy of ours does not compile.
    #[error("policy: {0}")]
    Policy(String),
}

impl From<NoKeys> for BootstrapError {
    fn from(error: NoKeys) -> Self {
        Self::Account(error.to_string())
    }
}

impl Identity {
    /// Puts everything in place in the configured account.
    pub async fn bootstrap(&self, bootstrap: Bootstrap) -> Result<Bootstrapped, BootstrapError> {
        let state = &self.state;
        let (region, account) = (&state.config.region, &state.config.account);
        let provider = &bootstrap.provider.name;
        let resources = [
            Arn::directory(region, account),
            Arn::workload_identity(region, account, &bootstrap.workload),
            Arn::token_vault(region, account),
            Arn::oauth2_provider(region, account, provider),
        ];
        let resources: Vec<String> = resources.iter().map(ToString::to_string).collect();
        let allow = |actions: &[&str]| {
            json!({"Version": "2012-10-17", "Statement": [
                {"Effect": "Allow", "Action": actions, "Resource": &resources},
            ]})
        };
        let agent = allow(&[
            data::GetWorkloadAccessToken::ACTION,
            data::GetWorkloadAccessTokenForJWT::ACTION,
            data::GetResourceOauth2Token::ACTION,
        ]);
        let mut binding = allow(&[data::CompleteResourceTokenAuth::ACTION]);
        if let Some(Value::Array(statements)) = binding.get_mut("Statement") {
            statements.push(json!({
                "Effect": "Allow",
                "Action": [
                    admin::ConfirmAuthorizationSession::ACTION,
                    admin::DescribeAuthorizationSession::ACTION,
                    admin::RecordBindingRefusal::ACTION,
                ],
                "Resource": resources,
            }));
        }
        let done = Bootstrapped {
            admin: ensure_principal(state, account, "dev-admin", &everything(), true, bootstrap.admin)
                .await?,
            agent: ensure_principal(state, account, "dev-agent", &agent, false, bootstrap.agent).await?,
            binding: ensure_principal(state, account, "dev-binding", &binding, false, bootstrap.binding)
                .await?,
            callback_url: ensure_provider(state, &bootstrap.provider).await?,
        };
        ensure_workload(state, &bootstrap.workload, &bootstrap.return_urls).await?;
        record(state, account, &["dev-admin"]).await?;
        Ok(done)
    }
}

/// Makes the first caller of each account that is to have one and has none.
pub(crate) async fn ensure_initial_admins(state: &State) -> Result<(), BootstrapError> {
    for account in state.config.accounts() {
        let Some(admin) = account.initial_admin else {
            continue;
        };
        if !has_principals(state, &account.id).await? {
            let key = AccessKey {
                access_key_id: admin.access_key_id,
                secret_access_key: admin.secret_access_key,
            };
            match ensure_principal(state, &account.id, "admin", &everything(), true, Some(key)).await {
                Ok(_) => {}
                // Replicas that start together all find an account without principals; one of them is first.
                Err(BootstrapError::AccessKey(_)) if has_principals(state, &account.id).await? => continue,
                Err(error) => return Err(error),
            }
            record(state, &account.id, &["admin"]).await?;
            tracing::info!(account = account.id, "the principal admin was made (break-glass)");
        }
    }
    Ok(())
}

async fn has_principals(state: &State, account: &str) -> Result<bool, DbError> {
    Ok(!principal::list(&state.pool, account, "", 1).await?.is_empty())
}

/// Whoever gets everything without having been let in by somebody is on record (design D6).
async fn record(state: &State, account: &str, break_glass: &[&str]) -> Result<(), BootstrapError> {
    let entry = Entry::new("Bootstrap", Outcome::Done)
        .with_account(account, &*state.config.region)
        .with_detail("breakGlass", break_glass);
    state.recorder.record(entry).await?;
    Ok(())
}

fn everything() -> Value {
    json!({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]})
}

async fn ensure_principal(
    state: &State,
    account: &str,
    name: &str,
    policy: &Value,
    break_glass: bool,
    key: Option<AccessKey>,
) -> Result<AccessKey, BootstrapError> {
    let compiled = Policy::parse(policy).map_err(|error| BootstrapError::Policy(error.to_string()))?;
    if compiled.joins_asking_and_completing() && !break_glass {
        return Err(BootstrapError::Policy(format!(
            "{name} would both ask for tokens and complete sessions"
        )));
    }
    let now = state.clock.now();
    let principal = match principal::find(&state.pool, account, name).await? {
        Some(principal) => principal,
        None => PrincipalRow {
            id: uuid_v7(&*state.clock, &*state.random).to_string(),
            account: account.to_owned(),
            name: name.to_owned(),
            policy: None,
            tags: crate::policy::Tags::new(),
            trust: None,
            created_at: now,
        },
    };
    let mut tx = state.pool.begin().await?;
    principal::insert(&mut tx, &principal).await?;
    let policy_holds = principal
        .policy
        .as_ref()
        .is_some_and(|stored| stored.document == *policy && stored.break_glass == break_glass);
    if !policy_holds {
        principal::put_policy(&mut tx, &principal.id, Some(policy), break_glass, now).await?;
    }
    let keyring = &state.keys(account)?.credential;
    let (row, secret) = match key {
        Some(key) if !is_access_key_id(&key.access_key_id) => {
            return Err(BootstrapError::AccessKey(key.access_key_id));
        }
        Some(key) => {
            let secret = key.secret_access_key;
            let row = authn::seal_access_key(
                keyring,
                &*state.random,
                &principal,
                &key.access_key_id,
                &secret,
                now,
            );
            (row, secret)
        }
        None => authn::generate_access_key(keyring, &*state.random, &principal, now),
    };
    let older = access_key::list(&state.pool, &principal.id).await?;
    for old in &older {
        access_key::delete(&mut tx, account, &old.id).await?;
    }
    access_key::insert(&mut tx, &row)
        .await
        .map_err(|error| match error {
            DbError::Constraint(_) => BootstrapError::AccessKey(row.id.clone()),
            other => other.into(),
        })?;
    let mut changes = vec![
        (principal::CHANGE, principal.id.as_str()),
        (access_key::CHANGE, row.id.as_str()),
    ];
    changes.extend(older.iter().map(|old| (access_key::CHANGE, old.id.as_str())));
    state.commit(tx, &changes).await?;
    Ok(AccessKey {
        access_key_id: row.id.clone(),
        secret_access_key: secret,
    })
}

async fn ensure_workload(state: &State, name: &str, return_urls: &[Url]) -> Result<(), BootstrapError> {
    let account = &state.config.account;
    let urls: Vec<String> = return_urls.iter().map(ToString::to_string).collect();
    let now = state.clock.now();
    let mut tx = state.pool.begin().await?;
    let new = WorkloadIdentityRow {
        id: uuid_v7(&*state.clock, &*state.random).to_string(),
        account: account.clone(),
        name: name.to_owned(),
        allowed_return_urls: urls.clone(),
        return_handle: ReturnHandle::Fresh,
        tags: std::collections::BTreeMap::new(),
        created_at: now,
        updated_at: now,
    };
    if workload_identity::insert(&mut tx, &new).await? {
        state.commit(tx, &[(workload_identity::CHANGE, &new.id)]).await?;
        return Ok(());
    }
    let present = workload_identity::find(&state.pool, account, name).await?;
    let Some(present) =
        present.filter(|present| !urls.iter().all(|url| present.allowed_return_urls.contains(url)))
    else {
        return Ok(());
    };
    // A developer's own additions stay.
    let mut wanted = present.allowed_return_urls;
    wanted.extend(
        urls.into_iter()
            .filter(|url| !wanted.contains(url))
            .collect::<Vec<_>>(),
    );
    workload_identity::update_return_urls(&mut tx, account, name, &wanted, now).await?;
    state
        .commit(tx, &[(workload_identity::CHANGE, &present.id)])
        .await?;
    Ok(())
}

async fn ensure_provider(state: &State, wanted: &BootstrapProvider) -> Result<Url, BootstrapError> {
    let account = &state.config.account;
    let now = state.clock.now();
    let keys = state.keys(account)?;
    let config = ProviderConfig::custom(
        Oauth2Discovery::DiscoveryUrl(wanted.discovery_url.to_string()),
        ClientAuthenticationMethod::ClientSecretBasic,
    );
    let seal = |id: &str| {
        ProviderRow::seal_client_secret(
            &keys.credential,
            &*state.random,
            account,
            id,
            &wanted.client_secret,
        )
    };
    if let Some(present) = oauth2_provider::find(&state.pool, account, &wanted.name).await? {
        let secret_holds = present
            .open_client_secret(|place, sealed| keys.open_provider_secret(place, sealed))
            .is_ok_and(|secret| same(&secret, &wanted.client_secret));
        if present.config != config || present.client_id != wanted.client_id || !secret_holds {
            let mut tx = state.pool.begin().await?;
            let update = ProviderUpdate {
                id: &present.id,
                vendor: CredentialProviderVendor::CustomOauth2,
                config: &config,
                client_id: &wanted.client_id,
                client_secret: seal(&present.id),
            };
            oauth2_provider::update(&mut tx, account, update, now).await?;
            state
                .commit(tx, &[(oauth2_provider::CHANGE, &present.id)])
                .await?;
        }
        return Ok(state.callback_url(&present.callback_id));
    }
    let id = uuid_v7(&*state.clock, &*state.random).to_string();
    let new = ProviderRow {
        account: account.clone(),
        name: wanted.name.clone(),
        vendor: CredentialProviderVendor::CustomOauth2,
        config_version: 1,
        config,
        client_id: wanted.client_id.clone(),
        client_secret: seal(&id),
        callback_id: uuid_v4(&*state.random).to_string(),
        tags: std::collections::BTreeMap::new(),
        created_at: now,
        updated_at: now,
        id,
    };
    let mut tx = state.pool.begin().await?;
    oauth2_provider::insert(&mut tx, &new).await?;
    state.commit(tx, &[(oauth2_provider::CHANGE, &new.id)]).await?;
    Ok(state.callback_url(&new.callback_id))
}

fn same(one: &SecretString, other: &SecretString) -> bool {
    use countersign_crypto::{ExposeSecret as _, constant_time_eq};
    constant_time_eq(one.expose_secret().as_bytes(), other.expose_secret().as_bytes())
}
