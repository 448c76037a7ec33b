//! Dropbox. `token_access_type=offline` for a refresh token, which does not rotate. The account is asked for, and
//! tokens are revoked, by POST with the access token as bearer and no body.

use super::{AccountCall, CallForm, Endpoints, Field, FixedEndpoints, IdentityRecipe, SERVICE, Vendor};
use crate::revoke::{BearerRevocation, Revocation};
use crate::vendor::{Authorization, Renewal, Rotation};

pub(super) const VENDOR: Vendor = Vendor {
    name: "DropboxOauth2",
    endpoints: Endpoints::Fixed(FixedEndpoints {
        account: Some("https://api.dropboxapi.com/2/users/get_current_account"),
        revocation: Some("https://api.dropboxapi.com/2/auth/token/revoke"),
        ..FixedEndpoints::new(
            "https://www.dropbox.com",
            "https://www.dropbox.com/oauth2/authorize",
            "https://api.dropboxapi.com/oauth2/token",
            &["dropbox.com", "dropboxapi.com"],
        )
    }),
    authorization: Authorization {
        nonce: false,
        defaults: &[("token_access_type", "offline")],
        ..Authorization::STANDARD
    },
    renewal: Renewal {
        rotation: Rotation::Never,
        ..Renewal::UNKNOWN
    },
    revocation: Revocation::Bearer(BearerRevocation::Post),
    identity: IdentityRecipe::Account {
        call: Some(AccountCall {
            form: CallForm::Post,
            ..AccountCall::BEARER
        }),
        id: &[Field::Call("/account_id")],
        name: &[Field::Call("/email"), Field::Call("/name/display_name")],
    },
    never_echoed_scopes: &["openid"],
    ..SERVICE
};
