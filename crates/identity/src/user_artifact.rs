//! The two artefacts by which a caller says who the person is: a token of a configured issuer, which proves it, or
//! a user id, which nothing proves.
//!
//! Each door has its own audience (design D8): a token that a gateway of ours made for the agent opens the door to
//! workload access tokens and not the one to completion, and the other way round. A foreign issuer's token opens
//! both, as plain AgentCore clients need it. An issuer is believed in its own account alone. What makes two
//! artefacts the same person is the user key (D9), never the token's bytes.

use countersign_api::data::MAX_USER_TOKEN_BYTES;
use countersign_crypto::{
    JwtError, JwtPolicy, MAX_JWT_BYTES, UserKey, Verified, b64url_decode, peek_issuer, published_user_id,
};
use countersign_oauth::discovery::openid_configuration_url;
use countersign_oauth::jwks::VerifyError;
use countersign_web::PersonError;
use serde_json::Value;

use crate::config::{Config, GatewayConfig, UserIssuerConfig};
use crate::state::State;

/// Clock difference to a foreign issuer that is forgiven, seconds.
const LEEWAY_SECS: u64 = 30;

/// The API refuses what could not be verified, and says why.
const _: () = assert!(MAX_USER_TOKEN_BYTES == MAX_JWT_BYTES);

/// Whose audience a user token must have, by where it is presented.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Audience<'a> {
    /// `GetWorkloadAccessTokenForJWT` for this workload.
    Workload(&'a str),
    /// `CompleteResourceTokenAuth` and what the binding page asks around it.
    Completion,
}

/// The person an artefact names.
#[derive(Debug, Clone)]
pub(crate) struct Identified {
    pub(crate) key: UserKey,
    /// The published user id, where the start page can recognise the person (design D11).
    pub(crate) person: Option<String>,
    /// The browser session, where a gateway of ours said so.
    pub(crate) sid: Option<String>,
    /// The audience by which the token was let in.
    pub(crate) audience: Option<String>,
    /// The users' issuer whose token it was; `None` for a gateway of ours and for a user id.
    pub(crate) user_issuer: Option<String>,
    /// What names the person in the sealed part of an audit record.
    pub(crate) name: String,
}

impl Identified {
    /// Whether the artefact may be presented for this workload: its issuer lists it, as it stands now.
    pub(crate) fn may_be_of(&self, config: &Config, account: &str, workload: &str) -> bool {
        self.user_issuer.as_deref().is_none_or(|issuer| {
            config
                .user_issuer(account, issuer)
                .is_some_and(|issuer| issuer.allows_workload(workload))
        })
    }
}

/// Verifies a user token for `wanted` in an operation of `account`.
pub(crate) async fn from_user_token(
    state: &State,
    account: &str,
    wanted: Audience<'_>,
    token: &str,
) -> Result<Identified, PersonError> {
    let issuer = peek_issuer(token).ok_or(PersonError::Token(JwtError::Malformed))?;
    let config = &state.config;
    let ours = |gateway: &&GatewayConfig| {
        gateway.issuer == issuer && config.account_of(gateway.account.as_ref()) == account
    };
    if let Some(gateway) = config.gateways.iter().find(ours) {
        return of_gateway(state, gateway, wanted, token).await;
    }
    let foreign = config
        .user_issuer(account, &issuer)
        .ok_or(PersonError::UnknownIssuer)?;
    // Completion knows its workload by the session, and asks the list then ([`Identified::may_be_of`]).
    if let Audience::Workload(name) = wanted
        && !foreign.allows_workload(name)
    {
        return Err(PersonError::Token(JwtError::Audience));
    }
    of_foreign_issuer(state, foreign, token).await
}

async fn of_gateway(
    state: &State,
    gateway: &GatewayConfig,
    wanted: Audience<'_>,
    token: &str,
) -> Result<Identified, PersonError> {
    let audience = match wanted {
        Audience::Workload(name) => gateway.workload_audiences.get(name),
        Audience::Completion => Some(&gateway.completion_audience),
    };
    // A workload without an audience accepts no token at all.
    let audience = audience.ok_or(PersonError::Token(JwtError::Audience))?;
    let person = state.persons.verify_token(token, Some(&[audience])).await?;
    Ok(Identified {
        key: person.user_key,
        person: Some(published_user_id(&person.issuer, &person.subject)),
        name: person.display_name().to_owned(),
        sid: person.sid,
        audience: Some(audience.clone()),
        user_issuer: None,
    })
}

