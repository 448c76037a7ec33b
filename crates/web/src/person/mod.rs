//! Who is in front of the browser, as the gateway in front of us vouches for it.
//!
//! The identity comes from one signed header and from nothing else: no cookie, query, body or other header
//! names a person. Every role accepts only tokens whose audience is its own (design D8), so that a token
//! sent to one role opens no door of another.

mod keys;

use std::fmt;
use std::sync::Arc;

use axum::extract::{FromRef, FromRequestParts};
use axum::response::{IntoResponse, Response};
use countersign_crypto::{
    Algorithm, JwtError, JwtPolicy, SecretString, SharedClock, Timestamp, UserKey, Verified, peek_issuer,
    verify_jwt,
};
use countersign_outbound as outbound;
use http::request::Parts;
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde_json::{Map, Value};
use url::Url;

use crate::edge::RequestId;
use crate::page::{Message, Tone};
use keys::GatewayKeys;

/// The header in which our gateway passes the person's token to a target.
pub const USER_TOKEN: &str = "x-countersign-user-token";

/// Difference between gateway's clock and ours that is forgiven, seconds.
const LEEWAY_SECS: u64 = 10;

/// Where identities come from.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Inbound {
    /// Our gateway's [`USER_TOKEN`].
    UserToken {
        /// Exact `iss`.
        issuer: String,
        /// This role's own `aud`.
        audience: String,
        /// The gateway's keys; found by OpenID Connect discovery from `issuer` when absent.
        #[serde(default)]
        jwks_uri: Option<Url>,
    },
}

/// A person whom a gateway has logged in.
#[derive(Clone)]
pub struct Person {
    /// The login provider (`idp_iss`).
    pub issuer: String,
    /// The person at the login provider (`idp_sub`).
    pub subject: String,
    /// The gateway session.
    pub sid: Option<String>,
    /// When the person last proved who they are to the login provider.
    pub auth_time: Option<Timestamp>,
    /// The person's name for display, never for identification.
    pub name: Option<String>,
    /// The same person everywhere in this product (design D9).
    pub user_key: UserKey,
    /// The token itself, for passing on to the identity service.
    pub token: SecretString,
    /// The gateway that vouches (`iss`).
    pub gateway_issuer: String,
    /// Until when the token is valid.
    pub expires_at: Timestamp,
}

impl Person {
    /// The name, or else the subject.
    #[must_use]
    pub fn display_name(&self) -> &str {
        self.name.as_deref().unwrap_or(&self.subject)
    }

    fn from_verified(verified: &Verified, token: &str) -> Result<Self, PersonError> {
        let claims = &verified.claims;
        let issuer = required(claims, "idp_iss")?;
        let subject = required(claims, "idp_sub")?;
        Ok(Self {
            sid: text(claims, "sid"),
            auth_time: claims
                .get("auth_time")
                .and_then(Value::as_i64)
                .map(Timestamp::from_secs),
            name: ["name", "preferred_username", "email"]
                .into_iter()
                .find_map(|claim| text(claims, claim)),
            user_key: UserKey::jwt(&issuer, &subject),
            token: SecretString::from(token),
            gateway_issuer: required(claims, "iss")?,
            expires_at: claims
                .get("exp")
                .and_then(Value::as_i64)
                .map(Timestamp::from_secs)
                .ok_or(PersonError::Token(JwtError::Claim("exp")))?,
            issuer,
            subject,
        })
    }
}

/// Names the user key alone: the rest is personal.
impl fmt::Debug for Person {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Person")
            .field("user_key", &self.user_key)
            .finish_non_exhaustive()
    }
}

fn text(claims: &Map<String, Value>, name: &str) -> Option<String> {
    claims
        .get(name)
        .and_then(Value::as_str)
        .filter(|value| !value.is_empty())
        .map(str::to_owned)
}

fn required(claims: &Map<String, Value>, name: &'static str) -> Result<String, PersonError> {
    text(claims, name).ok_or(PersonError::Token(JwtError::Claim(name)))
}

/// Why nobody was recognised.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PersonError {
    /// No identity header.
    #[error("no identity header")]
    Missing,
    /// More than one identity header: whoever added one is not our gateway.
    #[error("identity header repeated")]
    Repeated,
    /// Of a gateway that is not configured here.
    #[error("issuer is not a configured gateway")]
    UnknownIssuer,
    /// The token does not hold.
    #[error("identity token refused: {0}")]
    Token(JwtError),
    /// The gateway's keys could not be fetched; worth trying again.
    #[error("the gateway's keys are not available")]
    KeysUnavailable,
}

