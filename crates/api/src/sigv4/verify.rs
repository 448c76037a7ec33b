//! Checking a signed request.
//!
//! In three steps, so that nothing is looked up for a request that cannot be right: [`SignedRequest::parse`]
//! reads the header, [`SignedRequest::check`] compares scope and time, and, with the secret found by
//! `access_key_id`, [`SignedRequest::verify`] compares signatures.

use http::header::{self, HeaderMap};
use http::request::Parts;
use secrecy::SecretString;
use subtle::ConstantTimeEq;

use super::canonical::CanonicalRequest;
use super::{
    ALGORITHM, Scope, SigningKey, X_AMZ_CONTENT_SHA256, X_AMZ_DATE, X_AMZ_SECURITY_TOKEN, hmac_sha256,
    parse_amz_date, sha256_hex, string_to_sign,
};
use crate::error::{ApiError, ErrorCode};

/// How far a request's date may be from ours, either way.
pub const MAX_SKEW_SECS: i64 = 300;

/// How long a presigned URL is good for at most, seconds, whatever it says itself: as at AWS STS.
const MAX_PRESIGNED_SECS: i64 = 900;
/// Longest `authorization` header, in bytes; real ones have a few hundred.
const MAX_AUTHORIZATION: usize = 4096;
/// Most signed headers; the JavaScript SDK has eight.
const MAX_SIGNED_HEADERS: usize = 50;

/// Why a request is not taken as signed by its access key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SigV4Error {
    /// There is no signature.
    #[error("Missing Authentication Token")]
    Missing,
    /// It is a presigned URL.
    #[error("Presigned URLs are not accepted by this operation.")]
    Presigned,
    /// A part of the header is absent or malformed.
    #[error("{0}")]
    Incomplete(&'static str),
    /// The access key is not known.
    #[error("The security token included in the request is invalid.")]
    UnknownAccessKey,
    /// The temporary credentials have expired.
    #[error("The security token included in the request is expired")]
    ExpiredToken,
    /// Signed for another region, service or day.
    #[error("{0}")]
    Scope(&'static str),
    /// Signed too long ago.
    #[error("Signature expired: the request's date is more than 5 minutes in the past.")]
    TooOld,
    /// Signed in the future.
    #[error("Signature not yet current: the request's date is more than 5 minutes in the future.")]
    TooNew,
    /// `x-amz-content-sha256` is not the body's hash, or says that the body is not signed.
    #[error("The value of x-amz-content-sha256 must be the SHA-256 of the request body.")]
    Payload,
    /// The signatures differ.
    #[error(
        "The request signature we calculated does not match the signature you provided. Check your AWS Secret \
         Access Key and signing method. Consult the service documentation for details."
    )]
    Mismatch,
}

impl SigV4Error {
    /// The audit reason.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::Missing => "signature_missing",
            Self::Presigned => "signature_presigned",
            Self::Incomplete(_) => "signature_incomplete",
            Self::UnknownAccessKey => "unknown_access_key",
            Self::ExpiredToken => "security_token_expired",
            Self::Scope(_) => "signature_scope",
            Self::TooOld | Self::TooNew => "signature_skew",
            Self::Payload => "payload_hash",
            Self::Mismatch => "signature_mismatch",
        }
    }
}

impl From<SigV4Error> for ApiError {
    fn from(error: SigV4Error) -> Self {
        let code = match error {
            SigV4Error::Missing => ErrorCode::MissingAuthenticationToken,
            SigV4Error::Presigned | SigV4Error::Incomplete(_) => ErrorCode::IncompleteSignature,
            SigV4Error::UnknownAccessKey => ErrorCode::UnrecognizedClient,
            SigV4Error::ExpiredToken => ErrorCode::ExpiredToken,
            SigV4Error::Scope(_)
            | SigV4Error::TooOld
            | SigV4Error::TooNew
            | SigV4Error::Payload
            | SigV4Error::Mismatch => ErrorCode::InvalidSignature,
        };
        Self::new(code, error.to_string())
    }
}

