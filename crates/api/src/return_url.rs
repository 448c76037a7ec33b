//! Which return URLs a workload identity may register (attack row D2).
//!
//! The service model's pattern lets nearly everything through. A return URL receives a session handle, so
//! ours must be one that carries it to an application and not into a script or over the network in clear.

use url::{Host, Url};

use crate::validate::pattern;

/// Why a return URL may not be registered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReturnUrlError {
    /// Not of the model's pattern and length.
    #[error("must have 1 to 2048 characters and match {}", pattern::RETURN_URL.text)]
    Pattern,
    /// Not an absolute URL.
    #[error("must be an absolute URL")]
    Malformed,
    /// Plain `http` to something other than this machine.
    #[error("must use https unless its host is localhost, 127.0.0.0/8 or [::1]")]
    PlainHttp,
    /// A scheme by which a browser runs or shows content instead of going somewhere.
    #[error("must not use a scheme that runs or shows content (javascript, data, blob, file and the like)")]
    Scheme,
    /// RFC 6749 3.1.2 forbids a fragment.
    #[error("must not have a fragment")]
    Fragment,
    /// A user name or password, which only ever disguises the host.
    #[error("must not carry user information")]
    UserInfo,
    /// Written differently from how a browser would read it: upper case, default port, `..`, backslash.
    #[error("must be written in normalised form: {0}", hint())]
    NotNormalised,
}

fn hint() -> &'static str {
    "lower-case scheme and host, no default port, no dot segments, no backslash, no control characters"
}

/// Schemes whose "location" is content. A custom scheme of an application is not among them.
const CONTENT_SCHEMES: [&str; 11] = [
    "about",
    "blob",
    "chrome",
    "data",
    "file",
    "filesystem",
    "jar",
    "javascript",
    "vbscript",
    "view-source",
    "ws",
];

/// Whether `url` may be registered as a return URL. Later uses compare it byte by byte with the registered
/// text, so only a URL that every parser reads alike is accepted.
pub fn check_registration(url: &str) -> Result<(), ReturnUrlError> {
    if url.chars().count() > 2048 || !(pattern::RETURN_URL.matches)(url) {
        return Err(ReturnUrlError::Pattern);
    }
    let parsed = Url::parse(url).map_err(|_| ReturnUrlError::Malformed)?;
    if parsed.fragment().is_some() {
        return Err(ReturnUrlError::Fragment);
    }
    if !parsed.username().is_empty() || parsed.password().is_some() || authority(url).contains('@') {
        return Err(ReturnUrlError::UserInfo);
    }
    match parsed.scheme() {
        "https" => {}
        "http" if is_loopback(&parsed) => {}
        "http" => return Err(ReturnUrlError::PlainHttp),
        scheme if CONTENT_SCHEMES.contains(&scheme) || scheme == "wss" => return Err(ReturnUrlError::Scheme),
        // An application's own scheme (RFC 8252 7.1).
        _ => {
            return if url.chars().any(char::is_control) {
                Err(ReturnUrlError::NotNormalised)
            } else {
                Ok(())
            };
        }
    }
    // A bare origin is normalised with a slash at its end; both are the same request.
    let normalised = parsed.as_str();
    let same = normalised == url
        || (parsed.path() == "/" && parsed.query().is_none() && normalised.strip_suffix('/') == Some(url));
    if same {
        Ok(())
    } else {
        Err(ReturnUrlError::NotNormalised)
    }
}

fn authority(url: &str) -> &str {
    let rest = url.split_once("://").map_or("", |(_, rest)| rest);
    rest.split(['/', '?', '#', '\\']).next().unwrap_or_default()
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn applications_may_register() {
        for url in [
            "https://app.example.com/oauth2/session-binding",
            "https://app.example.com",
            "https://app.example.com/cb?tenant=a%2Fb",
            "https://app.example.com:8443/cb",
            "http://localhost:8407/oauth2/session-binding",
            "http://127.0.0.1:8080/callback",
            "http://[::1]:8080/callback",
            "com.example.app:/oauth2redirect",
            "myapp://callback",
        ] {
            // `com.example.app` has dots, which the model's `\w+` does not allow; a plain word is fine.
            let expected = if url.starts_with("com.") {
                Err(ReturnUrlError::Pattern)
            } else {
                Ok(())
            };
            assert_eq!(check_registration(url), expected, "{url}");
        }
    }

    #[test]
    fn d02_dangerous_return_urls_are_refused() {
        use ReturnUrlError::{Fragment, Malformed, NotNormalised, Pattern, PlainHttp, Scheme, UserInfo};
        for (url, error) in [
            ("", Pattern),
            ("/relative", Pattern),
            ("https://a b", Pattern),
            ("https:", Pattern),
            ("https://", Malformed),
            ("javascript:alert(1)", Scheme),
            ("JavaScript:alert(1)", Scheme),
            ("data:text/html,x", Scheme),
            ("blob:https://a/b", Scheme),
            ("file:///etc/passwd", Scheme),
            ("vbscript:x", Scheme),
            ("http://app.example.com/cb", PlainHttp),
            ("http://localhost.example.com/cb", PlainHttp),
            ("http://localhost@evil.example/cb", UserInfo),
            ("https://ok.example@evil.example/cb", UserInfo),
            ("https://@evil.example/cb", UserInfo),
            ("https://app.example.com/cb#x", Fragment),
            ("https://app.example.com/cb#", Fragment),
            ("https://APP.example.com/cb", NotNormalised),
            ("https://app.example.com:443/cb", NotNormalised),
            ("https://app.example.com/a/../cb", NotNormalised),
            ("https://app.example.com/%2e%2e/cb", NotNormalised),
            ("https://app.example.com\\cb", NotNormalised),
            ("https:app.example.com/cb", NotNormalised),
            ("https://app.example.com/c\u{1}b", NotNormalised),
            ("https://bücher.example/cb", NotNormalised),
        ] {
            assert_eq!(check_registration(url), Err(error), "{url}");
        }
    }
}
