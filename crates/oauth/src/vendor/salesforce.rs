//! Salesforce.
//!
//! There is no `expires_in`; the shortest session an organisation can set is believed. The API's host is in the
//! answer's `instance_url`. The answer's `id` names organisation and user. A My Domain or sandbox host is used by
//! `CustomOauth2`, since the wire has no member for it here.

use std::time::Duration;

use super::{AccountCall, Dialect, Endpoints, Field, FixedEndpoints, IdentityRecipe, SERVICE, Vendor};
use crate::revoke::{Revocable, Revocation};

pub(super) const VENDOR: Vendor = Vendor {
    name: "SalesforceOauth2",
    endpoints: Endpoints::Fixed(FixedEndpoints {
        jwks: Some("https://login.salesforce.com/id/keys"),
        account: Some("https://login.salesforce.com/services/oauth2/userinfo"),
        revocation: Some("https://login.salesforce.com/services/oauth2/revoke"),
        discovery: Some("https://login.salesforce.com/.well-known/openid-configuration"),
        ..FixedEndpoints::new(
            "https://login.salesforce.com",
            "https://login.salesforce.com/services/oauth2/authorize",
            "https://login.salesforce.com/services/oauth2/token",
            &["salesforce.com"],
        )
    }),
    resource_indicators: false,
    dialect: Dialect {
        default_lifetime: Some(Duration::from_mins(15)),
        ..Dialect::STANDARD
    },
    revocation: Revocation::Standard(Revocable::Both),
    identity: IdentityRecipe::Account {
        call: Some(AccountCall::BEARER),
        id: &[Field::Token("/id")],
        name: &[Field::Call("/preferred_username"), Field::Call("/email")],
    },
    code_lifetime: Some(Duration::from_mins(15)),
    scope_aliases: &[
        ("refresh_token", "offline_access"),
        ("offline_access", "refresh_token"),
    ],
    never_echoed_scopes: &["openid"],
    ..SERVICE
};