/// What the server expects of every request.
#[derive(Debug, Clone, Copy)]
pub struct Expectation<'a> {
    /// Its own region.
    pub region: &'a str,
    /// The service of the operation asked for.
    pub service: &'a str,
    /// Its clock, epoch seconds.
    pub now_secs: i64,
}

/// The parts of a signed request's `authorization` header, and the headers that go with it. Nothing in it
/// is proven before [`verify`](Self::verify).
#[derive(Clone)]
pub struct SignedRequest {
    /// Whose key it claims to be.
    pub access_key_id: String,
    /// With temporary credentials.
    pub session_token: Option<SecretString>,
    date: String,
    region: String,
    service: String,
    amz_date: String,
    signed_at: i64,
    signed_headers: Vec<String>,
    signature: [u8; 32],
    /// Of a presigned URL, how long it is good for, seconds.
    expires: Option<i64>,
}

impl std::fmt::Debug for SignedRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SignedRequest")
            .field("access_key_id", &self.access_key_id)
            .field("service", &self.service)
            .field("amz_date", &self.amz_date)
            .finish_non_exhaustive()
    }
}

impl SignedRequest {
    /// Reads the request's signature.
    pub fn parse(parts: &Parts) -> Result<Self, SigV4Error> {
        let Some(authorization) = single(&parts.headers, header::AUTHORIZATION.as_str())? else {
            let presigned = parts.uri.query().is_some_and(is_presigned);
            return Err(if presigned {
                SigV4Error::Presigned
            } else {
                SigV4Error::Missing
            });
        };
        let fields = fields(authorization)?;
        let amz_date = single(&parts.headers, X_AMZ_DATE)?.ok_or(SigV4Error::Incomplete(
            "Authorization header requires existence of 'X-Amz-Date' header.",
        ))?;
        let session_token = single(&parts.headers, X_AMZ_SECURITY_TOKEN)?;
        Self::from_fields(&parts.headers, &fields, amz_date, session_token, None)
    }

    /// Reads the signature of a presigned URL. Only for `GetCallerIdentity`, whose URL is how other services have a
    /// caller prove itself.
    pub fn parse_presigned(parts: &Parts) -> Result<Self, SigV4Error> {
        const RULE: SigV4Error = SigV4Error::Incomplete(
            "A presigned URL requires X-Amz-Algorithm, X-Amz-Credential, X-Amz-Date, X-Amz-Expires, \
             X-Amz-SignedHeaders and X-Amz-Signature, each once.",
        );
        let query = parts.uri.query().unwrap_or_default();
        let parameters: Vec<_> = url::form_urlencoded::parse(query.as_bytes()).collect();
        let once = |name: &str| {
            let mut values = parameters.iter().filter(|(present, _)| present == name);
            match (values.next(), values.next()) {
                (Some((_, value)), None) => Ok(Some(value.as_ref())),
                (None, _) => Ok(None),
                (Some(_), Some(_)) => Err(RULE),
            }
        };
        let required = |name| once(name)?.ok_or(RULE);
        if parts.headers.contains_key(header::AUTHORIZATION) || required("X-Amz-Algorithm")? != ALGORITHM {
            return Err(RULE);
        }
        let fields = Fields {
            credential: required("X-Amz-Credential")?,
            signed_headers: required("X-Amz-SignedHeaders")?,
            signature: required("X-Amz-Signature")?,
        };
        let expires = required("X-Amz-Expires")?.parse::<u32>().map_err(|_| RULE)?;
        let expires = i64::from(expires).min(MAX_PRESIGNED_SECS);
        let session_token = once("X-Amz-Security-Token")?;
        Self::from_fields(
            &parts.headers,
            &fields,
            required("X-Amz-Date")?,
            session_token,
            Some(expires),
        )
    }

