//! X (Twitter), OAuth 2.0.
//!
//! PKCE is required. Refresh tokens (scope `offline.access`) are single use. Codes live half a minute, so that
//! people have to confirm at once.

use std::time::Duration;

use super::{AccountCall, Endpoints, Field, FixedEndpoints, IdentityRecipe, SERVICE, SecretMethod, Vendor};
use crate::revoke::{Revocable, Revocation};
use crate::vendor::{Authorization, Renewal, Rotation};

pub(super) const VENDOR: Vendor = Vendor {
    name: "XOauth2",
    endpoints: Endpoints::Fixed(FixedEndpoints {
        account: Some("https://api.x.com/2/users/me"),
        revocation: Some("https://api.x.com/2/oauth2/revoke"),
        ..FixedEndpoints::new(
            "https://x.com",
            "https://x.com/i/oauth2/authorize",
            "https://api.x.com/2/oauth2/token",
            &["x.com", "twitter.com"],
        )
    }),
    client_authentication: SecretMethod::Basic,
    authorization: Authorization {
        nonce: false,
        ..Authorization::STANDARD
    },
    renewal: Renewal {
        rotation: Rotation::Always,
        ..Renewal::UNKNOWN
    },
    revocation: Revocation::Standard(Revocable::Both),
    // Needs the scopes users.read and tweet.read.
    identity: IdentityRecipe::Account {
        call: Some(AccountCall::BEARER),
        id: &[Field::Call("/data/id")],
        name: &[Field::Call("/data/username")],
    },
    code_lifetime: Some(Duration::from_secs(30)),
    ..SERVICE
};
