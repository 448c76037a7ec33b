//! Zoom. Refresh tokens are single use, and a lost answer means consent again. Server-to-server tokens come by a
//! grant of its own name, with the custom parameter `account_id`.

use super::{AccountCall, Endpoints, Field, FixedEndpoints, IdentityRecipe, SERVICE, SecretMethod, Vendor};
use crate::revoke::{Revocable, Revocation};
use crate::vendor::{Authorization, Dialect, Renewal, Rotation};

pub(super) const VENDOR: Vendor = Vendor {
    name: "ZoomOauth2",
    endpoints: Endpoints::Fixed(FixedEndpoints {
        account: Some("https://api.zoom.us/v2/users/me"),
        revocation: Some("https://zoom.us/oauth/revoke"),
        ..FixedEndpoints::new(
            "https://zoom.us",
            "https://zoom.us/oauth/authorize",
            "https://zoom.us/oauth/token",
            &["zoom.us"],
        )
    }),
    client_authentication: SecretMethod::Basic,
    authorization: Authorization {
        nonce: false,
        ..Authorization::STANDARD
    },
    dialect: Dialect {
        client_credentials_grant: "account_credentials",
        ..Dialect::STANDARD
    },
    renewal: Renewal {
        rotation: Rotation::Always,
        ..Renewal::UNKNOWN
    },
    revocation: Revocation::Standard(Revocable::Access),
    identity: IdentityRecipe::Account {
        call: Some(AccountCall::BEARER),
        id: &[Field::Call("/id")],
        name: &[Field::Call("/email"), Field::Call("/display_name")],
    },
    ..SERVICE
};
