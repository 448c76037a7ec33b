//! Who is in front of the browser, as the gateway in front of us vouches for it.
//!
//! The identity comes from one signed header and from nothing else: no cookie, query, body or other header
//! names a person. Every role accepts only tokens whose audience is its own (design D8), so that a token
//! sent to one role opens no door of another.

mod alb;
mod alb_keys;
mod inbound;
mod keys;

use std::fmt;
use std::sync::Arc;

use axum::extract::{FromRef, FromRequestParts};
use axum::response::{IntoResponse, Response};
use countersign_crypto::alb::{AlbError, peek_signer};
use countersign_crypto::{
    Algorithm, JwtError, JwtPolicy, SecretString, SharedClock, Timestamp, UserKey, Verified, peek_issuer,
    published_user_id, verify_jwt,
};
use countersign_outbound as outbound;
use http::request::Parts;
use http::{HeaderMap, StatusCode};
use serde_json::{Map, Value};

pub use alb::{AlbConfig, AlbConfigError, AlbVerifier, OIDC_DATA, OIDC_IDENTITY};
pub use inbound::{Inbound, InboundConfig, InboundError, InboundKind};

use crate::edge::RequestId;
use crate::page::{Message, Tone};
use keys::GatewayKeys;

/// The header in which our gateway passes the person's token to a target.
pub const USER_TOKEN: &str = "x-countersign-user-token";

/// Difference between gateway's clock and ours that is forgiven, seconds.
const LEEWAY_SECS: u64 = 10;

/// Who vouches for a person, and so what can be passed on about them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Voucher {
    /// Our gateway, with a token made for this role, which the identity service verifies too.
    Gateway,
    /// A load balancer, with a token that only its targets can make sense of: the identity service is told the
    /// [published form](Person::published_user_id) of the user id.
    LoadBalancer,
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
    /// The person's groups at the login provider, as far as the gateway tells them to this role.
    pub groups: Vec<String>,
    /// The same person everywhere in this product (design D9).
    pub user_key: UserKey,
    /// The token itself, for passing on to the identity service.
    pub token: SecretString,
    /// The gateway that vouches (`iss`); the ARN of a load balancer.
    pub gateway_issuer: String,
    /// Which of the two that is.
    pub voucher: Voucher,
    /// Until when the token is valid.
    pub expires_at: Timestamp,
}

impl Person {
    /// The name, or else the subject.
    #[must_use]
    pub fn display_name(&self) -> &str {
        self.name.as_deref().unwrap_or(&self.subject)
    }

    /// `idp:` and the hash of issuer and subject: the user id by which the start page recognises the person of a
    /// workload that could name them only (design D11).
    #[must_use]
    pub fn published_user_id(&self) -> String {
        published_user_id(&self.issuer, &self.subject)
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
            groups: groups(claims),
            user_key: UserKey::jwt(&issuer, &subject),
            token: SecretString::from(token),
            gateway_issuer: required(claims, "iss")?,
            voucher: Voucher::Gateway,
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

/// The claim `groups`, an array of texts.
fn groups(claims: &Map<String, Value>) -> Vec<String> {
    let items = claims.get("groups").and_then(Value::as_array);
    let texts = items.into_iter().flatten().filter_map(Value::as_str);
    texts.map(str::to_owned).collect()
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
    /// The header is larger than any gateway makes it.
    #[error("identity header too large")]
    TooLarge,
    /// The token does not hold.
    #[error("identity token refused: {0}")]
    Token(JwtError),
    /// The load balancer's token does not hold.
    #[error("x-amzn-oidc-data refused: {0}")]
    Alb(AlbError),
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
            Self::Token(JwtError::Expired) | Self::Alb(AlbError::Expired) => "identity_expired",
            Self::Alb(AlbError::Signer) => "identity_signer",
            Self::TooLarge | Self::Token(_) | Self::Alb(_) => "identity_invalid",
            Self::KeysUnavailable => "identity_keys_unavailable",
        }
    }

    /// The status of the answer.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        match self {
            Self::Repeated => StatusCode::BAD_REQUEST,
            Self::TooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::KeysUnavailable => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::UNAUTHORIZED,
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
    load_balancers: Vec<AlbVerifier>,
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
        let (mut gateways, mut load_balancers) = (Vec::new(), Vec::new());
        for inbound in inbound {
            match inbound {
                Inbound::UserToken {
                    issuer,
                    audience,
                    jwks_uri,
                } => gateways.push(Gateway {
                    keys: GatewayKeys::new(issuer.clone(), jwks_uri, client.clone(), Arc::clone(clock)),
                    issuer,
                    audience,
                }),
                Inbound::Alb(config) => load_balancers.push(AlbVerifier::new(config, client, clock)),
            }
        }
        Self {
            gateways,
            load_balancers,
            clock: Arc::clone(clock),
        }
    }

    /// The person of exactly one [`USER_TOKEN`] header made for this role, or where load balancers are configured, of
    /// exactly one [`OIDC_DATA`] header. Our gateway can send both; the user token is made for this role alone.
    pub async fn verify(&self, headers: &HeaderMap) -> Result<Person, PersonError> {
        let by_user_token = !self.gateways.is_empty() && headers.contains_key(USER_TOKEN);
        if !by_user_token && let Some(first) = self.load_balancers.first() {
            let verifier = match peek_signer(alb::token(headers)?) {
                Some(signer) => self
                    .load_balancers
                    .iter()
                    .find(|verifier| verifier.knows(&signer)),
                // It says what is wrong with the token.
                None => Some(first),
            };
            return verifier
                .ok_or(PersonError::Alb(AlbError::Signer))?
                .verify(headers)
                .await;
        }
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
        let verified = self.verified(token, audiences).await?;
        Person::from_verified(&verified, token)
    }

    /// The issuer of a token that a gateway has made for itself: it is for `audience` and names nobody.
    pub async fn verify_gateway_token(&self, token: &str, audience: &str) -> Result<String, PersonError> {
        let verified = self.verified(token, Some(&[audience])).await?;
        if ["sub", "idp_sub", "idp_iss", "sid"]
            .iter()
            .any(|claim| verified.claims.contains_key(*claim))
        {
            return Err(PersonError::Token(JwtError::Claim("sub")));
        }
        required(&verified.claims, "iss")
    }

    async fn verified(&self, token: &str, audiences: Option<&[&str]>) -> Result<Verified, PersonError> {
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
        verified.map_err(PersonError::Token)
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
        let status = self.error.status();
        let message = if self.error == PersonError::KeysUnavailable {
            Message::new("Not available right now")
                .lead("Your login cannot be checked at the moment. Please try again in a minute.")
        } else {
            Message::new("Please log in")
                .lead("This page is reached through the login of this site, and no valid login came with the request.")
        };
        message
            .status(status)
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
