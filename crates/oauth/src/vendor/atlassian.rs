//! Atlassian (3LO).
//!
//! Refresh tokens are single use, with ten minutes of leeway. Sending `scope` at a refresh can shrink the grant;
//! it is never sent. API calls need a cloud id from `/oauth/token/accessible-resources`.

use std::time::Duration;

use super::{AccountCall, Endpoints, Field, FixedEndpoints, IdentityRecipe, SERVICE, Vendor};
use crate::vendor::{Authorization, Dialect, Renewal, Rotation};

pub(super) const VENDOR: Vendor = Vendor {
    name: "AtlassianOauth2",
    endpoints: Endpoints::Fixed(FixedEndpoints {
        account: Some("https://api.atlassian.com/me"),
        ..FixedEndpoints::new(
            "https://auth.atlassian.com",
            "https://auth.atlassian.com/authorize",
            "https://auth.atlassian.com/oauth/token",
            &["atlassian.com"],
        )
    }),
    authorization: Authorization {
        nonce: false,
        fixed: &[("audience", "api.atlassian.com")],
        defaults: &[("prompt", "consent")],
        ..Authorization::STANDARD
    },
    dialect: Dialect {
        // With it comes "refresh_token is invalid".
        dead_grant_errors: &["unauthorized_client"],
        ..Dialect::STANDARD
    },
    renewal: Renewal {
        rotation: Rotation::Always,
        reuse_grace: Some(Duration::from_mins(10)),
        early: None,
    },
    // Needs the scope read:me.
    identity: IdentityRecipe::Account {
        call: Some(AccountCall::BEARER),
        id: &[Field::Call("/account_id")],
        name: &[Field::Call("/email"), Field::Call("/name")],
    },
    never_echoed_scopes: &["offline_access"],
    ..SERVICE
};
