//! What a client may reach and how long and how large an answer may be.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use url::Url;

/// The rules of one [`Client`](crate::Client). The operator's configuration makes it, never a tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Exact hosts and ports that may be reached by `http`, and at internal addresses. Link-local and
    /// metadata addresses stay refused.
    pub allow: Vec<HostPort>,
    /// Exact addresses (never names) that may be reached although they are link-local or metadata: for the one client
    /// that asks the platform for this process's own credentials, and is never given a URL of anybody else's.
    pub allow_link_local: Vec<HostPort>,
    /// Time for name resolution, TCP and TLS together.
    pub connect_timeout: Duration,
    /// Time from the start of a request to the last byte of its answer; for a streamed answer, to its
    /// headers and then between two pieces of its body.
    pub timeout: Duration,
    /// Most bytes of an answer's body.
    pub max_response_bytes: usize,
    /// Authorities (PEM) that are believed for `https` beside the system's.
    pub trust_root: Option<Vec<u8>>,
}

impl Default for Policy {
    /// No exceptions, 5 s to connect, 10 s in all, 1 MiB.
    fn default() -> Self {
        Self {
            allow: Vec::new(),
            allow_link_local: Vec::new(),
            connect_timeout: Duration::from_secs(5),
            timeout: Duration::from_secs(10),
            max_response_bytes: 1 << 20,
            trust_root: None,
        }
    }
}

/// A host and port, exactly as a URL names them; written `host:port`, an IPv6 address in brackets.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HostPort {
    host: String,
    port: u16,
}

/// The text is not `host:port`.
#[derive(Debug, thiserror::Error)]
#[error("expected host:port, with an IPv6 address in brackets")]
pub struct InvalidHostPort;

impl HostPort {
    /// The host and the port (given or the scheme's own) of `url`; `None` if it has no host.
    #[must_use]
    pub fn of(url: &Url) -> Option<Self> {
        Some(Self {
            host: url.host_str()?.to_owned(),
            port: url.port_or_known_default()?,
        })
    }
}

impl FromStr for HostPort {
    type Err = InvalidHostPort;

    fn from_str(text: &str) -> Result<Self, InvalidHostPort> {
        // The URL parser brings the host into the form in which request URLs carry it.
        let (_, port) = text.rsplit_once(':').ok_or(InvalidHostPort)?;
        let port = port.parse().map_err(|_| InvalidHostPort)?;
        let url = Url::parse(&format!("http://{text}/")).map_err(|_| InvalidHostPort)?;
        let host = url.host_str().ok_or(InvalidHostPort)?.to_owned();
        let bare = url.path() == "/" && url.username().is_empty() && url.password().is_none();
        if port == 0 || !bare || url.query().is_some() || url.fragment().is_some() {
            return Err(InvalidHostPort);
        }
        Ok(Self { host, port })
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl Serialize for HostPort {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for HostPort {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_port_is_exact_text_of_the_url() {
        for (text, url) in [
            ("localhost:8401", "http://localhost:8401/a?b"),
            ("LOCALHOST:80", "http://localhost/"),
            ("[::1]:8400", "http://[0:0::1]:8400/"),
            ("127.0.0.1:443", "https://127.1/"),
        ] {
            let url = Url::parse(url).expect("a URL");
            assert_eq!(Some(text.parse().expect(text)), HostPort::of(&url));
        }
    }

    #[test]
    fn host_port_refuses_anything_else() {
        for text in [
            "",
            "localhost",
            "localhost:0",
            "localhost:99999",
            "a:b@c:80",
            "a/b:80",
            ":80",
            "http://a:80",
        ] {
            assert!(text.parse::<HostPort>().is_err(), "{text}");
        }
    }
}
