//! The identity service: control and data plane, front channel, token vault and policy.
//!
//! It answers signed calls (`api_router`) in the form of Amazon Bedrock AgentCore Identity, leads browsers to
//! authorization servers and back (`front_channel_router`), keeps what people consented to in a vault, and
//! records who did what. It believes nothing about a person that a configured gateway has not signed, releases
//! nothing before the record of it is on disk, and exchanges no code before the person it belongs to has been seen.

mod access_key_use;
mod admin;
mod authn;
mod bootstrap;
mod break_glass;
mod cache;
mod client_keys;
mod config;
mod connections;
mod console;
mod control;
mod customer_key;
mod data;
mod external_secret;
mod finished;
mod front_channel;
mod health;
mod integrity;
mod key_rotation;
mod keys;
mod next_token;
mod operation;
mod policy;
mod principal_addresses;
mod rate_limit;
mod replayed;
mod restored;
mod server;
mod session;
mod start;
mod state;
mod stops;
mod store;
mod strangers;
mod sts;
mod tags;
mod user_artifact;
mod uses;
mod vault;
mod wat;

pub use admin::stop_subject::user_keys;
pub use bootstrap::{AccessKey, Bootstrap, BootstrapError, BootstrapProvider, Bootstrapped};
pub use break_glass::{BreakGlass, break_glass};
pub use config::{
    AccountChange, AccountConfig, ClientKeyConfig, Config, ConfigError, ConsoleConfig,
    ExternalSecretsAllowed, GatewayConfig, GrantLimits, InitialAdmin, Quotas, RateLimits, RefreshConfig,
    ReuseGrace, SecretsManagerConfig, SidRule, StartLogin, UserIssuerConfig, WorkloadIssuerConfig,
};
pub use integrity::{Damage, integrity};
pub use keys::{AuditKeys, KeysError, audit_keys};
pub use replayed::{ReplayError, Replayed};
pub use restored::{Distrusted, Restored, migrate_to};
pub use start::{Identity, Parts, StartError, migrate};
