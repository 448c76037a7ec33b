//! Why a request did not give an answer.

use std::net::IpAddr;

use crate::policy::HostPort;

/// Why a request did not give an answer. The text names host and port at most, never a path, query,
/// header or body: those carry codes and tokens.
#[derive(Debug, thiserror::Error)]
pub enum OutboundError {
    /// The guard refused; nothing was sent.
    #[error("outbound request refused: {0}")]
    Refused(#[from] Refusal),
    /// The name did not resolve, or TCP or TLS was not established; nothing was sent.
    #[error("could not connect to {to}: {cause}")]
    Connect {
        /// Where to.
        to: HostPort,
        /// The transport's own words.
        cause: String,
    },
    /// No complete answer in time. The peer may have processed the request.
    #[error("no complete answer from {to} in time")]
    Timeout {
        /// From whom.
        to: HostPort,
    },
    /// The answer was larger than allowed. The peer has processed the request.
    #[error("answer from {to} exceeds {limit} bytes")]
    TooLarge {
        /// From whom.
        to: HostPort,
        /// The limit in bytes.
        limit: usize,
    },
    /// The connection broke or the answer was not HTTP. The peer may have processed the request.
    #[error("protocol error with {to}: {cause}")]
    Protocol {
        /// With whom.
        to: HostPort,
        /// The transport's own words.
        cause: String,
    },
}

impl OutboundError {
    /// Whether the peer may have seen the request: `false` only where it certainly has not, so that a
    /// caller with a single-use code or refresh token may try again.
    #[must_use]
    pub fn may_have_been_sent(&self) -> bool {
        !matches!(self, Self::Refused(_) | Self::Connect { .. })
    }
}

/// What the guard refuses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Neither `https` nor excepted `http`.
    #[error("scheme must be https")]
    Scheme,
    /// The URL names no host.
    #[error("URL has no host")]
    NoHost,
    /// The URL carries a user name or password.
    #[error("URL carries user information")]
    UserInfo,
    /// The host is, or resolves to, an address that is not reachable under the policy.
    #[error("{host} is at {address}, which is not a permitted address")]
    Address {
        /// The host as the URL names it.
        host: String,
        /// The first offending address.
        address: IpAddr,
    },
}
