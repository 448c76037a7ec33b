//! OAuth2 credential providers. The client secret is sealed under the account's credential key.

use std::collections::BTreeMap;

use countersign_api::control::oauth2_provider_config::{ClientAuthenticationMethod, Oauth2Discovery};
use countersign_api::control::on_behalf_of::OnBehalfOfTokenExchangeConfig;
use countersign_api::control::private_endpoint::{
    CertificateConfiguration, PrivateEndpoint, PrivateEndpointOverride,
};
use countersign_api::control::private_key_jwt::PrivateKeyJwtConfig;
use countersign_api::control::{CredentialProviderVendor, SecretReference};
use countersign_crypto::{
    Aad, ExposeSecret as _, Keyring, OpenError, Random, SecretBytes, SecretString, Timestamp,
};
use countersign_db::{DbError, Pool, Row, Transaction, params};
use countersign_oauth::vendor::Settings;
use serde::{Deserialize, Serialize};

const TABLE: &str = "oauth2_provider";
/// The kind of its rows in the change feed; the key is the internal id.
pub(crate) const CHANGE: &str = "oauth2_provider";

/// A stored provider.
#[derive(Debug, Clone)]
pub(crate) struct ProviderRow {
    /// Internal; a provider deleted and made again has another.
    pub(crate) id: String,
    pub(crate) account: String,
    pub(crate) name: String,
    pub(crate) vendor: CredentialProviderVendor,
    /// Counts up at each update, from 1: a session under way goes on only with the version it began with.
    pub(crate) config_version: i64,
    pub(crate) config: ProviderConfig,
    pub(crate) client_id: String,
    /// Sealed; [`Self::open_client_secret`]. Empty text where the secret is not in the vault.
    pub(crate) client_secret: Vec<u8>,
    /// The last segment of its callback URL, a UUID.
    pub(crate) callback_id: String,
    pub(crate) tags: BTreeMap<String, String>,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
}

/// The part of a registration that is stored as JSON.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct ProviderConfig {
    /// `CustomOauth2`: where its endpoints are known from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) discovery: Option<Oauth2Discovery>,
    /// Every other vendor: where the customer's own part of it is.
    #[serde(default)]
    pub(crate) settings: VendorSettings,
    /// How the client authenticates at the token endpoint.
    pub(crate) client_authentication: ClientAuthenticationMethod,
    #[serde(default)]
    pub(crate) client_secret_at: ClientSecretAt,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) on_behalf_of: Option<OnBehalfOfTokenExchangeConfig>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) private_key_jwt: Option<PrivateKeyJwtConfig>,
    #[serde(default)]
    pub(crate) private_network: PrivateNetwork,
}

/// What a registration at a named vendor says about where the vendor is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct VendorSettings {
    pub(crate) tenant_id: Option<String>,
    pub(crate) issuer: Option<String>,
    pub(crate) authorization_endpoint: Option<String>,
    pub(crate) token_endpoint: Option<String>,
}

impl VendorSettings {
    /// As the vendor's template takes them.
    pub(crate) fn as_settings(&self) -> Settings<'_> {
        Settings {
            tenant_id: self.tenant_id.as_deref(),
            issuer: self.issuer.as_deref(),
            authorization_endpoint: self.authorization_endpoint.as_deref(),
            token_endpoint: self.token_endpoint.as_deref(),
        }
    }
}

/// Where the client secret is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum ClientSecretAt {
    /// In the provider's row, sealed.
    #[default]
    Vault,
    /// In the customer's Secrets Manager.
    External(SecretReference),
    /// There is none: a public client, or one that signs.
    Nowhere,
}

/// How a server inside a VPC would be reached: kept and shown, never done.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct PrivateNetwork {
    pub(crate) endpoint: Option<PrivateEndpoint>,
    pub(crate) overrides: Option<Vec<PrivateEndpointOverride>>,
    pub(crate) certificates: Option<Vec<CertificateConfiguration>>,
}

impl PrivateNetwork {
    /// Whether the server is to be reached as on the Internet.
    pub(crate) fn is_public(&self) -> bool {
        self.endpoint.is_none()
            && self.overrides.as_ref().is_none_or(Vec::is_empty)
            && self.certificates.is_none()
    }
}

impl ProviderConfig {
    /// Of a `CustomOauth2` provider whose secret is in the vault.
    pub(crate) fn custom(
        discovery: Oauth2Discovery,
        client_authentication: ClientAuthenticationMethod,
    ) -> Self {
        Self {
            discovery: Some(discovery),
            settings: VendorSettings::default(),
            client_authentication,
            client_secret_at: ClientSecretAt::Vault,
            on_behalf_of: None,
            private_key_jwt: None,
            private_network: PrivateNetwork::default(),
        }
    }
}

impl ProviderRow {
    /// Seals a client secret for the provider `id` of `account`.
    pub(crate) fn seal_client_secret(
        keyring: &Keyring,
        random: &dyn Random,
        account: &str,
        id: &str,
        secret: &SecretString,
    ) -> Vec<u8> {
        keyring
            .seal(
                random,
                &secret_place(account, id),
                secret.expose_secret().as_bytes(),
            )
            .into_bytes()
    }

    /// Opens the client secret with `open`, which is given its place and the sealed value.
    pub(crate) fn open_client_secret(
        &self,
        open: impl FnOnce(&Aad, &[u8]) -> Result<SecretBytes, OpenError>,
    ) -> Result<SecretString, OpenError> {
        let plaintext = open(&secret_place(&self.account, &self.id), &self.client_secret)?;
        let text = std::str::from_utf8(plaintext.expose_secret()).map_err(|_| OpenError::Malformed)?;
        Ok(text.to_owned().into())
    }
}

