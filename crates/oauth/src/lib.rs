//! An OAuth 2.0 (RFC 6749, with RFC 9700's practice) and OpenID Connect client without storage.
//!
//! It speaks to authorization servers that other people run, so it is strict in what decides about trust
//! (issuers, signatures, `state` and duplicate parameters) and lenient in the mere form of answers. It
//! keeps nothing but fetched metadata and keys, follows no redirect, and never prints a token.
//!
//! Order of use: [`Discovery`] finds the [`ServerMetadata`]; [`AuthorizationRequest`] builds the URL for
//! the browser; [`AuthorizationResponse`] reads what comes back; [`TokenEndpoint`] exchanges and refreshes;
//! [`id_token::validate`] and [`vendor`] tell who consented.

pub mod authorize;
pub mod callback;
pub mod client_auth;
pub mod discovery;
pub mod id_token;
pub mod introspect;
pub mod jwks;
pub mod metadata;
pub mod private_key_jwt;
pub mod revoke;
pub mod token;
pub mod userinfo;
pub mod vendor;

mod document;

pub use authorize::{AuthorizationRequest, Pkce};
pub use callback::{AuthorizationResponse, CallbackError};
pub use client_auth::ClientAuthentication;
pub use discovery::{Discovery, KeyDiscovery};
pub use document::DocumentError;
pub use id_token::{IdTokenClaims, IdTokenError};
pub use jwks::JwksCache;
pub use metadata::ServerMetadata;
pub use token::{Outcome, TokenEndpoint, TokenError, TokenSet};
pub use vendor::{AccountIdentity, Vendor};
