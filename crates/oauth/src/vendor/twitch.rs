//! Twitch. `scope` is a list in answers; API calls need the client id in a header; id and secret go into the body.

use super::{AccountCall, Endpoints, Field, FixedEndpoints, IdentityRecipe, SERVICE, Vendor};
use crate::revoke::{Revocable, Revocation};
use crate::vendor::{Renewal, Rotation};

pub(super) const VENDOR: Vendor = Vendor {
    name: "TwitchOauth2",
    endpoints: Endpoints::Fixed(FixedEndpoints {
        jwks: Some("https://id.twitch.tv/oauth2/keys"),
        account: Some("https://api.twitch.tv/helix/users"),
        revocation: Some("https://id.twitch.tv/oauth2/revoke"),
        discovery: Some("https://id.twitch.tv/oauth2/.well-known/openid-configuration"),
        ..FixedEndpoints::new(
            "https://id.twitch.tv/oauth2",
            "https://id.twitch.tv/oauth2/authorize",
            "https://id.twitch.tv/oauth2/token",
            &["twitch.tv"],
        )
    }),
    renewal: Renewal {
        rotation: Rotation::Never,
        ..Renewal::UNKNOWN
    },
    revocation: Revocation::Standard(Revocable::Access),
    identity: IdentityRecipe::Account {
        call: Some(AccountCall {
            client_id: true,
            ..AccountCall::BEARER
        }),
        id: &[Field::Call("/data/0/id")],
        name: &[Field::Call("/data/0/login")],
    },
    never_echoed_scopes: &["openid"],
    ..SERVICE
};
