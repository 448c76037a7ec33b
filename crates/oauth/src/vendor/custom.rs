//! `CustomOauth2`: any server, of which nothing is known but its metadata.

use super::{OPENID, Vendor};

pub(super) const VENDOR: Vendor = Vendor {
    name: "CustomOauth2",
    ..OPENID
};
