//! Secrets that stay in the customer's own AWS Secrets Manager (`clientSecretSource` and `apiKeySecretSource`
//! `EXTERNAL`).
//!
//! We read them with our credentials, so a tenant who could name any secret could read ours: only names on the
//! account's operator-written list are read, and the secrets of this service never are (design D22). What was read
//! is kept for a while; a rotated secret is picked up when that ends, or at once when a provider says that the one
//! we have is wrong.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use countersign_api::control::SecretReference;
use countersign_api::sigv4::{self, Credentials};
use countersign_crypto::{SecretString, SharedClock, Timestamp};
use countersign_outbound::{Client, OutboundError, Request};
use http::{HeaderValue, header};
use serde::Deserialize;
use url::Url;
use zeroize::Zeroizing;

use crate::config::{OWN_SECRETS, SecretsManagerConfig};

/// A provider's refusal makes us read again, but not more often than this.
const SHORTEST_AGE: Duration = Duration::from_secs(10);
/// A secret has at most 65,536 bytes; JSON escapes some.
const MAX_ANSWER: usize = 256 << 10;
/// More than this and all are dropped, which costs one read each.
const MAX_ENTRIES: usize = 10_000;

/// Reads external secrets.
pub(crate) struct ExternalSecrets {
    http: Client,
    clock: SharedClock,
    manager: Option<SecretsManagerConfig>,
    /// By account and secret id.
    read: RwLock<HashMap<(String, String), Arc<ReadSecret>>>,
}

struct ReadSecret {
    /// The JSON text.
    text: Zeroizing<String>,
    at: Timestamp,
}

/// How old a secret may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Age {
    /// As old as the operator lets it be.
    Cached,
    /// Read for this use: where a refusal cannot be tried again.
    Fresh,
    /// A provider refused the one that was read at this time.
    After(Timestamp),
}

/// Why a secret was not read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExternalSecretError {
    /// The installation has no Secrets Manager.
    #[error("no Secrets Manager is configured")]
    NotConfigured,
    /// Not on the account's list, or one of ours.
    #[error("the secret is not on the account's list")]
    NotAllowed,
    /// Secrets Manager refuses.
    #[error("Secrets Manager: {0}")]
    Refused(String),
    /// Not a JSON object with this key, or the key's value is not text.
    #[error("the secret has no such key")]
    Key,
    /// It was not reached.
    #[error("Secrets Manager: {0}")]
    Unreachable(#[from] OutboundError),
    /// What it answered is not its protocol, or the request cannot be signed.
    #[error("Secrets Manager: {0}")]
    Protocol(&'static str),
}

impl std::fmt::Debug for ExternalSecrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ExternalSecrets")
            .field("manager", &self.manager)
            .finish_non_exhaustive()
    }
}

/// `GetSecretValue`'s answer, the part that is used.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SecretValue {
    #[serde(rename = "ARN")]
    arn: String,
    name: String,
    secret_string: Option<String>,
}

impl ExternalSecrets {
    /// Nothing read yet.
    pub(crate) fn new(http: Client, clock: SharedClock, manager: Option<SecretsManagerConfig>) -> Self {
        Self {
            http,
            clock,
            manager,
            read: RwLock::default(),
        }
    }

    /// Whether `account` may name this secret at all.
    pub(crate) fn allowed(
        &self,
        account: &str,
        reference: &SecretReference,
    ) -> Result<&SecretsManagerConfig, ExternalSecretError> {
        let manager = self.manager.as_ref().ok_or(ExternalSecretError::NotConfigured)?;
        if manager.allows(account, &reference.secret_id) {
            Ok(manager)
        } else {
            Err(ExternalSecretError::NotAllowed)
        }
    }

