//! Tests of the crate's public face.

mod client;
mod contract;
mod credentials;
mod inputs;
mod oracle;
mod signatures;
