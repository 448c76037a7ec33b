//! `AssumeRoleWithWebIdentity`: temporary credentials of a role, for a program that a configured issuer vouches for.
//!
//! The token is verified before the role is looked at, so that only somebody the issuer vouches for learns that a role
//! does not trust them, and nobody whether it exists.

use std::time::Duration;

use axum::response::Response;
use countersign_api::Arn;
use countersign_crypto::{ExposeSecret as _, JwtError, JwtPolicy, MAX_JWT_BYTES, SecretString, peek_issuer};
use countersign_oauth::jwks::VerifyError;
use serde_json::{Map, Value};

use super::answer::{StsError, success};
use super::parameters::Parameters;
use super::session_token::{self, RoleSession};
use super::{StsCall, trust};
use crate::authn;
use crate::config::WorkloadIssuerConfig;
use crate::state::State;
use crate::store::principal::{self, PrincipalRow};

/// Clock difference to an issuer that is forgiven, seconds.
const LEEWAY_SECS: u64 = 30;
/// How long a session lasts that does not say, seconds; less if the role's longest is less.
const DEFAULT_DURATION: i64 = 3600;

/// What is asked for.
struct Asked<'a> {
    account: &'a str,
    role: &'a str,
    session: &'a str,
    token: &'a str,
    /// Seconds.
    duration: Option<i64>,
}

/// What a verified token says.
struct WebIdentity {
    issuer: String,
    audiences: Vec<String>,
    subject: String,
}

#[tracing::instrument(name = "identity.assume_role_with_web_identity", skip_all)]
pub(super) async fn answer(call: &mut StsCall, parameters: &Parameters) -> Result<Response, StsError> {
    let asked = read(parameters)?;
    let role_arn = Arn::role(asked.account, asked.role).to_string();
    call.entry.detail.insert("role".to_owned(), role_arn.into());
    let identity = prove(call, &asked).await?;
    let detail = &mut call.entry.detail;
    detail.insert("issuer".to_owned(), identity.issuer.as_str().into());
    detail.insert("subject".to_owned(), identity.subject.as_str().into());
    let role = principal::find(&call.state.pool, asked.account, asked.role).await?;
    let (role, audience) = trusting(role, &identity)?;
    call.known = true;
    asked.account.clone_into(&mut call.entry.account);
    call.entry.region.clone_from(&call.state.config.region);
    call.entry
        .detail
        .insert("audience".to_owned(), audience.as_str().into());
    call.check_rate(asked.account)?;

    let duration = duration(&asked, &role)?;
    let session = RoleSession {
        role_id: role.id.clone(),
        name: asked.session.to_owned(),
        secret: authn::generate_secret(&*call.state.random),
        expires: call.now.plus(duration),
        issuer: identity.issuer,
        audience,
        subject: identity.subject,
    };
    let access_key_id = authn::generate_access_key_id("ASIA", &*call.state.random);
    let keys = call.state.keys(asked.account);
    let keyring = &keys
        .map_err(|error| StsError::unavailable("account_not_configured", error))?
        .credential;
    let token = session_token::seal(
        keyring,
        &*call.state.random,
        asked.account,
        &access_key_id,
        &session,
    );
    let arn = Arn::assumed_role(asked.account, &role.name, asked.session).to_string();
    call.entry.principal = Some(arn.clone());
    let detail = &mut call.entry.detail;
    detail.insert("accessKeyId".to_owned(), access_key_id.as_str().into());
    detail.insert("expires".to_owned(), session.expires.as_secs().into());
    // The last step, so that a stop set meanwhile holds.
    call.check_stops(asked.account, &role.name).await?;
    Ok(respond(call, &session, &access_key_id, &token, &arn))
}

fn respond(
    call: &StsCall,
    session: &RoleSession,
    access_key_id: &str,
    token: &SecretString,
    arn: &str,
) -> Response {
    success("AssumeRoleWithWebIdentity", &call.request_id, |xml| {
        xml.text("SubjectFromWebIdentityToken", &session.subject);
        xml.text("Audience", &session.audience);
        xml.open("AssumedRoleUser");
        xml.text("Arn", arn);
        xml.text("AssumedRoleId", &format!("{}:{}", session.role_id, session.name));
        xml.close("AssumedRoleUser");
        xml.open("Credentials");
        xml.text("AccessKeyId", access_key_id);
        xml.text("SecretAccessKey", session.secret.expose_secret());
        xml.text("SessionToken", token.expose_secret());
        xml.time("Expiration", session.expires);
        xml.close("Credentials");
        xml.text("Provider", &session.issuer);
    })
}

