//! The identity-aware reverse proxy: people log in at an OpenID provider, and targets learn who is asking
//! from signed headers, as behind an Application Load Balancer with `authenticate-oidc`.
//!
//! It serves two browser origins (the agent's pages, and the account pages with everything that consents)
//! and a key listener. It keeps browser sessions, its own keys and its own audit chain in its own database.
//!
//! It refuses to hand a client's word for an identity to a target, to answer for a session it cannot
//! check, to be scripted across its origins, and to know anything of the token vault.

mod access_log;
mod acme;
mod answer;
mod authenticate;
mod claims_header;
pub mod config;
mod cookie;
mod forward;
mod forwarding_headers;
mod gateway;
mod headers;
mod ids;
mod key_listener;
mod keys;
mod listener;
mod metrics;
mod operator;
mod operator_routes;
mod origin;
mod provenance;
mod reason;
mod refused;
mod reload;
mod request_target;
mod rule;
mod session;
mod slot;
mod stop_list;
mod target_group;
mod upgrade;

pub use answer::AnswerBody;
pub use config::{Config, ConfigError};
pub use gateway::{Gateway, Parts, StartError, end_sessions, migrate, migrate_to};
pub use keys::{AuditKeys, KeysError, audit_keys};
pub use listener::ListenerName;
pub use operator::{Forgotten, KeySummary, Operator, OperatorError, RotatingKey};
pub use origin::{Origin, OriginError};
pub use reason::Reason;
pub use reload::ReloadError;
pub use session::SessionSummary;
pub use slot::Responder;
