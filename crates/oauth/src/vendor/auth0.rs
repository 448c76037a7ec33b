//! Auth0. The issuer ends in a slash. Without the parameter `audience` an access token is good for `UserInfo`
//! alone. Refresh tokens alone can be revoked.

use std::time::Duration;

use super::{CustomerEndpoints, Endpoints, OPENID, SecretMethod, Vendor};
use crate::revoke::{Revocable, Revocation};

pub(super) const VENDOR: Vendor = Vendor {
    name: "Auth0Oauth2",
    endpoints: Endpoints::Customer(CustomerEndpoints {
        token: "/oauth/token",
        account: Some("/userinfo"),
        revocation: Some("/oauth/revoke"),
    }),
    client_authentication: SecretMethod::Post,
    revocation: Revocation::Standard(Revocable::Refresh),
    code_lifetime: Some(Duration::from_mins(10)),
    ..OPENID
};
