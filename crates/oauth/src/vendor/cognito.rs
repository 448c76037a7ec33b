//! Amazon Cognito user pools. The issuer is not at the pool's domain, where the endpoints are. Refresh answers
//! leave `refresh_token` out unless rotation is on. Refresh tokens alone can be revoked.

use std::time::Duration;

use super::{CustomerEndpoints, Endpoints, OPENID, Vendor};
use crate::revoke::{Revocable, Revocation};

pub(super) const VENDOR: Vendor = Vendor {
    name: "CognitoOauth2",
    endpoints: Endpoints::Customer(CustomerEndpoints {
        token: "/oauth2/token",
        account: Some("/oauth2/userInfo"),
        revocation: Some("/oauth2/revoke"),
    }),
    revocation: Revocation::Standard(Revocable::Refresh),
    code_lifetime: Some(Duration::from_mins(5)),
    ..OPENID
};
