//! Reddit.
//!
//! HTTP Basic alone; `duration=permanent` for a refresh token, which does not rotate; requests without a
//! descriptive `User-Agent` are answered 429 (the outbound client has one). Errors may come with status 200.

use super::{AccountCall, Endpoints, Field, FixedEndpoints, IdentityRecipe, SERVICE, SecretMethod, Vendor};
use crate::revoke::{Revocable, Revocation};
use crate::vendor::{Authorization, Renewal, Rotation};

pub(super) const VENDOR: Vendor = Vendor {
    name: "RedditOauth2",
    endpoints: Endpoints::Fixed(FixedEndpoints {
        account: Some("https://oauth.reddit.com/api/v1/me"),
        revocation: Some("https://www.reddit.com/api/v1/revoke_token"),
        ..FixedEndpoints::new(
            "https://www.reddit.com",
            "https://www.reddit.com/api/v1/authorize",
            "https://www.reddit.com/api/v1/access_token",
            &["reddit.com"],
        )
    }),
    client_authentication: SecretMethod::Basic,
    authorization: Authorization {
        pkce: false,
        nonce: false,
        defaults: &[("duration", "permanent")],
        ..Authorization::STANDARD
    },
    renewal: Renewal {
        rotation: Rotation::Never,
        ..Renewal::UNKNOWN
    },
    revocation: Revocation::Standard(Revocable::Both),
    // Needs the scope identity.
    identity: IdentityRecipe::Account {
        call: Some(AccountCall::BEARER),
        id: &[Field::Call("/id")],
        name: &[Field::Call("/name")],
    },
    ..SERVICE
};
