//! `authorize/login`: a path behind the gateway's login. Whoever gets here has logged in; it leads back to the start
//! page of that one request and nowhere else.

use axum::extract::{Request, State as Extract};
use axum::response::Response;
use countersign_web::page::see_other;

use super::authorize::request_uri;
use super::page::Refusal;
use super::visit::{Refused, Visit};
use crate::state::State;

/// Leads back to the start page.
#[tracing::instrument(name = "identity.authorize_login", skip_all)]
pub(super) async fn login(Extract(state): Extract<State>, request: Request) -> Response {
    let (visit, _) = Visit::begin(&state, "StartAuthorization", request);
    let uri = match request_uri(&visit) {
        Ok(uri) => uri,
        Err(refused) => return visit.refuse(refused).await,
    };
    match visit.person().await {
        // Relative to ourselves: no parameter says where to go.
        Ok(Some(_)) => {
            let mut url = visit.state.front_channel(super::AUTHORIZE);
            url.query_pairs_mut().append_pair("request_uri", uri.expose());
            see_other(url.as_str())
        }
        // The gateway let somebody pass without saying who: leading back would go round in circles.
        Ok(None) => {
            visit
                .refuse(Refused::new(Refusal::Unavailable, "identity_missing"))
                .await
        }
        Err(refused) => visit.refuse(refused).await,
    }
}