/// A token that no gateway of ours made: it proves who the person is, and nothing recognises them at the start page
/// (design D11).
async fn of_foreign_issuer(
    state: &State,
    foreign: &UserIssuerConfig,
    token: &str,
) -> Result<Identified, PersonError> {
    let url = openid_configuration_url(&foreign.issuer).map_err(|_| PersonError::KeysUnavailable)?;
    let metadata = state
        .discovery
        .fetch(&url)
        .await
        .map_err(|_| PersonError::KeysUnavailable)?;
    let jwks_uri = metadata.jwks_uri.as_ref().ok_or(PersonError::KeysUnavailable)?;
    let audiences: Vec<&str> = foreign.audiences.iter().map(String::as_str).collect();
    let policy = JwtPolicy {
        issuer: &foreign.issuer,
        audiences: &audiences,
        algorithms: &foreign.algorithms,
        leeway_secs: LEEWAY_SECS,
        typ: None,
    };
    let verified = state
        .jwks
        .verify(jwks_uri, token, &policy, state.clock.now())
        .await
        .map_err(|error| match error {
            VerifyError::Keys(_) => PersonError::KeysUnavailable,
            VerifyError::Token(error) => PersonError::Token(error),
        })?;
    if !accepts_typ(foreign, &verified) || (!foreign.id_tokens && is_id_token(&verified)) {
        return Err(PersonError::Token(JwtError::Algorithm));
    }
    let subject = verified
        .claims
        .get("sub")
        .and_then(Value::as_str)
        .filter(|subject| !subject.is_empty());
    let subject = subject.ok_or(PersonError::Token(JwtError::Claim("sub")))?;
    Ok(Identified {
        key: UserKey::jwt(&foreign.issuer, subject),
        person: None,
        sid: None,
        audience: None,
        user_issuer: Some(foreign.issuer.clone()),
        name: subject.to_owned(),
    })
}

fn accepts_typ(foreign: &UserIssuerConfig, token: &Verified) -> bool {
    let plain = |typ: &str| {
        let typ = typ.to_ascii_lowercase();
        typ.strip_prefix("application/").unwrap_or(&typ).to_owned()
    };
    // RFC 7519 section 5.1: `JWT` is what a token is that does not say.
    let found = match token.header.get("typ") {
        None => "jwt".to_owned(),
        Some(typ) => plain(typ.as_str().unwrap_or_default()),
    };
    foreign.typ.iter().any(|accepted| plain(accepted) == found)
}

/// Whether a token bears a mark of ID tokens: OpenID Connect Core sections 2, 3.1.3.6 and 3.3.2.11, Cognito's
/// `token_use`, Keycloak's `typ` claim. RFC 9068 section 2.1 gives access tokens a type that ID tokens never have.
fn is_id_token(token: &Verified) -> bool {
    let typ = token
        .header
        .get("typ")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let access_token = typ.to_ascii_lowercase().ends_with("at+jwt");
    let claim = |name: &str| token.claims.get(name).and_then(Value::as_str);
    let named = claim("token_use") == Some("id") || claim("typ") == Some("ID");
    let marked = ["nonce", "at_hash", "c_hash"]
        .iter()
        .any(|name| token.claims.contains_key(*name));
    named || (marked && !access_token)
}

/// Takes a user id at the caller's word. One of the published form names somebody whom the start page can
/// recognise.
pub(crate) fn from_user_id(user_id: &str) -> Identified {
    Identified {
        key: UserKey::id(user_id),
        person: is_published(user_id).then(|| user_id.to_owned()),
        sid: None,
        audience: None,
        user_issuer: None,
        name: user_id.to_owned(),
    }
}

fn is_published(user_id: &str) -> bool {
    user_id
        .strip_prefix("idp:")
        .and_then(b64url_decode)
        .is_some_and(|hash| hash.len() == 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a09_user_ids_that_differ_at_all_are_different_people() {
        let ids = [
            "alice",
            "Alice",
            "alice ",
            " alice",
            "/alice",
            "al\u{ed}ce",
            "ali\u{301}ce",
            "alice\u{200b}",
            "ａlice",
        ];
        for (index, id) in ids.iter().enumerate() {
            for other in &ids[..index] {
                assert_ne!(from_user_id(id).key, from_user_id(other).key, "{id:?} {other:?}");
            }
        }
    }

    #[test]
    fn only_the_exact_published_form_is_recognisable() {
        let published = published_user_id("https://idp.example", "1001");
        assert_eq!(
            from_user_id(&published).person.as_deref(),
            Some(published.as_str())
        );
        for other in [
            "alice",
            "idp:",
            "idp:AAAA",
            &published[4..],
            &format!("{published}A"),
            &format!("IDP:{}", &published[4..]),
        ] {
            assert_eq!(from_user_id(other).person, None, "{other}");
        }
    }
}
