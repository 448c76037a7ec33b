//! Google.
//!
//! Later consents and every refresh leave `refresh_token` out, so the vault keeps the old one; without
//! `prompt=consent` only the first consent returns one at all. People may grant fewer scopes than asked.

use super::{Endpoints, FixedEndpoints, OPENID, SERVICE, Vendor};
use crate::revoke::{Revocable, Revocation};
use crate::vendor::{Authorization, Renewal, Rotation};

pub(super) const VENDOR: Vendor = Vendor {
    name: "GoogleOauth2",
    endpoints: Endpoints::Fixed(FixedEndpoints {
        jwks: Some("https://www.googleapis.com/oauth2/v3/certs"),
        account: Some("https://openidconnect.googleapis.com/v1/userinfo"),
        revocation: Some("https://oauth2.googleapis.com/revoke"),
        discovery: Some("https://accounts.google.com/.well-known/openid-configuration"),
        ..FixedEndpoints::new(
            "https://accounts.google.com",
            "https://accounts.google.com/o/oauth2/v2/auth",
            "https://oauth2.googleapis.com/token",
            &["google.com", "googleapis.com"],
        )
    }),
    authorization: Authorization {
        defaults: &[("access_type", "offline"), ("prompt", "consent")],
        ..Authorization::STANDARD
    },
    renewal: Renewal {
        rotation: Rotation::Never,
        ..Renewal::UNKNOWN
    },
    resource_indicators: false,
    // Either token ends the grant.
    revocation: Revocation::Standard(Revocable::Both),
    identity: OPENID.identity,
    scope_aliases: &[
        ("email", "https://www.googleapis.com/auth/userinfo.email"),
        ("profile", "https://www.googleapis.com/auth/userinfo.profile"),
    ],
    ..SERVICE
};
