//! `HubSpot`, the dated token endpoint (v1 ends in February 2027). Older errors have `status` and `message`. The
//! account is known from introspection: tokens belong to a person in an account.

use super::{AccountCall, CallForm, Endpoints, Field, FixedEndpoints, IdentityRecipe, SERVICE, Vendor};
use crate::revoke::{Revocable, Revocation};
use crate::vendor::{Authorization, Dialect, Renewal, Rotation};

pub(super) const VENDOR: Vendor = Vendor {
    name: "HubspotOauth2",
    endpoints: Endpoints::Fixed(FixedEndpoints {
        account: Some("https://api.hubapi.com/oauth/2026-03/token/introspect"),
        revocation: Some("https://api.hubapi.com/oauth/2026-03/token/revoke"),
        ..FixedEndpoints::new(
            "https://app.hubspot.com",
            "https://app.hubspot.com/oauth/authorize",
            "https://api.hubapi.com/oauth/2026-03/token",
            &["hubspot.com", "hubapi.com"],
        )
    }),
    authorization: Authorization {
        pkce: false,
        nonce: false,
        ..Authorization::STANDARD
    },
    dialect: Dialect {
        dead_grant_errors: &["BAD_REFRESH_TOKEN", "BAD_AUTH_CODE"],
        ..Dialect::STANDARD
    },
    renewal: Renewal {
        rotation: Rotation::Never,
        ..Renewal::UNKNOWN
    },
    revocation: Revocation::Standard(Revocable::Both),
    identity: IdentityRecipe::Account {
        call: Some(AccountCall {
            form: CallForm::Introspection,
            ..AccountCall::BEARER
        }),
        id: &[Field::Call("/hub_id"), Field::Call("/user_id")],
        name: &[Field::Call("/user"), Field::Call("/hub_domain")],
    },
    ..SERVICE
};
