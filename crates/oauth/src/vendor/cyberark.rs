//! `CyberArk` Identity. The application's id is part of every path, so that each has endpoints of its own, and the
//! registration names them.

use super::{CustomerEndpoints, Endpoints, OPENID, Vendor};

pub(super) const VENDOR: Vendor = Vendor {
    name: "CyberArkOauth2",
    endpoints: Endpoints::Customer(CustomerEndpoints {
        token: "",
        account: None,
        revocation: None,
    }),
    ..OPENID
};
