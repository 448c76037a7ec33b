//! AWS Signature Version 4 in header form: [`sign`] for our clients, [`SignedRequest`] for the server.
//!
//! Both build the canonical request with the same code, checked against AWS's published test suite and
//! against the `aws-sigv4` crate. Refused by design (D6): presigned URLs, unsigned and streamed payloads,
//! requests that do not sign `host`, and `x-amz-*` headers outside the signature.

mod canonical;
mod sign;
mod signing_key;
mod verify;

use std::fmt;

use aws_lc_rs::{digest, hmac};
use secrecy::SecretString;

pub use sign::{SigningError, sign};
pub use signing_key::SigningKey;
pub use verify::{Expectation, MAX_SKEW_SECS, SigV4Error, SignedRequest};

/// The only algorithm.
const ALGORITHM: &str = "AWS4-HMAC-SHA256";
const X_AMZ_CONTENT_SHA256: &str = "x-amz-content-sha256";
const X_AMZ_DATE: &str = "x-amz-date";
const X_AMZ_SECURITY_TOKEN: &str = "x-amz-security-token";

/// An access key.
#[derive(Clone)]
pub struct Credentials {
    /// Its public half.
    pub access_key_id: String,
    /// Its secret half.
    pub secret_access_key: SecretString,
    /// With temporary credentials.
    pub session_token: Option<SecretString>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("access_key_id", &self.access_key_id)
            .finish_non_exhaustive()
    }
}

/// `20150830/us-east-1/service/aws4_request`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Scope<'a> {
    date: &'a str,
    region: &'a str,
    service: &'a str,
}

impl fmt::Display for Scope<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}/aws4_request", self.date, self.region, self.service)
    }
}

/// The string to sign.
fn string_to_sign(amz_date: &str, scope: &Scope<'_>, canonical_request: &str) -> String {
    let hash = sha256_hex(canonical_request.as_bytes());
    format!("{ALGORITHM}\n{amz_date}\n{scope}\n{hash}")
}

/// The signature's 32 bytes.
fn signature(secret: &SecretString, scope: &Scope<'_>, string_to_sign: &str) -> [u8; 32] {
    hmac_sha256(&signing_key::derive(secret, scope), string_to_sign.as_bytes())
}

fn hmac_sha256(key: &hmac::Key, message: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(hmac::sign(key, message).as_ref());
    out
}

fn sha256_hex(bytes: &[u8]) -> String {
    hex::encode(digest::digest(&digest::SHA256, bytes))
}

/// Epoch seconds as `20150830T123600Z`.
fn amz_date(epoch_seconds: i64) -> Option<String> {
    let time = jiff::Timestamp::from_second(epoch_seconds).ok()?;
    Some(time.strftime("%Y%m%dT%H%M%SZ").to_string())
}

/// `20150830T123600Z` as epoch seconds.
fn parse_amz_date(text: &str) -> Option<i64> {
    let bytes: &[u8; 16] = text.as_bytes().try_into().ok()?;
    let number = |range: std::ops::Range<usize>| {
        bytes[range].iter().try_fold(0_i16, |number, byte| {
            byte.is_ascii_digit()
                .then(|| number * 10 + i16::from(byte - b'0'))
        })
    };
    let two = |start: usize| i8::try_from(number(start..start + 2)?).ok();
    if bytes[8] != b'T' || bytes[15] != b'Z' {
        return None;
    }
    let time = jiff::civil::DateTime::new(number(0..4)?, two(4)?, two(6)?, two(9)?, two(11)?, two(13)?, 0);
    let time = jiff::tz::Offset::UTC.to_timestamp(time.ok()?).ok()?;
    Some(time.as_second())
}

#[cfg(test)]
mod suite;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_go_both_ways() {
        assert_eq!(amz_date(1_440_938_160).as_deref(), Some("20150830T123600Z"));
        assert_eq!(parse_amz_date("20150830T123600Z"), Some(1_440_938_160));
        for text in [
            "",
            "20150830T123600",
            "20150830 123600Z",
            "20151330T123600Z",
            "+0150830T123600Z",
            "20150830T123600Zx",
        ] {
            assert_eq!(parse_amz_date(text), None, "{text}");
        }
    }
}