    fn from_fields(
        headers: &HeaderMap,
        fields: &Fields<'_>,
        amz_date: &str,
        session_token: Option<&str>,
        expires: Option<i64>,
    ) -> Result<Self, SigV4Error> {
        let signed_at = parse_amz_date(amz_date).ok_or(SigV4Error::Incomplete(
            "Date must be in ISO-8601 'basic format', YYYYMMDD'T'HHMMSS'Z'.",
        ))?;
        // A key id has no slash, so from the left.
        let [access_key_id, date, region, service, terminator] = parts_of(fields.credential)?;
        if terminator != "aws4_request" {
            return Err(SigV4Error::Scope(
                "Credential should be scoped with a valid terminator: 'aws4_request'.",
            ));
        }
        let signed_headers = signed_headers(fields.signed_headers, headers)?;
        let mut signature = [0; 32];
        hex::decode_to_slice(fields.signature, &mut signature)
            .map_err(|_| SigV4Error::Incomplete("Signature must be 64 hexadecimal digits."))?;
        Ok(Self {
            access_key_id: access_key_id.to_owned(),
            session_token: session_token.map(SecretString::from),
            date: date.to_owned(),
            region: region.to_owned(),
            service: service.to_owned(),
            amz_date: amz_date.to_owned(),
            signed_at,
            signed_headers,
            signature,
            expires,
        })
    }

    /// Compares scope and time with what the server expects.
    pub fn check(&self, expect: &Expectation<'_>) -> Result<(), SigV4Error> {
        if self.region != expect.region {
            return Err(SigV4Error::Scope(
                "Credential should be scoped to a valid region.",
            ));
        }
        if self.service != expect.service {
            return Err(SigV4Error::Scope(
                "Credential should be scoped to correct service.",
            ));
        }
        if self.amz_date.get(..8) != Some(&self.date) {
            return Err(SigV4Error::Scope(
                "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP.",
            ));
        }
        match expect.now_secs.saturating_sub(self.signed_at) {
            age if age > self.expires.unwrap_or(MAX_SKEW_SECS) => Err(SigV4Error::TooOld),
            age if age < -MAX_SKEW_SECS => Err(SigV4Error::TooNew),
            _ => Ok(()),
        }
    }

    /// Compares the signature with that of the request under `secret`.
    pub fn verify(&self, parts: &Parts, body: &[u8], secret: &SecretString) -> Result<(), SigV4Error> {
        self.verify_with(parts, body, &SigningKey::derive(self, secret))
    }

    /// As [`verify`](Self::verify), with a signing key that was derived before. A key of another scope is a
    /// mismatch.
    pub fn verify_with(&self, parts: &Parts, body: &[u8], key: &SigningKey) -> Result<(), SigV4Error> {
        if !key.is_for(self) {
            return Err(SigV4Error::Mismatch);
        }
        let payload_hash = sha256_hex(body);
        if let Some(claimed) = single(&parts.headers, X_AMZ_CONTENT_SHA256)?
            && claimed != payload_hash
        {
            return Err(SigV4Error::Payload);
        }
        let signed_headers: Vec<&str> = self.signed_headers.iter().map(String::as_str).collect();
        let mut canonical = CanonicalRequest::of(parts, &signed_headers, &payload_hash);
        let unsigned_query = self.expires.map(|_| without_signature(canonical.query));
        if let Some(query) = &unsigned_query {
            canonical.query = query;
        }
        let canonical = canonical.text().ok_or(SigV4Error::Mismatch)?;
        let string_to_sign = string_to_sign(&self.amz_date, &self.scope(), &canonical);
        let expected = hmac_sha256(&key.key, string_to_sign.as_bytes());
        if bool::from(expected.ct_eq(&self.signature)) {
            Ok(())
        } else {
            Err(SigV4Error::Mismatch)
        }
    }

    pub(super) fn scope(&self) -> Scope<'_> {
        Scope {
            date: &self.date,
            region: &self.region,
            service: &self.service,
        }
    }
}

/// The text of a header that may stand once: twice would let two readers disagree.
fn single<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, SigV4Error> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => match value.to_str() {
            Ok(text) => Ok(Some(text)),
            Err(_) => Err(SigV4Error::Incomplete("A header of the signature is not text.")),
        },
        (Some(_), Some(_)) => Err(SigV4Error::Incomplete(
            "A header of the signature is given twice.",
        )),
    }
}

