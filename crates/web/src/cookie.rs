//! Cookies: built with the attributes this product needs, read so that two of one name count as none.

use std::time::Duration;

use cookie::{Cookie, SameSite as CookieSameSite};
use http::header::COOKIE;
use http::{HeaderMap, HeaderValue};

/// When a browser sends a cookie along with requests that other sites cause (RFC 6265bis section 4.1.2.7).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum SameSite {
    /// With top-level GET navigations alone.
    #[default]
    Lax,
    /// Never.
    Strict,
    /// Always; needs `Secure`.
    None,
}

/// Attributes of a cookie. Always `HttpOnly`, path `/`, no `Domain` (so that `__Host-` holds).
#[derive(Debug, Clone, Copy, Default)]
pub struct CookieOptions {
    /// `Secure`: on every https origin. Off on loopback http, where Safari would drop the cookie.
    pub secure: bool,
    /// `SameSite`.
    pub same_site: SameSite,
    /// Lifetime; `None` ends with the browser.
    pub max_age: Option<Duration>,
}

/// Two cookies of one name: some page of a sibling host or path planted one, and which is ours cannot be
/// told. Treated as absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("two cookies of one name")]
pub struct DuplicateCookie;

/// The full name of a cookie: `__Host-` on https; on loopback http, which has neither that prefix nor
/// separate cookies per port, `suffix` (the port base) keeps two installations apart.
#[must_use]
pub fn name(base: &str, secure: bool, suffix: &str) -> String {
    let prefix = if secure { "__Host-" } else { "" };
    let dash = if suffix.is_empty() { "" } else { "-" };
    format!("{prefix}{base}{dash}{suffix}")
}

/// The `Set-Cookie` value. `value` is one of ours, base64url or the like.
///
/// # Panics
/// When name or value hold control characters, which ours never do.
#[must_use]
pub fn build(name: &str, value: &str, options: CookieOptions) -> HeaderValue {
    let mut cookie = Cookie::build((name, value))
        .path("/")
        .http_only(true)
        .secure(options.secure)
        .same_site(match options.same_site {
            SameSite::Lax => CookieSameSite::Lax,
            SameSite::Strict => CookieSameSite::Strict,
            SameSite::None => CookieSameSite::None,
        });
    if let Some(max_age) = options.max_age {
        let secs = i64::try_from(max_age.as_secs()).unwrap_or(i64::MAX);
        cookie = cookie.max_age(cookie::time::Duration::seconds(secs));
    }
    HeaderValue::from_str(&cookie.build().to_string()).expect("our cookie names and values are plain ASCII")
}

/// The `Set-Cookie` value that removes a cookie.
#[must_use]
pub fn remove(name: &str, options: CookieOptions) -> HeaderValue {
    build(
        name,
        "",
        CookieOptions {
            max_age: Some(Duration::ZERO),
            ..options
        },
    )
}

/// The value of the one cookie of this name; `None` when there is none.
pub fn read_single(headers: &HeaderMap, name: &str) -> Result<Option<String>, DuplicateCookie> {
    let found = find_single(headers, name)?;
    Ok(found.map(|value| String::from_utf8_lossy(value).into_owned()))
}

/// As [`read_single`], as it was sent.
pub fn find_single<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a [u8]>, DuplicateCookie> {
    let mut found = None;
    for header in headers.get_all(COOKIE) {
        for pair in header.as_bytes().split(|&byte| byte == b';') {
            let equals = memchr::memchr(b'=', pair);
            let (pair_name, value) = pair.split_at(equals.unwrap_or(pair.len()));
            if pair_name.trim_ascii() != name.as_bytes() {
                continue;
            }
            if found
                .replace(value.get(1..).unwrap_or_default().trim_ascii())
                .is_some()
            {
                return Err(DuplicateCookie);
            }
        }
    }
    Ok(found.filter(|value| !value.is_empty()))
}

/// The name in a `Set-Cookie` value, and whether it has the browser forget the cookie at `now_secs` (seconds
/// since the epoch): an expiry that is past, or no value. `None` for what no browser takes for a cookie.
#[must_use]
pub fn read_set_cookie(value: &str, now_secs: i64) -> Option<(String, bool)> {
    let cookie = Cookie::parse(value).ok()?;
    // RFC 6265 section 5.3: `Max-Age` wins over `Expires`.
    let past = match (cookie.max_age(), cookie.expires_datetime()) {
        (Some(max_age), _) => max_age.is_zero() || max_age.is_negative(),
        (None, Some(expires)) => expires.unix_timestamp() <= now_secs,
        (None, None) => false,
    };
    Some((cookie.name().to_owned(), past || cookie.value().is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_by_origin() {
        assert_eq!(
            name("countersign-account", true, ""),
            "__Host-countersign-account"
        );
        assert_eq!(
            name("countersign-account", false, "8400"),
            "countersign-account-8400"
        );
    }

    #[test]
    fn attributes() {
        let options = CookieOptions {
            secure: true,
            max_age: Some(Duration::from_mins(1)),
            ..Default::default()
        };
        let value = build("__Host-a", "v", options);
        assert_eq!(
            value,
            "__Host-a=v; HttpOnly; SameSite=Lax; Secure; Path=/; Max-Age=60"
        );
        assert_eq!(
            remove("b", CookieOptions::default()),
            "b=; HttpOnly; SameSite=Lax; Path=/; Max-Age=0"
        );
    }

    #[test]
    fn two_of_one_name_are_refused() {
        let mut headers = HeaderMap::new();
        headers.append(COOKIE, HeaderValue::from_static("a=1; bb=2"));
        assert_eq!(read_single(&headers, "a"), Ok(Some("1".into())));
        assert_eq!(read_single(&headers, "b"), Ok(None));
        headers.append(COOKIE, HeaderValue::from_static("a=3"));
        assert_eq!(read_single(&headers, "a"), Err(DuplicateCookie));
        assert_eq!(read_single(&headers, "bb"), Ok(Some("2".into())));
    }

    #[test]
    fn cookies_that_a_browser_forgets() {
        for (value, expired) in [
            ("a=; Max-Age=0; Path=/", true),
            ("a=x; Max-Age=-1", true),
            ("a=x; expires=Thu, 01 Jan 1970 00:00:00 GMT; Path=/", true),
            ("a=x; Expires=Wed, 21 Oct 2015 07:28:00 GMT; Max-Age=60", false),
            ("a=x", false),
            ("a=", true),
        ] {
            assert_eq!(
                read_set_cookie(value, 1_800_000_000),
                Some(("a".to_owned(), expired)),
                "{value}"
            );
        }
        assert_eq!(read_set_cookie("no pair", 0), None);
    }
}
