//! Sign-in with name and password.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use countersign_crypto::token;
use countersign_web::cookie;
use countersign_web::form::{Form, Query};
use http::header::SET_COOKIE;
use http::{HeaderMap, StatusCode};
use serde::Deserialize;

use crate::authorization_server::AuthorizationServer;
use crate::authorization_server::redirect::see_other;
use crate::authorization_server::visits::Session;
use crate::page::{LoginPage, render};
use crate::people;

#[derive(Debug, Deserialize)]
pub(super) struct Address {
    interaction: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Credentials {
    interaction: Option<String>,
    username: String,
    password: String,
}

pub(super) async fn get(
    State(server): State<Arc<AuthorizationServer>>,
    headers: HeaderMap,
    Query(address): Query<Address>,
) -> Response {
    server.login_page(&headers, address.interaction.as_deref(), false)
}

pub(super) async fn post(
    State(server): State<Arc<AuthorizationServer>>,
    headers: HeaderMap,
    Form(credentials): Form<Credentials>,
) -> Response {
    if !server.posted_by_own_page(&headers) {
        return server.refuse(
            StatusCode::FORBIDDEN,
            "Not from here",
            "This form was sent by another site.",
        );
    }
    let id = credentials.interaction.as_deref();
    let interaction = id.and_then(|id| server.interaction(&headers, id));
    if id.is_some() && interaction.is_none() {
        return server.interaction_ended();
    }
    let Some(account) = people::log_in(
        server.profile.accounts,
        &credentials.username,
        &credentials.password,
    ) else {
        return server.login_page(&headers, id, true);
    };
    // A new id at each login: one that somebody planted before is worth nothing after.
    server.log_out(&headers);
    let session = Session {
        username: account.username.to_owned(),
        authenticated_at: server.now(),
    };
    let session_id = token(server.random.as_ref());
    server
        .visits()
        .sessions
        .insert(session_id.clone(), session.clone());
    let mut response = match (id, interaction) {
        (Some(id), Some(interaction)) => server.go_on(id, &interaction, Some(&session)),
        _ => see_other("/"),
    };
    let value = cookie::build(
        &server.session_cookie,
        &session_id,
        cookie::CookieOptions::default(),
    );
    response.headers_mut().append(SET_COOKIE, value);
    response
}

impl AuthorizationServer {
    fn login_page(&self, headers: &HeaderMap, id: Option<&str>, failed: bool) -> Response {
        let client = match id {
            None => None,
            Some(id) => match self.interaction(headers, id) {
                Some(interaction) => Some(self.client_name(&interaction.client_id)),
                None => return self.interaction_ended(),
            },
        };
        let status = if failed {
            StatusCode::UNAUTHORIZED
        } else {
            StatusCode::OK
        };
        render(
            status,
            &LoginPage::new(&self.profile.brand, client.as_deref(), id, failed),
        )
    }
}
