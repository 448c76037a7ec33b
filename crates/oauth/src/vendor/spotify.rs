//! Spotify. A refresh may or may not return a new refresh token. There is no revocation for clients. The redirect
//! URI is https, or names a loopback address by number.

use std::time::Duration;

use super::{AccountCall, Endpoints, Field, FixedEndpoints, IdentityRecipe, SERVICE, SecretMethod, Vendor};
use crate::vendor::Authorization;

pub(super) const VENDOR: Vendor = Vendor {
    name: "SpotifyOauth2",
    endpoints: Endpoints::Fixed(FixedEndpoints {
        account: Some("https://api.spotify.com/v1/me"),
        ..FixedEndpoints::new(
            "https://accounts.spotify.com",
            "https://accounts.spotify.com/authorize",
            "https://accounts.spotify.com/api/token",
            &["spotify.com"],
        )
    }),
    client_authentication: SecretMethod::Basic,
    authorization: Authorization {
        nonce: false,
        ..Authorization::STANDARD
    },
    identity: IdentityRecipe::Account {
        call: Some(AccountCall::BEARER),
        id: &[Field::Call("/id")],
        name: &[Field::Call("/email"), Field::Call("/display_name")],
    },
    code_lifetime: Some(Duration::from_mins(10)),
    ..SERVICE
};
