//! `FusionAuth`. The issuer is a text that the administrator chose: it is compared as it was registered, where
//! endpoints are registered, too. Revocation is part of its administration alone.

use super::{CustomerEndpoints, Endpoints, OPENID, Vendor};
use crate::revoke::Revocation;

pub(super) const VENDOR: Vendor = Vendor {
    name: "FusionAuthOauth2",
    endpoints: Endpoints::Customer(CustomerEndpoints {
        token: "/token",
        account: Some("/userinfo"),
        revocation: None,
    }),
    revocation: Revocation::NotOffered,
    ..OPENID
};
