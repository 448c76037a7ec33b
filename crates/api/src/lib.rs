//! The wire contract of the identity service.
//!
//! One struct an operation, in the shapes and with the limits of Amazon Bedrock AgentCore Identity
//! ([`data`], [`control`]) and of our own extension ([`admin`]); its errors, ARNs and SigV4 signatures;
//! and a small signed [`client`]. Server and clients share these types, so that neither can drift.
//!
//! It holds no state but a client's temporary credentials, reads no clock and does no I/O but the client's.

#[macro_use]
mod macros;

pub mod admin;
pub mod arn;
pub mod client;
pub mod control;
pub mod credentials;
pub mod data;
mod document;
pub mod endpoint;
pub mod error;
pub mod operation;
pub mod return_url;
mod sensitive;
pub mod sigv4;
mod time;
pub mod validate;

pub use arn::Arn;
pub use client::{Client, ClientError};
pub use credentials::{CredentialSource, CredentialsError, Environment};
pub use endpoint::{EndpointError, IdentityApi, IdentityEndpoint};
pub use error::{ApiError, ErrorCode, FieldError, ValidationReason};
pub use operation::{Empty, Operation};
pub use sensitive::Sensitive;
pub use sigv4::Credentials;
pub use time::EpochSeconds;
pub use validate::{Checker, Validate};
