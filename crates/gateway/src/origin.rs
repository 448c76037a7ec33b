//! A web origin (RFC 6454), and the paths that may be returned to within it.

use std::fmt;
use std::str::FromStr;

use http::Uri;
use serde::{Deserialize, Serialize};
use url::Url;

/// Longest path with query that a login carries through, in bytes. It travels in a sealed cookie, and
/// browsers keep about 4 KB a cookie.
pub(crate) const MAX_RETURN_PATH: usize = 2_048;

/// Scheme, host and port of one listener as browsers see it: `https://app.example.com`,
/// `http://localhost:8400`.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Origin(Url);

/// The text is not an origin that a listener may have.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0:?} is not an origin: write scheme, host and port alone")]
pub struct OriginError(String);

impl Origin {
    /// Whether cookies of this origin carry `Secure` and the `__Host-` prefix.
    #[must_use]
    pub fn is_https(&self) -> bool {
        self.0.scheme() == "https"
    }

    /// Whether a session may live here: HTTPS, or HTTP on a loopback host, which browsers trust alike.
    #[must_use]
    pub fn is_trustworthy(&self) -> bool {
        let loopback = match self.0.host() {
            Some(url::Host::Domain(name)) => name == "localhost",
            Some(url::Host::Ipv4(address)) => address.is_loopback(),
            Some(url::Host::Ipv6(address)) => address.is_loopback(),
            None => false,
        };
        self.is_https() || loopback
    }

    /// The host alone, which is what cookies go by.
    pub(crate) fn host(&self) -> &str {
        self.0.host_str().unwrap_or_default()
    }

    /// `host` or `host:port`, as it stands in a `Host` header.
    #[must_use]
    pub fn authority(&self) -> String {
        let host = self.0.host_str().unwrap_or_default();
        self.0
            .port()
            .map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
    }

    /// The port browsers connect to.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.0.port_or_known_default().unwrap_or(443)
    }

    /// `https` or `http`.
    #[must_use]
    pub fn scheme(&self) -> &str {
        self.0.scheme()
    }

    /// The absolute URL of `path` (which begins with one slash) on this origin. The text is appended as
    /// it is, so that a path and query come back byte for byte as they were sent.
    #[must_use]
    pub fn at(&self, path: &str) -> String {
        format!("{self}{path}")
    }
}

impl FromStr for Origin {
    type Err = OriginError;

    fn from_str(text: &str) -> Result<Self, OriginError> {
        let refused = || OriginError(text.to_owned());
        let url = Url::parse(text).map_err(|_| refused())?;
        let scheme = matches!(url.scheme(), "https" | "http") && url.has_host();
        // `Url` adds the empty path's slash; anything else beside the three parts shows here.
        let bare = url
            .as_str()
            .strip_suffix('/')
            .is_some_and(|bare| bare == url.origin().ascii_serialization());
        if scheme && bare {
            Ok(Self(url))
        } else {
            Err(refused())
        }
    }
}

impl TryFrom<String> for Origin {
    type Error = OriginError;

    fn try_from(text: String) -> Result<Self, OriginError> {
        text.parse()
    }
}

impl From<Origin> for String {
    fn from(origin: Origin) -> Self {
        origin.to_string()
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.origin().ascii_serialization())
    }
}

/// A path with query on our own origin to which a login may return, kept byte for byte.
///
/// What a browser could read as another origin is refused: a second slash or a backslash after the
/// first slash (`//evil.example`, `/\evil.example`), an absolute URL, control characters.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct ReturnPath(String);

/// The text is not a path on our own origin, or is too long to be kept.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum ReturnPathError {
    #[error("not a path on this origin")]
    Foreign,
    #[error("longer than {MAX_RETURN_PATH} bytes")]
    TooLong,
}

impl ReturnPath {
    /// The path and query of a request as they were received.
    pub(crate) fn of(uri: &Uri) -> Result<Self, ReturnPathError> {
        Self::parse(uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str))
    }

    pub(crate) fn parse(text: &str) -> Result<Self, ReturnPathError> {
        if text.len() > MAX_RETURN_PATH {
            return Err(ReturnPathError::TooLong);
        }
        let rest = text.strip_prefix('/').ok_or(ReturnPathError::Foreign)?;
        // WHATWG URL parsing treats a backslash as a slash in http(s) URLs and drops tab and newline.
        if rest.starts_with(['/', '\\']) || text.bytes().any(|byte| byte <= b' ' || byte == 0x7f) {
            return Err(ReturnPathError::Foreign);
        }
        Ok(Self(text.to_owned()))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for ReturnPath {
    type Error = ReturnPathError;

    fn try_from(text: String) -> Result<Self, ReturnPathError> {
        Self::parse(&text)
    }
}

impl From<ReturnPath> for String {
    fn from(path: ReturnPath) -> Self {
        path.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_scheme_host_and_port_alone() {
        for good in [
            "https://app.example.com",
            "http://localhost:8400",
            "http://127.0.0.1:1",
            "http://[::1]:80",
        ] {
            assert!(good.parse::<Origin>().is_ok(), "{good}");
        }
        for bad in [
            "https://app.example.com/x",
            "https://user@app.example.com",
            "https://app.example.com?x",
            "ftp://localhost",
            "localhost:8400",
            "",
        ] {
            assert!(bad.parse::<Origin>().is_err(), "{bad}");
        }
        let plain: Origin = "http://app.example.com".parse().expect("an origin");
        assert!(!plain.is_trustworthy(), "no session over plain HTTP");
        let origin: Origin = "http://localhost:8400".parse().expect("a good origin");
        assert!(origin.is_trustworthy());
        assert_eq!(origin.authority(), "localhost:8400");
        assert_eq!(origin.at("/a?b=c"), "http://localhost:8400/a?b=c");
    }

    #[test]
    fn g07_only_paths_of_our_own_origin_are_returned_to() {
        let deep = "/oauth2/session-binding?session_id=urn%3Aietf:params:oauth:request_uri:a%2Fb+c==&x=%20";
        assert_eq!(ReturnPath::parse(deep).expect("a path").as_str(), deep);
        for foreign in [
            "//evil.example",
            "/\\evil.example",
            "https://evil.example/",
            "evil",
            "",
            "/\t/evil.example",
            "/a\nb",
            "/ ",
        ] {
            assert_eq!(
                ReturnPath::parse(foreign),
                Err(ReturnPathError::Foreign),
                "{foreign:?}"
            );
        }
        assert_eq!(
            ReturnPath::parse(&format!("/{}", "a".repeat(2_048))),
            Err(ReturnPathError::TooLong)
        );
    }
}
