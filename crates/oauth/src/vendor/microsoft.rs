//! Microsoft Entra ID and personal accounts, v2.0 endpoints.
//!
//! For several tenants at once (`common`, `organizations`) and for tenants given by name the issuer of an ID
//! token is the one of its `tid`. `resource` is refused beside v2.0 scopes. There is no revocation for clients.
//! A used refresh token stays good. On behalf of a person: a JWT bearer grant with a parameter of its own.

use std::time::Duration;

use super::{Endpoints, FixedEndpoints, OPENID, SERVICE, Vendor};
use crate::vendor::{AssertionAudience, Renewal, Rotation};

pub(super) const VENDOR: Vendor = Vendor {
    name: "MicrosoftOauth2",
    endpoints: Endpoints::Fixed(FixedEndpoints {
        jwks: Some("https://login.microsoftonline.com/{tenant}/discovery/v2.0/keys"),
        account: Some("https://graph.microsoft.com/oidc/userinfo"),
        discovery: Some("https://login.microsoftonline.com/{tenant}/v2.0/.well-known/openid-configuration"),
        default_tenant: Some("common"),
        ..FixedEndpoints::new(
            "https://login.microsoftonline.com/{tenantid}/v2.0",
            "https://login.microsoftonline.com/{tenant}/oauth2/v2.0/authorize",
            "https://login.microsoftonline.com/{tenant}/oauth2/v2.0/token",
            &["login.microsoftonline.com"],
        )
    }),
    assertion_audience: AssertionAudience::TokenEndpoint,
    resource_indicators: false,
    renewal: Renewal {
        rotation: Rotation::Never,
        ..Renewal::UNKNOWN
    },
    identity: OPENID.identity,
    code_lifetime: Some(Duration::from_mins(10)),
    never_echoed_scopes: &["openid", "profile", "email", "offline_access"],
    scope_prefix: Some("https://graph.microsoft.com/"),
    on_behalf_of: Some(&[("requested_token_use", "on_behalf_of")]),
    ..SERVICE
};
