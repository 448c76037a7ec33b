//! Facebook.
//!
//! There are no refresh tokens. A token of an hour or two is exchanged for one of about 60 days while it lives,
//! and so on. Errors are objects; code 190 says that the token is dead. The API's version is in every path.
//!
//! A person may decline single scopes, and the token answer names none. The account does, and unlike `granted_scopes`
//! of the authorization response (`return_scopes=true`) it does not come through the browser.

use std::time::Duration;

use super::{AccountCall, Endpoints, Field, FixedEndpoints, IdentityRecipe, SERVICE, Vendor};
use crate::revoke::{BearerRevocation, Revocation};
use crate::vendor::{Authorization, Dialect, Renewal, RenewalGrant, Rotation};

pub(super) const VENDOR: Vendor = Vendor {
    name: "FacebookOauth2",
    endpoints: Endpoints::Fixed(FixedEndpoints {
        account: Some("https://graph.facebook.com/v22.0/me?fields=id,name,email,permissions"),
        revocation: Some("https://graph.facebook.com/v22.0/me/permissions"),
        ..FixedEndpoints::new(
            "https://www.facebook.com",
            "https://www.facebook.com/v22.0/dialog/oauth",
            "https://graph.facebook.com/v22.0/oauth/access_token",
            &["facebook.com"],
        )
    }),
    authorization: Authorization {
        nonce: false,
        scope_separator: ",",
        ..Authorization::STANDARD
    },
    dialect: Dialect {
        renewal_grant: RenewalGrant::AccessToken("fb_exchange_token"),
        dead_grant_errors: &["190"],
        ..Dialect::STANDARD
    },
    renewal: Renewal {
        rotation: Rotation::Never,
        reuse_grace: None,
        // Makes the short token of a consent a long one at its first use.
        early: Some(Duration::from_hours(7 * 24)),
    },
    revocation: Revocation::Bearer(BearerRevocation::Delete),
    identity: IdentityRecipe::Account {
        call: Some(AccountCall::BEARER),
        id: &[Field::Call("/id")],
        name: &[Field::Call("/name"), Field::Call("/email")],
    },
    permissions: Some("/permissions/data"),
    ..SERVICE
};