    /// The secret, and when it was read.
    pub(crate) async fn get(
        &self,
        account: &str,
        reference: &SecretReference,
        age: Age,
    ) -> Result<(SecretString, Timestamp), ExternalSecretError> {
        // The list may have become shorter since the secret was read.
        let manager = self.allowed(account, reference)?;
        let key = (account.to_owned(), reference.secret_id.clone());
        let now = self.clock.now();
        let known = {
            let read = self.read.read().unwrap_or_else(PoisonError::into_inner);
            read.get(&key).cloned()
        };
        let usable = |known: &&Arc<ReadSecret>| match age {
            Age::Cached => now.since(known.at) < Duration::from_secs(manager.cache_seconds),
            Age::Fresh => false,
            Age::After(refused) => known.at > refused || now.since(known.at) < SHORTEST_AGE,
        };
        let secret = if let Some(known) = known.as_ref().filter(usable) {
            Arc::clone(known)
        } else {
            let text = self.fetch(manager, &reference.secret_id).await?;
            let secret = Arc::new(ReadSecret { text, at: now });
            let mut read = self.read.write().unwrap_or_else(PoisonError::into_inner);
            if read.len() >= MAX_ENTRIES {
                read.clear();
            }
            read.insert(key, Arc::clone(&secret));
            secret
        };
        Ok((value(&secret.text, &reference.json_key)?, secret.at))
    }

    /// `GetSecretValue` (AWS JSON 1.1).
    async fn fetch(
        &self,
        manager: &SecretsManagerConfig,
        secret_id: &str,
    ) -> Result<Zeroizing<String>, ExternalSecretError> {
        let answer = self.http.send(self.request(manager, secret_id)?).await?;
        if !answer.status.is_success() {
            return Err(ExternalSecretError::Refused(exception(
                &answer.headers,
                &answer.body,
            )));
        }
        let value: SecretValue = serde_json::from_slice(&answer.body)
            .map_err(|_| ExternalSecretError::Protocol("the answer is not GetSecretValue's"))?;
        // A partial ARN or a name that only looks like another's may lead to one of ours.
        let asked = value.name == secret_id || value.arn.starts_with(secret_id);
        if !asked || is_own(&value.name) {
            return Err(ExternalSecretError::NotAllowed);
        }
        value
            .secret_string
            .map(Zeroizing::new)
            .ok_or(ExternalSecretError::Key)
    }

    fn request(
        &self,
        manager: &SecretsManagerConfig,
        secret_id: &str,
    ) -> Result<Request, ExternalSecretError> {
        let unsigned = http::Request::post(manager.endpoint.as_str())
            .header(header::CONTENT_TYPE, "application/x-amz-json-1.1")
            .header(
                "x-amz-target",
                HeaderValue::from_static("secretsmanager.GetSecretValue"),
            )
            .body(Bytes::from(
                serde_json::json!({"SecretId": secret_id}).to_string(),
            ));
        let mut request = unsigned.map_err(|_| ExternalSecretError::Protocol("the endpoint is not a URL"))?;
        let credentials = Credentials {
            access_key_id: manager.access_key_id.clone(),
            secret_access_key: manager.secret_access_key.clone(),
            session_token: manager.session_token.clone(),
        };
        let now = self.clock.now().as_secs();
        sigv4::sign(&credentials, &manager.region, "secretsmanager", &mut request, now)
            .map_err(|_| ExternalSecretError::Protocol("the request cannot be signed"))?;
        let (parts, body) = request.into_parts();
        Ok(Request {
            headers: parts.headers,
            body,
            ..Request::post(endpoint(&manager.endpoint)).max_bytes(MAX_ANSWER)
        })
    }
}

/// The operation's path is the root.
fn endpoint(configured: &Url) -> Url {
    let mut url = configured.clone();
    if url.path().is_empty() {
        url.set_path("/");
    }
    url
}

/// Secrets that this service, or AWS's original of it, made.
pub(crate) fn is_own(name: &str) -> bool {
    OWN_SECRETS.iter().any(|prefix| name.starts_with(prefix))
}

/// The exception's name alone: the text may name what stands in the customer's account.
fn exception(headers: &http::HeaderMap, body: &[u8]) -> String {
    let body: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    let name = headers
        .get("x-amzn-errortype")
        .and_then(|name| name.to_str().ok())
        .or(body["__type"].as_str())
        .unwrap_or("an error without a name");
    let name = name.rsplit('#').next().unwrap_or_default();
    name.chars()
        .take_while(char::is_ascii_alphanumeric)
        .take(100)
        .collect()
}

fn value(text: &str, key: &str) -> Result<SecretString, ExternalSecretError> {
    let document: HashMap<String, serde_json::Value> =
        serde_json::from_str(text).map_err(|_| ExternalSecretError::Key)?;
    match document.get(key) {
        Some(serde_json::Value::String(value)) if !value.is_empty() => Ok(value.clone().into()),
        _ => Err(ExternalSecretError::Key),
    }
}
