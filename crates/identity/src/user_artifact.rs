//! The two artefacts by which a caller says who the person is: a token of a configured gateway, which proves it, or
//! a user id, which nothing proves.
//!
//! Each door has its own audience (design D8): a token that the gateway made for the agent opens the door to
//! workload access tokens and not the one to completion, and the other way round. What makes two artefacts the
//! same person is the user key (D9), never the token's bytes.

use countersign_crypto::{JwtError, UserKey, b64url_decode, peek_issuer, published_user_id};
use countersign_web::PersonError;

use crate::state::State;

/// Where a user token is presented.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Door<'a> {
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
    /// What names the person in the sealed part of an audit record.
    pub(crate) name: String,
}

/// Verifies a user token at `door`.
pub(crate) async fn from_user_token(
    state: &State,
    door: Door<'_>,
    token: &str,
) -> Result<Identified, PersonError> {
    let issuer = peek_issuer(token).ok_or(PersonError::Token(JwtError::Malformed))?;
    let mut gateways = state.config.gateways.iter();
    let gateway = gateways
        .find(|gateway| gateway.issuer == issuer)
        .ok_or(PersonError::UnknownIssuer)?;
    let audience = match door {
        Door::Workload(name) => gateway.workload_audiences.get(name),
        Door::Completion => Some(&gateway.completion_audience),
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
    })
}

/// Takes a user id at the caller's word. One of the published form names somebody whom the start page can
/// recognise.
pub(crate) fn from_user_id(user_id: &str) -> Identified {
    Identified {
        key: UserKey::id(user_id),
        person: is_published(user_id).then(|| user_id.to_owned()),
        sid: None,
        audience: None,
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