fn secret_place(account: &str, id: &str) -> Aad {
    Aad::new(account, TABLE, id, "client_secret")
}

pub(crate) async fn find(pool: &Pool, account: &str, name: &str) -> Result<Option<ProviderRow>, DbError> {
    pool.fetch_optional(
        "SELECT * FROM oauth2_provider WHERE account = $1 AND name = $2",
        params![account, name],
    )
    .await?
    .map(|row| read(&row))
    .transpose()
}

pub(crate) async fn find_by_id(pool: &Pool, account: &str, id: &str) -> Result<Option<ProviderRow>, DbError> {
    pool.fetch_optional(
        "SELECT * FROM oauth2_provider WHERE account = $1 AND id = $2",
        params![account, id],
    )
    .await?
    .map(|row| read(&row))
    .transpose()
}

/// Up to `limit` providers with names after `after`.
pub(crate) async fn list(
    pool: &Pool,
    account: &str,
    after: &str,
    limit: i64,
) -> Result<Vec<ProviderRow>, DbError> {
    let rows = pool
        .fetch_all(
            "SELECT * FROM oauth2_provider WHERE account = $1 AND name > $2 ORDER BY name LIMIT $3",
            params![account, after, limit],
        )
        .await?;
    rows.iter().map(read).collect()
}

/// How many an account has.
pub(crate) async fn count(tx: &mut Transaction, account: &str) -> Result<i64, DbError> {
    let row = tx
        .fetch_optional(
            "SELECT COUNT(*) AS providers FROM oauth2_provider WHERE account = $1",
            params![account],
        )
        .await?;
    row.map_or(Ok(0), |row| row.int("providers"))
}

/// Stores one; `false` when the name is taken.
pub(crate) async fn insert(tx: &mut Transaction, new: &ProviderRow) -> Result<bool, DbError> {
    let inserted = tx
        .execute(
            "INSERT INTO oauth2_provider (id, account, name, vendor, config_version, config, client_id, client_secret, \
             callback_id, tags, created_at, updated_at) VALUES ($1, $2, $3, $4, 1, $5, $6, $7, $8, $9, $10, $10) \
             ON CONFLICT (account, name) DO NOTHING",
            params![
                new.id.as_str(),
                new.account.as_str(),
                new.name.as_str(),
                vendor_name(new.vendor),
                serde_json::json!(new.config).to_string(),
                new.client_id.as_str(),
                new.client_secret.as_slice(),
                new.callback_id.as_str(),
                serde_json::json!(new.tags).to_string(),
                new.created_at.as_micros(),
            ],
        )
        .await?;
    Ok(inserted == 1)
}

/// What an update replaces.
#[derive(Debug)]
pub(crate) struct ProviderUpdate<'a> {
    pub(crate) id: &'a str,
    pub(crate) vendor: CredentialProviderVendor,
    pub(crate) config: &'a ProviderConfig,
    pub(crate) client_id: &'a str,
    /// Sealed.
    pub(crate) client_secret: Vec<u8>,
}

/// Replaces the registration under a new version; gives the new row, or `None` when it is gone.
pub(crate) async fn update(
    tx: &mut Transaction,
    account: &str,
    update: ProviderUpdate<'_>,
    now: Timestamp,
) -> Result<Option<ProviderRow>, DbError> {
    tx.fetch_optional(
        "UPDATE oauth2_provider SET vendor = $3, config = $4, client_id = $5, client_secret = $6, \
         config_version = config_version + 1, updated_at = $7 WHERE account = $1 AND id = $2 RETURNING *",
        params![
            account,
            update.id,
            vendor_name(update.vendor),
            serde_json::json!(update.config).to_string(),
            update.client_id,
            update.client_secret,
            now.as_micros(),
        ],
    )
    .await?
    .map(|row| read(&row))
    .transpose()
}

/// Removes one; gives what it was.
pub(crate) async fn delete(
    tx: &mut Transaction,
    account: &str,
    name: &str,
) -> Result<Option<ProviderRow>, DbError> {
    tx.fetch_optional(
        "DELETE FROM oauth2_provider WHERE account = $1 AND name = $2 RETURNING *",
        params![account, name],
    )
    .await?
    .map(|row| read(&row))
    .transpose()
}

/// The vendor's name as the wire and the database have it.
pub(crate) fn vendor_name(vendor: CredentialProviderVendor) -> String {
    match serde_json::json!(vendor) {
        serde_json::Value::String(name) => name,
        other => other.to_string(),
    }
}

fn read(row: &Row) -> Result<ProviderRow, DbError> {
    let id = row.text("id")?;
    let inconsistent = |column| DbError::Inconsistent {
        table: TABLE,
        column,
        id: id.clone(),
    };
    Ok(ProviderRow {
        account: row.text("account")?,
        name: row.text("name")?,
        vendor: serde_json::from_value(row.text("vendor")?.into()).map_err(|_| inconsistent("vendor"))?,
        config_version: row.int("config_version")?,
        config: serde_json::from_str(&row.text("config")?).map_err(|_| inconsistent("config"))?,
        client_id: row.text("client_id")?,
        client_secret: row.bytes("client_secret")?,
        callback_id: row.text("callback_id")?,
        tags: serde_json::from_str(&row.text("tags")?).map_err(|_| inconsistent("tags"))?,
        created_at: Timestamp::from_micros(row.int("created_at")?),
        updated_at: Timestamp::from_micros(row.int("updated_at")?),
        id,
    })
}
