//! Signing a request.

use bytes::Bytes;
use http::{HeaderValue, Request, header};
use secrecy::ExposeSecret;

use super::canonical::CanonicalRequest;
use super::{
    ALGORITHM, Credentials, Scope, X_AMZ_DATE, X_AMZ_SECURITY_TOKEN, amz_date, sha256_hex, signature,
    string_to_sign,
};

/// Why a request cannot be signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SigningError {
    /// Its URI is relative and it has no `Host`.
    #[error("the request names no host")]
    NoHost,
    /// A header, key id or token has characters that cannot stand in a header.
    #[error("a header value is not text")]
    Header,
    /// The time is outside the calendar.
    #[error("the time cannot be written as a date")]
    Time,
}

/// Signs `request` at `now_secs` (epoch seconds): adds `host` where missing, `x-amz-date`, with temporary
/// credentials `x-amz-security-token`, and `authorization`. Every header it then has is signed.
pub fn sign(
    credentials: &Credentials,
    region: &str,
    service: &str,
    request: &mut Request<Bytes>,
    now_secs: i64,
) -> Result<(), SigningError> {
    let amz_date = amz_date(now_secs).ok_or(SigningError::Time)?;
    let value = |text: &str| HeaderValue::from_str(text).map_err(|_| SigningError::Header);
    if !request.headers().contains_key(header::HOST) {
        let authority = request.uri().authority().ok_or(SigningError::NoHost)?;
        let host = value(authority.as_str())?;
        request.headers_mut().insert(header::HOST, host);
    }
    request.headers_mut().remove(header::AUTHORIZATION);
    request.headers_mut().insert(X_AMZ_DATE, value(&amz_date)?);
    if let Some(token) = &credentials.session_token {
        let mut token = value(token.expose_secret())?;
        token.set_sensitive(true);
        request.headers_mut().insert(X_AMZ_SECURITY_TOKEN, token);
    }
    let payload_hash = sha256_hex(request.body());
    let (mut parts, body) = std::mem::take(request).into_parts();
    let authorization = authorization(credentials, region, service, &parts, &payload_hash, &amz_date);
    if let Some(authorization) = authorization
        .as_deref()
        .and_then(|text| HeaderValue::from_str(text).ok())
    {
        parts.headers.insert(header::AUTHORIZATION, authorization);
    }
    let signed = parts.headers.contains_key(header::AUTHORIZATION);
    *request = Request::from_parts(parts, body);
    if signed { Ok(()) } else { Err(SigningError::Header) }
}

fn authorization(
    credentials: &Credentials,
    region: &str,
    service: &str,
    parts: &http::request::Parts,
    payload_hash: &str,
    amz_date: &str,
) -> Option<String> {
    let mut signed_headers: Vec<&str> = parts.headers.keys().map(header::HeaderName::as_str).collect();
    signed_headers.sort_unstable();
    let canonical = CanonicalRequest::of(parts, &signed_headers, payload_hash);
    let scope = Scope {
        date: amz_date.get(..8)?,
        region,
        service,
    };
    let string_to_sign = string_to_sign(amz_date, &scope, &canonical.text()?);
    let signature = hex::encode(signature(&credentials.secret_access_key, &scope, &string_to_sign));
    Some(format!(
        "{ALGORITHM} Credential={}/{scope}, SignedHeaders={}, Signature={signature}",
        credentials.access_key_id,
        signed_headers.join(";"),
    ))
}