impl PersonError {
    /// The word for the audit record.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Missing => "identity_missing",
            Self::Repeated => "identity_repeated",
            Self::UnknownIssuer => "identity_issuer",
            Self::Token(JwtError::Audience) => "identity_audience",
            Self::Token(JwtError::Expired) => "identity_expired",
            Self::Token(_) => "identity_invalid",
            Self::KeysUnavailable => "identity_keys_unavailable",
        }
    }
}

struct Gateway {
    issuer: String,
    audience: String,
    keys: GatewayKeys,
}

/// Verifies identity headers.
pub struct PersonVerifier {
    gateways: Vec<Gateway>,
    clock: SharedClock,
}

impl fmt::Debug for PersonVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let issuers: Vec<_> = self.gateways.iter().map(|gateway| &gateway.issuer).collect();
        f.debug_struct("PersonVerifier")
            .field("issuers", &issuers)
            .finish_non_exhaustive()
    }
}

impl PersonVerifier {
    /// A verifier that accepts the given gateways. Keys are fetched through `client`, whose policy has to
    /// allow a gateway on an internal address.
    #[must_use]
    pub fn new(inbound: Vec<Inbound>, client: &outbound::Client, clock: &SharedClock) -> Self {
        let gateways = inbound
            .into_iter()
            .map(
                |Inbound::UserToken {
                     issuer,
                     audience,
                     jwks_uri,
                 }| Gateway {
                    keys: GatewayKeys::new(issuer.clone(), jwks_uri, client.clone(), Arc::clone(clock)),
                    issuer,
                    audience,
                },
            )
            .collect();
        Self {
            gateways,
            clock: Arc::clone(clock),
        }
    }

    /// The person of exactly one [`USER_TOKEN`] header made for this role.
    pub async fn verify(&self, headers: &HeaderMap) -> Result<Person, PersonError> {
        let mut values = headers.get_all(USER_TOKEN).iter();
        let value = values.next().ok_or(PersonError::Missing)?;
        if values.next().is_some() {
            return Err(PersonError::Repeated);
        }
        let token = value
            .to_str()
            .map_err(|_| PersonError::Token(JwtError::Malformed))?;
        self.verify_token(token, None).await
    }

    /// The person of a token. `audiences` stands in for the configured audience where one role has several
    /// doors, each with an audience of its own.
    pub async fn verify_token(&self, token: &str, audiences: Option<&[&str]>) -> Result<Person, PersonError> {
        let issuer = peek_issuer(token).ok_or(PersonError::Token(JwtError::Malformed))?;
        let gateway = self
            .gateways
            .iter()
            .find(|gateway| gateway.issuer == issuer)
            .ok_or(PersonError::UnknownIssuer)?;
        let own = [gateway.audience.as_str()];
        let policy = JwtPolicy {
            issuer: &gateway.issuer,
            audiences: audiences.unwrap_or(&own),
            algorithms: &[Algorithm::Es256],
            leeway_secs: LEEWAY_SECS,
            typ: Some(&["JWT"]),
        };
        let keys = gateway.keys.current().await.ok_or(PersonError::KeysUnavailable)?;
        let verified = match verify_jwt(token, &keys, &policy, self.clock.now()) {
            Err(JwtError::UnknownKey) => {
                let keys = gateway
                    .keys
                    .newer_than(&keys)
                    .await
                    .ok_or(PersonError::Token(JwtError::UnknownKey))?;
                verify_jwt(token, &keys, &policy, self.clock.now())
            }
            other => other,
        };
        Person::from_verified(&verified.map_err(PersonError::Token)?, token)
    }
}

/// The page for somebody who is not recognised.
#[derive(Debug)]
pub struct PersonRejection {
    /// Why, for the log and the audit record; the page does not say.
    pub error: PersonError,
    request_id: Option<RequestId>,
}

impl IntoResponse for PersonRejection {
    fn into_response(self) -> Response {
        let message = if self.error == PersonError::KeysUnavailable {
            Message::new("Not available right now")
                .lead("Your login cannot be checked at the moment. Please try again in a minute.")
                .status(StatusCode::SERVICE_UNAVAILABLE)
        } else {
            Message::new("Please log in")
                .lead("This page is reached through the login of this site, and no valid login came with the request.")
                .status(StatusCode::UNAUTHORIZED)
        };
        message
            .tone(Tone::Problem)
            .request_id(self.request_id.as_ref())
            .render()
    }
}

impl<S> FromRequestParts<S> for Person
where
    Arc<PersonVerifier>: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = PersonRejection;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, PersonRejection> {
        let verifier = Arc::<PersonVerifier>::from_ref(state);
        verifier.verify(&parts.headers).await.map_err(|error| {
            let request_id = parts.extensions.get::<RequestId>().cloned();
            tracing::warn!(
                request_id = request_id.as_ref().map(RequestId::as_str),
                reason = error.reason(),
                %error,
                "person not recognised"
            );
            PersonRejection { error, request_id }
        })
    }
}
