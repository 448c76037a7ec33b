//! ID token validation: OpenID Connect Core 1.0 section 3.1.3.7.

use std::borrow::Cow;

use countersign_crypto::{
    Algorithm, ExposeSecret as _, JwtError, JwtPolicy, SecretString, Timestamp, b64url, b64url_decode,
    constant_time_eq, sha256, sha384, sha512,
};
use serde_json::{Map, Value};

use crate::document::DocumentError;
use crate::jwks::{JwksCache, VerifyError};
use crate::metadata::ServerMetadata;

/// Difference between the server's clock and ours that is forgiven, seconds.
const LEEWAY_SECS: u64 = 60;

/// All we verify. None of them is symmetric: a client secret is not a key, and `none` is not a signature.
const ALGORITHMS: [Algorithm; 9] = [
    Algorithm::Es256,
    Algorithm::Es384,
    Algorithm::Rs256,
    Algorithm::Rs384,
    Algorithm::Rs512,
    Algorithm::Ps256,
    Algorithm::Ps384,
    Algorithm::Ps512,
    Algorithm::EdDsa,
];

/// What the ID token of one login has to fit.
#[derive(Debug, Clone, Copy)]
pub struct Expectation<'a> {
    /// The server it must come from.
    pub server: &'a ServerMetadata,
    /// Our client id.
    pub client_id: &'a str,
    /// The nonce of the authorization request; `None` for an ID token from a refresh.
    pub nonce: Option<&'a str>,
    /// The access token that came with it, for `at_hash`.
    pub access_token: Option<&'a SecretString>,
}

/// The claims of a valid ID token.
#[derive(Debug, Clone)]
pub struct IdTokenClaims {
    /// The issuer.
    pub issuer: String,
    /// The person, at this issuer.
    pub subject: String,
    /// When the person last proved who they are.
    pub auth_time: Option<Timestamp>,
    /// Until when the token is valid.
    pub expires_at: Timestamp,
    /// All claims.
    pub claims: Map<String, Value>,
}

impl IdTokenClaims {
    /// A text claim that is there and not empty.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        self.claims
            .get(name)
            .and_then(Value::as_str)
            .filter(|text| !text.is_empty())
    }
}

/// Why an ID token was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdTokenError {
    /// The server publishes no keys.
    #[error("the server has no jwks_uri")]
    NoKeys,
    /// The server's keys could not be had.
    #[error("keys: {0}")]
    Keys(DocumentError),
    /// Signature, `iss`, `aud`, `exp`, `iat` or form.
    #[error(transparent)]
    Token(JwtError),
    /// `azp` is missing though there are several audiences, or is not us.
    #[error("wrong authorized party")]
    AuthorizedParty,
    /// `nonce` is missing or of another request.
    #[error("wrong nonce")]
    Nonce,
    /// `at_hash` does not fit the access token.
    #[error("at_hash does not fit the access token")]
    AccessTokenHash,
}

impl IdTokenError {
    /// The word for the audit record.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::NoKeys | Self::Keys(_) => "id_token_keys",
            Self::Token(JwtError::Issuer) => "id_token_issuer",
            Self::Token(JwtError::Audience) => "id_token_audience",
            Self::Token(JwtError::Expired) => "id_token_expired",
            Self::Token(JwtError::Algorithm) => "id_token_algorithm",
            Self::Token(_) => "id_token_invalid",
            Self::AuthorizedParty => "id_token_azp",
            Self::Nonce => "id_token_nonce",
            Self::AccessTokenHash => "id_token_at_hash",
        }
    }
}

/// Validates an ID token that came from the token endpoint.
pub async fn validate(
    token: &SecretString,
    keys: &JwksCache,
    expected: &Expectation<'_>,
    now: Timestamp,
) -> Result<IdTokenClaims, IdTokenError> {
    let jwks_uri = expected.server.jwks_uri.as_ref().ok_or(IdTokenError::NoKeys)?;
    let issuer = issuer_of_tenant(&expected.server.issuer, token)?;
    let policy = JwtPolicy {
        issuer: &issuer,
        audiences: &[expected.client_id],
        algorithms: &algorithms(expected.server),
        leeway_secs: LEEWAY_SECS,
        typ: None,
    };
    let verified = keys
        .verify(jwks_uri, token.expose_secret(), &policy, now)
        .await
        .map_err(|error| match error {
            VerifyError::Keys(error) => IdTokenError::Keys(error),
            VerifyError::Token(error) => IdTokenError::Token(error),
        })?;
    check_authorized_party(&verified.claims, expected.client_id)?;
    check_nonce(&verified.claims, expected.nonce)?;
    if let Some(access_token) = expected.access_token {
        check_access_token_hash(&verified.header, &verified.claims, access_token)?;
    }
    read(verified.claims)
}

