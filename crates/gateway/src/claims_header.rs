//! The headers that tell a target who is asking: the three of an Application Load Balancer, and our own
//! user token for targets of our roles.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use countersign_crypto::{
    ExposeSecret, SharedClock, SharedRandom, SigningKey, Timestamp, alb, published_user_id, uuid_v4,
};
use http::{HeaderName, HeaderValue};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::config::Config;
use crate::keys::{Keys, LiveKeys};
use crate::reason::Reason;
use crate::session::Session;
use crate::target_group::TargetGroup;

const ACCESS_TOKEN: HeaderName = HeaderName::from_static("x-amzn-oidc-accesstoken");
const IDENTITY: HeaderName = HeaderName::from_static("x-amzn-oidc-identity");
const DATA: HeaderName = HeaderName::from_static("x-amzn-oidc-data");
/// The user token (design D8).
const USER_TOKEN: HeaderName = HeaderName::from_static("x-countersign-user-token");

/// Mints identity headers.
pub(crate) struct ClaimsHeaders {
    keys: Arc<LiveKeys>,
    signer: String,
    claims_header_lifetime: Duration,
    user_token_issuer: String,
    user_token_lifetime: Duration,
    groups_claim: Arc<str>,
    clock: SharedClock,
    random: SharedRandom,
}

/// Headers signed for one record of a session. Signing costs more than all else of a request, so they serve
/// until half their life is over.
#[derive(Debug, Default)]
pub(crate) struct Minted(Mutex<Vec<MintedSet>>);

#[derive(Debug)]
struct MintedSet {
    claims_header: bool,
    audience: Option<String>,
    groups: bool,
    /// Another after a reload.
    groups_claim: Arc<str>,
    /// The keys that signed; a rotation ends the set.
    kids: [String; 2],
    at: Timestamp,
    headers: Arc<[(HeaderName, HeaderValue)]>,
}

/// Claims of the user token.
#[derive(Serialize)]
struct UserTokenClaims<'a> {
    iss: &'a str,
    /// One subject per person over all providers, which alone are unique per provider.
    sub: String,
    aud: &'a str,
    iat: i64,
    exp: i64,
    jti: String,
    sid: String,
    auth_time: i64,
    idp_iss: &'a str,
    idp_sub: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    preferred_username: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    groups: Vec<&'a str>,
}

impl ClaimsHeaders {
    pub(crate) fn new(
        config: &Config,
        keys: Arc<LiveKeys>,
        clock: SharedClock,
        random: SharedRandom,
    ) -> Self {
        Self {
            keys,
            signer: config.claims_header.signer.clone(),
            claims_header_lifetime: Duration::from_secs(config.claims_header.lifetime_seconds.into()),
            user_token_issuer: config.user_token.issuer().to_owned(),
            user_token_lifetime: Duration::from_secs(config.user_token.lifetime_seconds.into()),
            groups_claim: config.authenticate_oidc.groups_claim.as_str().into(),
            clock,
            random,
        }
    }

    /// The headers that `group` gets about the person of `session`, who logged in as a user of `client`.
    pub(crate) fn mint(
        &self,
        session: &Session,
        client: &str,
        group: &TargetGroup,
    ) -> Result<Arc<[(HeaderName, HeaderValue)]>, Reason> {
        let keys = self.keys.current();
        let now = self.clock.now();
        let serves = |set: &MintedSet| {
            let lifetime = if set.claims_header {
                self.claims_header_lifetime.min(self.user_token_lifetime)
            } else {
                self.user_token_lifetime
            };
            set.kids[0] == keys.alb_header.kid()
                && set.kids[1] == keys.user_token.kid()
                && set.at <= now
                && now.since(set.at) < lifetime / 2
        };
        let mut minted = session.minted.0.lock().unwrap_or_else(PoisonError::into_inner);
        let same = |set: &MintedSet| {
            set.claims_header == group.claims_header
                && set.audience == group.user_token_audience
                && set.groups == group.user_token_groups
                && set.groups_claim == self.groups_claim
        };
        if let Some(set) = minted.iter().find(|set| same(set) && serves(set)) {
            return Ok(Arc::clone(&set.headers));
        }
        minted.retain(serves);
        let headers: Arc<[_]> = self.sign(&keys, session, client, group)?.into();
        minted.push(MintedSet {
            claims_header: group.claims_header,
            audience: group.user_token_audience.clone(),
            groups: group.user_token_groups,
            groups_claim: Arc::clone(&self.groups_claim),
            kids: [keys.alb_header.kid().to_owned(), keys.user_token.kid().to_owned()],
            at: now,
            headers: Arc::clone(&headers),
        });
        Ok(headers)
    }

