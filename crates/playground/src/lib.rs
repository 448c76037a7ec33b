//! Development only: one authorization-server engine that is the OpenID provider people log in with, and
//! Ledgerline, the third-party service whose data the agent is allowed to read, and the simulators of vendors.
//!
//! It is the other side of everything that `oauth` does, and never depends on it, so that a mistake on one
//! side cannot cancel out a mistake on the other. It implements RFC 6749 with PKCE (RFC 7636, S256 only),
//! RFC 8414, RFC 9207, RFC 7009, RFC 6750, refresh-token rotation with reuse detection (RFC 9700 section
//! 4.14.2), and for the provider OpenID Connect Core, Discovery and RP-Initiated Logout.
//!
//! It refuses to be more than that: it has two users with a published password, and serves loopback only
//! (design D25).

mod authorization_server;
mod client;
mod ledgerline;
mod loopback;
mod openid_provider;
mod page;
mod people;
mod saved;
mod simulator;

use countersign_crypto::{SharedClock, SharedRandom};

pub use authorization_server::IdTokenAlgorithm;
pub use client::Client;
pub use ledgerline::{Ledgerline, LedgerlineConfig};
pub use loopback::listen;
pub use openid_provider::{OpenIdProvider, OpenIdProviderConfig};
pub use people::OPERATORS;
pub use simulator::{SimulatedVendor, Simulator, SimulatorConfig};

/// What a part of the playground takes from its surroundings.
#[derive(Clone)]
pub struct Parts {
    /// Tells when codes and tokens expire.
    pub clock: SharedClock,
    /// Draws codes and tokens.
    pub random: SharedRandom,
}

/// Why a part of the playground does not start.
#[derive(Debug, thiserror::Error)]
pub enum PlaygroundError {
    /// The playground's users have a published password: it must not be reachable from another machine.
    #[error("the playground is for this machine alone and does not serve {0}; use a loopback address")]
    NotLoopback(String),
    /// The issuer is no URL that RFC 8414 section 2 allows for one (loopback may be http).
    #[error("{0:?} is no issuer: it is http://LOOPBACK:PORT with no path, query or fragment")]
    Issuer(String),
    /// There is no simulator of this vendor.
    #[error("there is no simulator of {0:?}")]
    Vendor(String),
    /// A redirect URI is no absolute http(s) URL without fragment.
    #[error("client {client_id}: {uri:?} is no redirect URI")]
    RedirectUri {
        /// Whose it is.
        client_id: String,
        /// The text.
        uri: String,
    },
    /// A file of the data directory cannot be read or written, or an address not be listened on.
    #[error("{place}: {source}")]
    Io {
        /// The file or address.
        place: String,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A file of the data directory is not one of ours.
    #[error("{0} is not a file of this playground; move it away to start afresh")]
    Format(String),
}
