//! `GetCallerIdentity`: who signed. Everybody known may ask, whatever their policy says, as at AWS. It alone takes
//! presigned URLs: by one a caller proves itself to a third party that presents it here.

use axum::response::Response;
use countersign_api::sigv4::SignedRequest;
use http::Method;
use http::header::AUTHORIZATION;
use http::request::Parts;

use super::StsCall;
use super::answer::{StsError, success};
use crate::authn::{self, Unauthenticated};

#[tracing::instrument(name = "identity.get_caller_identity", skip_all)]
pub(super) async fn answer(call: &mut StsCall, parts: &Parts, body: &[u8]) -> Result<Response, StsError> {
    let presigned = parts.method == Method::GET && !parts.headers.contains_key(AUTHORIZATION);
    let signed = if presigned {
        SignedRequest::parse_presigned(parts)
    } else {
        SignedRequest::parse(parts)
    };
    let signed = signed.map_err(Unauthenticated::from)?;
    let caller = authn::authenticate_signed(&call.state, &signed, parts, body, "sts").await?;
    call.known = true;
    let (arn, account) = (caller.arn().to_string(), caller.principal.account.clone());
    call.entry.principal = Some(arn.clone());
    call.entry.account.clone_from(&account);
    call.entry.region.clone_from(&call.state.config.region);
    if presigned {
        call.entry.detail.insert("presigned".to_owned(), true.into());
    }
    call.check_rate(&account)?;
    call.check_stops(&account, &caller.principal.name).await?;
    let user_id = match &caller.session {
        Some(session) => format!("{}:{session}", caller.principal.id),
        None => caller.principal.id.clone(),
    };
    Ok(success("GetCallerIdentity", &call.request_id, |xml| {
        xml.text("Arn", &arn);
        xml.text("UserId", &user_id);
        xml.text("Account", &account);
    }))
}
