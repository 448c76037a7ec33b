//! `PingOne`. The host's top-level domain is the region; the issuer is the environment's and ends in `/as`.

use super::{CustomerEndpoints, Endpoints, OPENID, Vendor};

pub(super) const VENDOR: Vendor = Vendor {
    name: "PingOneOauth2",
    endpoints: Endpoints::Customer(CustomerEndpoints {
        token: "/token",
        account: Some("/userinfo"),
        revocation: Some("/revoke"),
    }),
    ..OPENID
};