    fn sign(
        &self,
        keys: &Keys,
        session: &Session,
        client: &str,
        group: &TargetGroup,
    ) -> Result<Vec<(HeaderName, HeaderValue)>, Reason> {
        let mut headers = Vec::with_capacity(4);
        if group.claims_header {
            let login = &session.login;
            headers.push((ACCESS_TOKEN, secret(login.access_token.expose_secret())?));
            headers.push((IDENTITY, plain(&login.subject)?));
            headers.push((DATA, secret(&self.alb_token(&keys.alb_header, session, client))?));
        }
        if let Some(audience) = &group.user_token_audience {
            headers.push((
                USER_TOKEN,
                secret(&self.user_token(&keys.user_token, session, audience, group.user_token_groups)?)?,
            ));
        }
        Ok(headers)
    }

    /// A token that names nobody: the gateway itself asks the role whose audience it is.
    pub(crate) fn own_token(&self, audience: &str) -> Result<String, Reason> {
        let now = self.clock.now();
        let claims = serde_json::json!({
            "iss": self.user_token_issuer,
            "aud": audience,
            "iat": now.as_secs(),
            "exp": now.plus(Duration::from_mins(1)).as_secs(),
            "jti": uuid_v4(&*self.random).to_string(),
        });
        let keys = self.keys.current();
        keys.user_token.sign_jwt(Map::new(), &claims).map_err(|error| {
            tracing::error!(%error, "a token could not be signed");
            Reason::AuthUnhandledException
        })
    }

    fn alb_token(&self, key: &SigningKey, session: &Session, client: &str) -> String {
        let header = alb::AlbHeader {
            iss: session.login.issuer.clone(),
            client: client.to_owned(),
            signer: self.signer.clone(),
            exp: self.clock.now().plus(self.claims_header_lifetime).as_secs(),
        };
        alb::mint(key, &header, &session.login.claims)
    }

    fn user_token(
        &self,
        key: &SigningKey,
        session: &Session,
        audience: &str,
        groups: bool,
    ) -> Result<String, Reason> {
        let login = &session.login;
        let now = self.clock.now();
        let claims = UserTokenClaims {
            iss: &self.user_token_issuer,
            sub: published_user_id(&login.issuer, &login.subject),
            aud: audience,
            iat: now.as_secs(),
            exp: now
                .plus(self.user_token_lifetime)
                .min(session.expires_at)
                .as_secs(),
            jti: uuid_v4(&*self.random).to_string(),
            sid: session.sid.to_string(),
            auth_time: login.auth_time.as_secs(),
            idp_iss: &login.issuer,
            idp_sub: &login.subject,
            name: text(&login.claims, "name"),
            preferred_username: text(&login.claims, "preferred_username"),
            email: text(&login.claims, "email"),
            groups: if groups {
                texts(&login.claims, &self.groups_claim)
            } else {
                Vec::new()
            },
        };
        key.sign_jwt(Map::new(), &claims).map_err(|error| {
            tracing::error!(%error, "a user token could not be signed");
            Reason::AuthUnhandledException
        })
    }
}

fn text<'a>(claims: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    claims.get(name)?.as_str()
}

/// The texts of an array; a claim of another shape has none.
fn texts<'a>(claims: &'a Map<String, Value>, name: &str) -> Vec<&'a str> {
    let items = claims.get(name).and_then(Value::as_array);
    items.into_iter().flatten().filter_map(Value::as_str).collect()
}

/// A login whose values cannot be headers is refused when it happens; this is the second line.
fn plain(value: &str) -> Result<HeaderValue, Reason> {
    HeaderValue::from_str(value).map_err(|_| Reason::AuthUnhandledException)
}

fn secret(value: &str) -> Result<HeaderValue, Reason> {
    let mut value = plain(value)?;
    value.set_sensitive(true);
    Ok(value)
}
