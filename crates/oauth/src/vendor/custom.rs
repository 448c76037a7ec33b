//! `CustomOauth2`: any server, of which nothing is known but its metadata.

use countersign_crypto::SecretString;
use countersign_outbound::Client;
use serde_json::{Map, Value};

use super::{AccountIdentity, IdentityRecipe, Vendor};
use crate::id_token::IdTokenClaims;
use crate::metadata::ServerMetadata;
use crate::userinfo;

/// `openid` and `offline_access` change what is issued rather than what may be accessed; many servers leave
/// them out of `scope` although they acted on them.
pub(super) const VENDOR: Vendor = Vendor {
    name: "CustomOauth2",
    code_lifetime: None,
    never_echoed_scopes: &["openid", "offline_access"],
    scope_aliases: &[],
    identity: IdentityRecipe::OpenId,
};

/// Longest id and name kept, characters.
const MAX_CHARS: usize = 255;

/// From the ID token; where it has no name, or there is none, from `UserInfo`.
pub(super) async fn account_identity(
    client: &Client,
    server: &ServerMetadata,
    id_token: Option<&IdTokenClaims>,
    access_token: &SecretString,
) -> Option<AccountIdentity> {
    let known = id_token.and_then(|token| identity(&token.claims));
    if known.as_ref().is_some_and(|identity| identity.name.is_some()) {
        return known;
    }
    let Some(url) = &server.userinfo_endpoint else {
        return known;
    };
    let subject = id_token.map(|token| token.subject.as_str());
    match userinfo::fetch(client, url, access_token, subject).await {
        Ok(claims) => identity(&claims).or(known),
        Err(error) => {
            tracing::warn!(host = url.host_str(), %error, "the provider does not say whose account it is");
            known
        }
    }
}

fn identity(claims: &Map<String, Value>) -> Option<AccountIdentity> {
    let text = |name: &str| {
        let text = claims.get(name)?.as_str()?;
        (!text.is_empty()).then(|| {
            text.chars()
                .filter(|c| !c.is_control())
                .take(MAX_CHARS)
                .collect::<String>()
        })
    };
    Some(AccountIdentity {
        id: text("sub")?,
        name: ["preferred_username", "email", "name"].into_iter().find_map(text),
    })
}