fn is_presigned(query: &str) -> bool {
    url::form_urlencoded::parse(query.as_bytes())
        .any(|(name, _)| name == "X-Amz-Signature" || name == "X-Amz-Credential")
}

/// The query of a presigned URL as it was signed.
fn without_signature(query: &str) -> String {
    let kept = query
        .split('&')
        .filter(|parameter| !parameter.starts_with("X-Amz-Signature="));
    kept.collect::<Vec<_>>().join("&")
}

struct Fields<'a> {
    credential: &'a str,
    signed_headers: &'a str,
    signature: &'a str,
}

/// `AWS4-HMAC-SHA256 Credential=…, SignedHeaders=…, Signature=…`, in any order, each once.
fn fields(authorization: &str) -> Result<Fields<'_>, SigV4Error> {
    if authorization.len() > MAX_AUTHORIZATION {
        return Err(SigV4Error::Incomplete("Authorization header is too long."));
    }
    let rest = authorization
        .strip_prefix(ALGORITHM)
        .and_then(|rest| rest.strip_prefix(' '))
        .ok_or(SigV4Error::Incomplete(
            "Authorization header must use AWS4-HMAC-SHA256.",
        ))?;
    let (mut credential, mut signed_headers, mut signature) = (None, None, None);
    for field in rest.split(',') {
        let (name, value) = field
            .trim()
            .split_once('=')
            .ok_or(SigV4Error::Incomplete("Authorization header is malformed."))?;
        let slot = match name {
            "Credential" => &mut credential,
            "SignedHeaders" => &mut signed_headers,
            "Signature" => &mut signature,
            _ => {
                return Err(SigV4Error::Incomplete(
                    "Authorization header has an unknown parameter.",
                ));
            }
        };
        if slot.replace(value).is_some() {
            return Err(SigV4Error::Incomplete(
                "Authorization header has a parameter twice.",
            ));
        }
    }
    Ok(Fields {
        credential: credential.ok_or(SigV4Error::Incomplete(
            "Authorization header requires 'Credential' parameter.",
        ))?,
        signed_headers: signed_headers.ok_or(SigV4Error::Incomplete(
            "Authorization header requires 'SignedHeaders' parameter.",
        ))?,
        signature: signature.ok_or(SigV4Error::Incomplete(
            "Authorization header requires 'Signature' parameter.",
        ))?,
    })
}

fn parts_of(credential: &str) -> Result<[&str; 5], SigV4Error> {
    let malformed = SigV4Error::Incomplete("Credential must have exactly 5 slash-delimited elements.");
    let parts: Vec<&str> = credential.split('/').collect();
    let parts: [&str; 5] = parts.try_into().map_err(|_| malformed)?;
    if parts.iter().any(|part| part.is_empty()) {
        Err(malformed)
    } else {
        Ok(parts)
    }
}

/// Lower-case, sorted, without repetition, with `host` and every `x-amz-*` header that the request has: one
/// left out could be changed on the way.
fn signed_headers(list: &str, headers: &HeaderMap) -> Result<Vec<String>, SigV4Error> {
    let names: Vec<String> = list.split(';').map(str::to_owned).collect();
    let canonical = names
        .iter()
        .all(|name| !name.is_empty() && !name.bytes().any(|b| b.is_ascii_uppercase()));
    if !canonical || names.len() > MAX_SIGNED_HEADERS || !names.is_sorted_by(|a, b| a < b) {
        return Err(SigV4Error::Incomplete(
            "SignedHeaders must be lower-case names in order, each once.",
        ));
    }
    let signed = |name: &str| names.iter().any(|signed| signed == name);
    if !signed(header::HOST.as_str()) {
        return Err(SigV4Error::Incomplete(
            "'Host' must be a 'SignedHeader' in the AWS Authorization.",
        ));
    }
    let unsigned = headers
        .keys()
        .any(|name| name.as_str().starts_with("x-amz-") && !signed(name.as_str()));
    if unsigned {
        return Err(SigV4Error::Incomplete(
            "Every 'x-amz-*' header must be a 'SignedHeader' in the AWS Authorization.",
        ));
    }
    Ok(names)
}
