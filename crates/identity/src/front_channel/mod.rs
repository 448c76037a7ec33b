//! What browsers see of an authorization (design D11): the start page, and the callback.
//!
//! ```text
//! GET  /identities/oauth2/authorize?request_uri=…   the question, or the way to the authorization server
//! POST /identities/oauth2/authorize                 the answer to the question
//! GET  /identities/oauth2/authorize/login           behind the gateway's login; leads back to the first
//! GET  /identities/oauth2/callback/{uuid}           what the authorization server says
//! GET  /identities/stops                            for gateways, not browsers: who is stopped
//! POST /identities/stops                            from gateways: whom their identity provider has logged out
//! ```
//!
//! An authorization response comes as a GET alone: `response_mode=form_post` is answered 405 like every other method.
//! Nothing here exchanges a code or releases a token. A browser is known by its cookie, a person by the gateway's
//! token alone; a page that says no says the same to everybody but the person concerned.

mod authorize;
pub(crate) mod browser;
mod callback;
mod fetch_metadata;
mod login;
pub(crate) mod page;
mod stop_list;
pub(crate) mod visit;

use axum::Router;
use axum::routing::get;

pub(crate) use browser::browser_hash;

use crate::state::State;

/// The start page.
pub(crate) const AUTHORIZE: &str = "/identities/oauth2/authorize";
/// The start page, after the gateway's login.
const LOGIN: &str = "/identities/oauth2/authorize/login";
/// Where authorization servers send the browser back to.
const CALLBACK: &str = "/identities/oauth2/callback/{callback_id}";

/// Who is stopped, for gateways.
const STOPS: &str = "/identities/stops";

/// The front channel's routes.
pub(crate) fn router(state: &State) -> Router {
    let router = crate::connections::routes(Router::new());
    crate::console::routes(router)
        .route(AUTHORIZE, get(authorize::show).post(authorize::decide))
        .route(LOGIN, get(login::login))
        .route(CALLBACK, get(callback::callback))
        .route(STOPS, get(stop_list::list).post(stop_list::stop_on_logout))
        .fallback(visit::not_found)
        .method_not_allowed_fallback(visit::wrong_method)
        .with_state(state.clone())
}
