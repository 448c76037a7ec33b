//! The only HTTP client of the product.
//!
//! Provider endpoints, discovery documents, key sets and return URLs are typed in by tenants, so every
//! request that leaves this process goes through one guard against server-side request forgery (OWASP
//! SSRF; attack row D9). A [`Client`]
//!
//! * speaks `https`; anything else only to an exact `host:port` that the operator excepted,
//! * checks every address a name resolves to and connects to exactly those checked addresses, so that a
//!   name that changes its answer (DNS rebinding) gains nothing,
//! * never reaches link-local or cloud metadata addresses, exception or not,
//! * follows no redirect, uses no proxy from the environment, sends no cookies and no `Referer`,
//! * bounds the response's size while it streams, and its time from start to end.
//!
//! It refuses to log or display query strings, headers or bodies: they carry codes and tokens.

mod address;
mod client;
mod error;
mod policy;
mod request;
mod resolve;
pub mod trace;

pub use address::AddressClass;
pub use client::{Client, Response, StreamingResponse};
pub use error::{OutboundError, Refusal};
pub use policy::{HostPort, InvalidHostPort, Policy};
pub use request::Request;
pub use resolve::{Resolver, SystemResolver};
