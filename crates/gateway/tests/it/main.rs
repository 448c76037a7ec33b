//! The gateway on real sockets, between a browser of the tests' own, an OpenID provider that can lie, and
//! a target that says what it received.

mod access_log;
mod authenticate_oidc;
mod forward;
mod framing;
mod handover;
mod identity_headers;
mod jwt_validation;
mod keys;
mod listeners;
mod load_balancing;
mod login;
mod logout;
mod malformed;
mod protocols;
mod relying_party;
mod sessions;
mod support;