/// Reads the parameters, by the rules of the STS API reference.
fn read(parameters: &Parameters) -> Result<Asked<'_>, StsError> {
    const KNOWN: [&str; 4] = [
        "RoleArn",
        "RoleSessionName",
        "WebIdentityToken",
        "DurationSeconds",
    ];
    parameters.only(&KNOWN)?;
    let name = |text: &str| {
        text.bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_+=,.@-".contains(&byte))
    };
    let arn = parameters.required("RoleArn", |arn| (20..=2048).contains(&arn.len()))?;
    let role = |arn: &str| arn.split_once(":role/").is_some_and(|(_, role)| name(role));
    let arn = if role(arn) { arn } else { "" };
    let split = arn
        .strip_prefix("arn:aws:iam::")
        .and_then(|rest| rest.split_once(":role/"));
    let (account, role) =
        split.ok_or_else(|| StsError::validation("RoleArn", "must be the ARN of a role"))?;
    let duration = match parameters.get("DurationSeconds") {
        None => None,
        Some(text) => {
            let seconds = text
                .parse()
                .ok()
                .filter(|seconds| (900..=43_200).contains(seconds));
            let out_of_range = || StsError::validation("DurationSeconds", "must be between 900 and 43200");
            Some(seconds.ok_or_else(out_of_range)?)
        }
    };
    Ok(Asked {
        account,
        role,
        session: parameters.required("RoleSessionName", |text| {
            (2..=64).contains(&text.len()) && name(text)
        })?,
        token: web_identity_token(parameters)?,
        duration,
    })
}

/// STS takes 20,000 characters; the verifier does not.
fn web_identity_token(parameters: &Parameters) -> Result<&str, StsError> {
    const NAME: &str = "WebIdentityToken";
    let token = parameters.required(NAME, |token| token.len() >= 4)?;
    if token.len() > MAX_JWT_BYTES {
        let rule = format!("must have at most {MAX_JWT_BYTES} bytes");
        return Err(StsError::validation(NAME, &rule));
    }
    Ok(token)
}

/// Verifies the token. Nothing is fetched for an issuer that is not listed for the account.
async fn prove(call: &StsCall, asked: &Asked<'_>) -> Result<WebIdentity, StsError> {
    let state = &call.state;
    let invalid = StsError::invalid_identity_token;
    let issuer = peek_issuer(asked.token).ok_or_else(|| invalid("web_identity_invalid"))?;
    let listed = state
        .config
        .workload_issuer(asked.account, &issuer)
        .ok_or_else(|| invalid("issuer_not_configured"))?;
    let jwks_uri = jwks_uri(state, listed).await?;
    let policy = JwtPolicy {
        issuer: &listed.issuer,
        // The role's trust policy says whom a token has to be for.
        audiences: &[],
        algorithms: &listed.algorithms,
        leeway_secs: LEEWAY_SECS,
        typ: None,
    };
    let verified = state
        .jwks
        .verify_of_any_audience(&jwks_uri, asked.token, &policy, call.now)
        .await
        .map_err(|error| match error {
            VerifyError::Keys(cause) => StsError::issuer_away(cause),
            VerifyError::Token(JwtError::Expired) => StsError::expired_identity_token(),
            VerifyError::Token(_) => invalid("web_identity_invalid"),
        })?;
    let subject = verified.claims.get("sub").and_then(Value::as_str);
    let subject = subject.filter(|subject| !subject.is_empty());
    Ok(WebIdentity {
        audiences: audiences(&verified.claims),
        subject: subject.ok_or_else(|| invalid("web_identity_invalid"))?.to_owned(),
        issuer,
    })
}

async fn jwks_uri(state: &State, issuer: &WorkloadIssuerConfig) -> Result<url::Url, StsError> {
    if let Some(configured) = &issuer.jwks_uri {
        return Ok(configured.clone());
    }
    let found = state.key_discovery.jwks_uri(&issuer.issuer).await;
    found.map_err(StsError::issuer_away)
}

/// RFC 7519 section 4.1.3: a text or a list of texts.
fn audiences(claims: &Map<String, Value>) -> Vec<String> {
    let listed = match claims.get("aud") {
        Some(Value::Array(listed)) => listed.as_slice(),
        Some(one) => std::slice::from_ref(one),
        None => &[],
    };
    let texts = listed.iter().filter_map(Value::as_str);
    texts.map(str::to_owned).collect()
}

/// The role, and the audience by which it trusts the token. One answer for all that it may not.
fn trusting(role: Option<PrincipalRow>, identity: &WebIdentity) -> Result<(PrincipalRow, String), StsError> {
    let role = role.ok_or_else(|| StsError::access_denied("role_unknown"))?;
    let policy = role
        .trust
        .as_ref()
        .ok_or_else(|| StsError::access_denied("role_unknown"))?;
    let audiences: Vec<&str> = identity.audiences.iter().map(String::as_str).collect();
    let entry = trust::find(policy, &identity.issuer, &audiences, &identity.subject);
    let audience = entry.map_err(StsError::access_denied)?.audience.clone();
    Ok((role, audience))
}

fn duration(asked: &Asked<'_>, role: &PrincipalRow) -> Result<Duration, StsError> {
    let longest = role.trust.as_ref().map_or(0, |trust| trust.max_session_duration);
    let seconds = asked.duration.unwrap_or(DEFAULT_DURATION.min(longest));
    if seconds > longest {
        let message = "exceeds the MaxSessionDuration set for this role";
        return Err(StsError::validation("DurationSeconds", message));
    }
    Ok(Duration::from_secs(seconds.unsigned_abs()))
}
