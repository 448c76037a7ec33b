//! Okta, the org server and custom authorization servers.
//!
//! Every authorization server has its own issuer. Tokens of the org server are opaque to everybody but Okta.
//! Refresh tokens may rotate, with up to a minute of grace.

use std::time::Duration;

use super::{AssertionAudience, CustomerEndpoints, Endpoints, OPENID, Vendor};

pub(super) const VENDOR: Vendor = Vendor {
    name: "OktaOauth2",
    endpoints: Endpoints::Customer(CustomerEndpoints {
        token: "/v1/token",
        account: Some("/v1/userinfo"),
        revocation: Some("/v1/revoke"),
    }),
    assertion_audience: AssertionAudience::TokenEndpoint,
    code_lifetime: Some(Duration::from_mins(5)),
    ..OPENID
};
