//! Certificates by ACME (RFC 8555).

mod challenge;

pub(crate) use challenge::HttpChallenges;
