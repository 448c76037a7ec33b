//! Finding a server's metadata: OpenID Connect Discovery 1.0 and RFC 8414.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use countersign_crypto::{SharedClock, parse_strict_json};
use countersign_outbound::Client;
use serde_json::{Map, Value};
use url::Url;

use crate::document::{DocumentError, Documents, Freshness};
use crate::metadata::{ServerMetadata, endpoint};

const WELL_KNOWN: [&str; 2] = [
    "/.well-known/openid-configuration",
    "/.well-known/oauth-authorization-server",
];

const FRESHNESS: Freshness = Freshness {
    refresh_after: Duration::from_mins(10),
    keep_for: Duration::from_hours(24),
    min_interval: Duration::from_secs(2),
};

/// Metadata by discovery URL. Fetched by one caller for all, kept 10 minutes, served up to a day while the
/// server fails.
pub struct Discovery(Documents<ServerMetadata>);

impl fmt::Debug for Discovery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Discovery").finish_non_exhaustive()
    }
}

impl Discovery {
    /// An empty cache that fetches through `client`.
    #[must_use]
    pub fn new(client: Client, clock: SharedClock) -> Self {
        Self(Documents::new(client, clock, FRESHNESS, read))
    }

    /// The metadata under a discovery URL. Its `issuer` is the one that URL belongs to, and its endpoints
    /// are URLs that the guard lets pass.
    pub async fn fetch(&self, discovery_url: &Url) -> Result<Arc<ServerMetadata>, DocumentError> {
        if issuer_of(discovery_url).is_none() {
            return Err(DocumentError::Url);
        }
        self.0.current(discovery_url).await
    }
}

/// Where issuers of JWTs have their keys, by discovery URL; kept as [`Discovery`] keeps metadata. An issuer that only
/// vouches for workloads (a Kubernetes cluster, a CI system) has a `jwks_uri` and none of the endpoints of an
/// authorization server.
pub struct KeyDiscovery(Documents<Url>);

impl fmt::Debug for KeyDiscovery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyDiscovery").finish_non_exhaustive()
    }
}

impl KeyDiscovery {
    /// An empty cache that fetches through `client`.
    #[must_use]
    pub fn new(client: Client, clock: SharedClock) -> Self {
        Self(Documents::new(client, clock, FRESHNESS, read_jwks_uri))
    }

    /// The `jwks_uri` in the metadata of `issuer`, whose own it has to be (OpenID Connect Discovery 1.0 section 4.3).
    pub async fn jwks_uri(&self, issuer: &str) -> Result<Url, DocumentError> {
        let url = openid_configuration_url(issuer).map_err(|_| DocumentError::Url)?;
        Ok(Url::clone(&*self.0.current(&url).await?))
    }
}

fn read(client: &Client, url: &Url, body: &[u8]) -> Result<ServerMetadata, DocumentError> {
    let (issuer, document) = document_of(url, body)?;
    ServerMetadata::read(&issuer, &document, client)
}

fn read_jwks_uri(client: &Client, url: &Url, body: &[u8]) -> Result<Url, DocumentError> {
    let (_, document) = document_of(url, body)?;
    let found = document.get("jwks_uri").and_then(Value::as_str);
    found
        .and_then(|text| endpoint(text, client))
        .ok_or(DocumentError::Member("jwks_uri"))
}

/// The document and its issuer, which is the one that the URL belongs to.
fn document_of(url: &Url, body: &[u8]) -> Result<(String, Map<String, Value>), DocumentError> {
    let Ok(Value::Object(document)) = parse_strict_json(body) else {
        return Err(DocumentError::Malformed);
    };
    let found = document
        .get("issuer")
        .and_then(Value::as_str)
        .ok_or(DocumentError::Member("issuer"))?;
    let expected = issuer_of(url).ok_or(DocumentError::Url)?;
    // The URL does not tell whether the issuer ends in a slash (Auth0's does); nothing else may differ.
    if found.strip_suffix('/').unwrap_or(found) != expected {
        return Err(DocumentError::Issuer {
            found: found.chars().take(200).collect(),
        });
    }
    Ok((found.to_owned(), document))
}

/// The discovery URL of an OpenID provider: `{issuer}/.well-known/openid-configuration`.
pub fn openid_configuration_url(issuer: &str) -> Result<Url, url::ParseError> {
    Url::parse(&format!(
        "{}{}",
        issuer.strip_suffix('/').unwrap_or(issuer),
        WELL_KNOWN[0]
    ))
}

/// The issuer, without a trailing slash, whose metadata a discovery URL holds: the well-known part is a
/// suffix (OpenID Connect) or stands between host and path (RFC 8414 section 3.1). `None` for any other URL.
#[must_use]
pub fn issuer_of(discovery_url: &Url) -> Option<String> {
    let plain = discovery_url.query().is_none()
        && discovery_url.fragment().is_none()
        && discovery_url.username().is_empty()
        && discovery_url.password().is_none();
    let (before, after) = WELL_KNOWN
        .iter()
        .find_map(|part| discovery_url.path().split_once(part))?;
    let path = match (before, after) {
        (path, "") => path,
        ("", path) if path.starts_with('/') => path.strip_suffix('/').unwrap_or(path),
        _ => return None,
    };
    (plain && discovery_url.has_host())
        .then(|| format!("{}{path}", discovery_url.origin().ascii_serialization()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn issuers_of_both_forms() {
        for (url, issuer) in [
            (
                "https://a.example/.well-known/openid-configuration",
                "https://a.example",
            ),
            (
                "https://a.example/t/1/.well-known/openid-configuration",
                "https://a.example/t/1",
            ),
            (
                "https://a.example/.well-known/oauth-authorization-server/t/1",
                "https://a.example/t/1",
            ),
            (
                "http://127.0.0.1:8404/.well-known/oauth-authorization-server",
                "http://127.0.0.1:8404",
            ),
        ] {
            assert_eq!(
                issuer_of(&Url::parse(url).expect("a URL")).as_deref(),
                Some(issuer),
                "{url}"
            );
        }
        for url in [
            "https://a.example/",
            "https://a.example/x/.well-known/openid-configuration/y",
            "https://a.example/.well-known/openid-configurationx",
            "https://a.example/.well-known/openid-configuration?x=1",
            "https://a.example/.well-known/openid-configuration#x",
            "https://u@a.example/.well-known/openid-configuration",
        ] {
            assert_eq!(issuer_of(&Url::parse(url).expect("a URL")), None, "{url}");
        }
        let url = openid_configuration_url("https://a.example/t/").expect("a URL");
        assert_eq!(
            url.as_str(),
            "https://a.example/t/.well-known/openid-configuration"
        );
    }
}
