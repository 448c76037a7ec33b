//! `LinkedIn`.
//!
//! Client id and secret go into the body, never into a header. Native PKCE is another authorization path. ID
//! tokens have no `nonce`, so that the account is read from `UserInfo` instead. Only partners get refresh tokens.

use std::time::Duration;

use super::{Authorization, Endpoints, FixedEndpoints, OPENID, SERVICE, Vendor};
use crate::revoke::{Revocable, Revocation};

pub(super) const VENDOR: Vendor = Vendor {
    name: "LinkedinOauth2",
    endpoints: Endpoints::Fixed(FixedEndpoints {
        account: Some("https://api.linkedin.com/v2/userinfo"),
        revocation: Some("https://www.linkedin.com/oauth/v2/revoke"),
        discovery: Some("https://www.linkedin.com/oauth/.well-known/openid-configuration"),
        ..FixedEndpoints::new(
            "https://www.linkedin.com/oauth",
            "https://www.linkedin.com/oauth/v2/authorization",
            "https://www.linkedin.com/oauth/v2/accessToken",
            &["linkedin.com"],
        )
    }),
    authorization: Authorization {
        pkce: false,
        nonce: false,
        ..Authorization::STANDARD
    },
    revocation: Revocation::Standard(Revocable::Both),
    identity: OPENID.identity,
    code_lifetime: Some(Duration::from_mins(30)),
    ..SERVICE
};