/// Microsoft's issuer has `{tenantid}` in it where several tenants log in at one address: the token says in `tid`
/// which of them it is, and then everything has to fit that one.
fn issuer_of_tenant<'a>(issuer: &'a str, token: &SecretString) -> Result<Cow<'a, str>, IdTokenError> {
    const TENANT: &str = "{tenantid}";
    if !issuer.contains(TENANT) {
        return Ok(Cow::Borrowed(issuer));
    }
    let payload = token.expose_secret().split('.').nth(1).and_then(b64url_decode);
    let claims = payload.and_then(|payload| serde_json::from_slice::<Value>(&payload).ok());
    let tenant = claims.as_ref().and_then(|claims| claims.get("tid")?.as_str());
    match tenant {
        // A GUID: anything else could bend the issuer.
        Some(id) if id.len() == 36 && id.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-') => {
            Ok(Cow::Owned(issuer.replace(TENANT, id)))
        }
        _ => Err(IdTokenError::Token(JwtError::Issuer)),
    }
}

/// The algorithms the server says it uses, as far as we verify them: of ID tokens, and of logout tokens
/// (OpenID Connect Back-Channel Logout 1.0 section 2.4).
#[must_use]
pub fn algorithms(server: &ServerMetadata) -> Vec<Algorithm> {
    let says = server.id_token_signing_alg_values_supported.as_ref();
    ALGORITHMS
        .into_iter()
        .filter(|algorithm| says.is_none_or(|names| names.iter().any(|name| name == algorithm.as_str())))
        .collect()
}

fn check_authorized_party(claims: &Map<String, Value>, client_id: &str) -> Result<(), IdTokenError> {
    let several = claims
        .get("aud")
        .and_then(Value::as_array)
        .is_some_and(|audiences| audiences.len() > 1);
    match claims.get("azp") {
        Some(party) if party.as_str() == Some(client_id) => Ok(()),
        None if !several => Ok(()),
        _ => Err(IdTokenError::AuthorizedParty),
    }
}

fn check_nonce(claims: &Map<String, Value>, nonce: Option<&str>) -> Result<(), IdTokenError> {
    let Some(nonce) = nonce else { return Ok(()) };
    let found = claims
        .get("nonce")
        .and_then(Value::as_str)
        .ok_or(IdTokenError::Nonce)?;
    if constant_time_eq(found.as_bytes(), nonce.as_bytes()) {
        Ok(())
    } else {
        Err(IdTokenError::Nonce)
    }
}

/// OpenID Connect Core 1.0 section 3.1.3.6: the left half of the token's hash, of the signature's hash
/// function (Ed25519: SHA-512).
fn check_access_token_hash(
    header: &Map<String, Value>,
    claims: &Map<String, Value>,
    access_token: &SecretString,
) -> Result<(), IdTokenError> {
    let Some(found) = claims.get("at_hash") else {
        return Ok(());
    };
    let bytes = access_token.expose_secret().as_bytes();
    let algorithm = header.get("alg").and_then(Value::as_str).unwrap_or_default();
    let expected = if algorithm.ends_with("256") {
        b64url(&sha256(bytes)[..16])
    } else if algorithm.ends_with("384") {
        b64url(&sha384(bytes)[..24])
    } else {
        b64url(&sha512(bytes)[..32])
    };
    let found = found.as_str().unwrap_or_default();
    if constant_time_eq(found.as_bytes(), expected.as_bytes()) {
        Ok(())
    } else {
        Err(IdTokenError::AccessTokenHash)
    }
}

fn read(claims: Map<String, Value>) -> Result<IdTokenClaims, IdTokenError> {
    let missing = |name| IdTokenError::Token(JwtError::Claim(name));
    let text = |name: &'static str| {
        let text = claims
            .get(name)
            .and_then(Value::as_str)
            .filter(|text| !text.is_empty() && text.len() <= 255);
        text.map(str::to_owned).ok_or(missing(name))
    };
    let time = |name: &str| claims.get(name).and_then(seconds).map(Timestamp::from_secs);
    time("iat").ok_or(missing("iat"))?;
    Ok(IdTokenClaims {
        issuer: text("iss")?,
        subject: text("sub")?,
        auth_time: time("auth_time"),
        expires_at: time("exp").ok_or(missing("exp"))?,
        claims,
    })
}

/// A `NumericDate`, which may have a fraction.
#[expect(
    clippy::cast_possible_truncation,
    reason = "`as` saturates, and the fraction is to be dropped"
)]
fn seconds(value: &Value) -> Option<i64> {
    value
        .as_i64()
        .or_else(|| value.as_f64().map(|seconds| seconds as i64))
}
