//! Two independent proofs that a form post came from our own page: browser metadata (`Origin`,
//! `Sec-Fetch-Site`) and a token bound to the browser's cookie and to one purpose.

use std::time::Duration;

use countersign_crypto::{Timestamp, b64url, constant_time_eq, hmac_sha256, sha256_parts};
use http::HeaderMap;
use http::header::ORIGIN;

/// Name of the hidden form field.
pub const FIELD: &str = "csrf_token";

/// How long a page may stay open before its form is sent.
pub const LIFETIME: Duration = Duration::from_hours(1);

/// Why a post was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CsrfError {
    /// `Origin` is missing, repeated, `null` or another's.
    #[error("the request comes from another origin")]
    Origin,
    /// `Sec-Fetch-Site` says that another site or origin caused it.
    #[error("the request was caused by another site")]
    Site,
    /// The token is malformed or of another browser or purpose.
    #[error("the form token does not belong to this browser and form")]
    Token,
    /// The token is older than [`LIFETIME`].
    #[error("the form token has expired")]
    Expired,
}

impl CsrfError {
    /// The word for the audit record.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Origin => "cross_origin",
            Self::Site => "cross_site",
            Self::Token => "csrf_token",
            Self::Expired => "csrf_token_expired",
        }
    }
}

/// A token for one form: `browser` is the value of a cookie that page and post share, `purpose` names the
/// form and what it is about (such as `confirm-binding` and the session id).
#[must_use]
pub fn token(secret: &[u8; 32], browser: &str, purpose: &str, now: Timestamp) -> String {
    let expires = now.plus(LIFETIME).as_secs();
    format!("{expires}.{}", b64url(&mac(secret, browser, purpose, expires)))
}

/// Checks a token made by [`token`].
pub fn verify(
    secret: &[u8; 32],
    browser: &str,
    purpose: &str,
    token: &str,
    now: Timestamp,
) -> Result<(), CsrfError> {
    let (expires, presented) = token.split_once('.').ok_or(CsrfError::Token)?;
    let expires: i64 = expires.parse().map_err(|_| CsrfError::Token)?;
    let expected = b64url(&mac(secret, browser, purpose, expires));
    if !constant_time_eq(expected.as_bytes(), presented.as_bytes()) {
        return Err(CsrfError::Token);
    }
    if now.as_secs() >= expires {
        Err(CsrfError::Expired)
    } else {
        Ok(())
    }
}

fn mac(secret: &[u8; 32], browser: &str, purpose: &str, expires: i64) -> [u8; 32] {
    let parts = sha256_parts(&[
        b"csrf",
        browser.as_bytes(),
        purpose.as_bytes(),
        &expires.to_be_bytes(),
    ]);
    hmac_sha256(secret, &parts)
}

/// Refuses a post that our own page did not send: `Origin` must be there once and equal `own_origin`
/// (`https://host[:port]`), and `Sec-Fetch-Site`, where the browser sends it, must be `same-origin`.
pub fn require_same_origin(headers: &HeaderMap, own_origin: &str) -> Result<(), CsrfError> {
    if single(headers, ORIGIN.as_str()) != Some(own_origin) {
        return Err(CsrfError::Origin);
    }
    if headers.contains_key("sec-fetch-site") && single(headers, "sec-fetch-site") != Some("same-origin") {
        return Err(CsrfError::Site);
    }
    Ok(())
}

fn single<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    const SECRET: [u8; 32] = [7; 32];

    #[test]
    fn token_is_bound_to_browser_purpose_and_time() {
        let now = Timestamp::from_secs(1_000);
        let made = token(&SECRET, "browser", "confirm", now);
        assert_eq!(verify(&SECRET, "browser", "confirm", &made, now), Ok(()));
        assert_eq!(
            verify(&SECRET, "other", "confirm", &made, now),
            Err(CsrfError::Token)
        );
        assert_eq!(
            verify(&SECRET, "browser", "deny", &made, now),
            Err(CsrfError::Token)
        );
        assert_eq!(
            verify(&[8; 32], "browser", "confirm", &made, now),
            Err(CsrfError::Token)
        );
        assert_eq!(
            verify(&SECRET, "browser", "confirm", &made, now.plus(LIFETIME)),
            Err(CsrfError::Expired)
        );
        let prolonged = made.replacen("4600", "9999", 1);
        assert_ne!(prolonged, made);
        assert_eq!(
            verify(&SECRET, "browser", "confirm", &prolonged, now),
            Err(CsrfError::Token)
        );
        assert_eq!(
            verify(&SECRET, "browser", "confirm", "", now),
            Err(CsrfError::Token)
        );
    }

    #[test]
    fn origin_and_fetch_metadata() {
        let own = "http://localhost:8407";
        let headers = |pairs: &[(&'static str, &'static str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in pairs {
                headers.append(*name, HeaderValue::from_static(value));
            }
            headers
        };
        let check = |pairs: &[(&'static str, &'static str)]| require_same_origin(&headers(pairs), own);
        assert_eq!(check(&[("origin", own)]), Ok(()));
        assert_eq!(
            check(&[("origin", own), ("sec-fetch-site", "same-origin")]),
            Ok(())
        );
        assert_eq!(check(&[]), Err(CsrfError::Origin));
        assert_eq!(check(&[("origin", "null")]), Err(CsrfError::Origin));
        assert_eq!(
            check(&[("origin", own), ("origin", "http://evil.example")]),
            Err(CsrfError::Origin)
        );
        // The app origin: same site, other port.
        assert_eq!(
            check(&[("origin", "http://localhost:8400")]),
            Err(CsrfError::Origin)
        );
        assert_eq!(
            check(&[("origin", own), ("sec-fetch-site", "same-site")]),
            Err(CsrfError::Site)
        );
        assert_eq!(
            check(&[("origin", own), ("sec-fetch-site", "none")]),
            Err(CsrfError::Site)
        );
    }
}
