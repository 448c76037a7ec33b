//! Yandex.
//!
//! API calls have `Authorization: OAuth TOKEN`. A client can revoke only tokens that were issued with the custom
//! parameter `device_id`.

use std::time::Duration;

use super::{AccountCall, Endpoints, Field, FixedEndpoints, IdentityRecipe, SERVICE, SecretMethod, Vendor};
use crate::revoke::{Revocable, Revocation};
use crate::vendor::Authorization;

pub(super) const VENDOR: Vendor = Vendor {
    name: "YandexOauth2",
    endpoints: Endpoints::Fixed(FixedEndpoints {
        account: Some("https://login.yandex.ru/info?format=json"),
        revocation: Some("https://oauth.yandex.com/revoke_token"),
        ..FixedEndpoints::new(
            "https://oauth.yandex.com",
            "https://oauth.yandex.com/authorize",
            "https://oauth.yandex.com/token",
            &["yandex.com", "yandex.ru"],
        )
    }),
    client_authentication: SecretMethod::Basic,
    authorization: Authorization {
        nonce: false,
        ..Authorization::STANDARD
    },
    revocation: Revocation::Standard(Revocable::Access),
    identity: IdentityRecipe::Account {
        call: Some(AccountCall {
            scheme: "OAuth",
            ..AccountCall::BEARER
        }),
        id: &[Field::Call("/id")],
        name: &[Field::Call("/login")],
    },
    code_lifetime: Some(Duration::from_mins(10)),
    ..SERVICE
};
