//! Logout that a client asks for (OpenID Connect RP-Initiated Logout 1.0).

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use countersign_web::form::{Form, Query};
use http::header::SET_COOKIE;
use http::{HeaderMap, StatusCode};
use serde::Deserialize;

use crate::authorization_server::AuthorizationServer;
use crate::authorization_server::redirect::to_client;
use crate::page::{MessageForm, MessagePage, render};

#[derive(Deserialize)]
pub(super) struct LogoutRequest {
    id_token_hint: Option<String>,
    client_id: Option<String>,
    post_logout_redirect_uri: Option<String>,
    state: Option<String>,
}

pub(super) async fn get(
    State(server): State<Arc<AuthorizationServer>>,
    headers: HeaderMap,
    Query(request): Query<LogoutRequest>,
) -> Response {
    server.end_session(&headers, &request)
}

pub(super) async fn post(
    State(server): State<Arc<AuthorizationServer>>,
    headers: HeaderMap,
    Form(request): Form<LogoutRequest>,
) -> Response {
    server.end_session(&headers, &request)
}

/// The person's own yes, on our page.
pub(super) async fn confirm(
    State(server): State<Arc<AuthorizationServer>>,
    headers: HeaderMap,
    Form(request): Form<LogoutRequest>,
) -> Response {
    if !server.posted_by_own_page(&headers) {
        return server.refuse(
            StatusCode::FORBIDDEN,
            "Not from here",
            "This form was sent by another site.",
        );
    }
    match server.logout_client(&request) {
        Ok((client_id, _)) => server.logged_out(&headers, client_id.as_deref(), &request),
        Err(text) => server.refuse(StatusCode::BAD_REQUEST, "Sign out", text),
    }
}

impl AuthorizationServer {
    /// Without an ID token of the very person who is signed in, anybody's link could end the session: then
    /// the person is asked.
    fn end_session(&self, headers: &HeaderMap, request: &LogoutRequest) -> Response {
        let (client_id, hinted) = match self.logout_client(request) {
            Ok(found) => found,
            Err(text) => return self.refuse(StatusCode::BAD_REQUEST, "Sign out", text),
        };
        match (self.person(headers), hinted) {
            (None, _) => self.logged_out(headers, client_id.as_deref(), request),
            (Some(person), Some(subject)) if person.subject == subject => {
                self.logged_out(headers, client_id.as_deref(), request)
            }
            (Some(person), _) => self.ask(person.name, client_id.as_deref(), request),
        }
    }

    /// Client and subject of the request, as far as its hint proves them. A hint that is not ours, and a
    /// client id that contradicts it, are refused.
    fn logout_client(
        &self,
        request: &LogoutRequest,
    ) -> Result<(Option<String>, Option<String>), &'static str> {
        let Some(hint) = request.id_token_hint.as_deref().filter(|hint| !hint.is_empty()) else {
            return Ok((request.client_id.clone(), None));
        };
        let claims = self.id_token_key.as_ref().and_then(|key| key.own_claims(hint));
        let claims = claims.ok_or("The request carries an ID token that was not issued here.")?;
        let claim = |name: &str| {
            claims
                .get(name)
                .and_then(|value| value.as_str())
                .map(str::to_owned)
        };
        let audience = claim("aud");
        if request.client_id.is_some() && request.client_id != audience {
            return Err("The request carries another application's ID token.");
        }
        Ok((audience, claim("sub")))
    }

    fn ask(&self, person: &str, client_id: Option<&str>, request: &LogoutRequest) -> Response {
        let mut fields = Vec::new();
        let uri = request.post_logout_redirect_uri.as_deref();
        for (name, value) in [
            ("client_id", client_id),
            ("post_logout_redirect_uri", uri),
            ("state", request.state.as_deref()),
        ] {
            fields.extend(value.map(|value| (name, value)));
        }
        let text = format!("You are signed in as {person}.");
        let form = MessageForm {
            action: "/end-session/confirm",
            fields,
            button: "Sign out",
        };
        render(
            StatusCode::OK,
            &MessagePage::new(&self.profile.brand, "Sign out?", &text).form(form),
        )
    }

    fn logged_out(&self, headers: &HeaderMap, client_id: Option<&str>, request: &LogoutRequest) -> Response {
        let forget = self.log_out(headers);
        let client = client_id.and_then(|id| self.client(id));
        let uri = request.post_logout_redirect_uri.as_ref();
        let registered = uri.filter(|uri| {
            client.is_some_and(|client| client.post_logout_redirect_uris.iter().any(|known| known == *uri))
        });
        let mut response = match registered {
            Some(uri) => {
                let state: Vec<_> = request
                    .state
                    .iter()
                    .map(|state| ("state", state.as_str()))
                    .collect();
                to_client(uri, &state)
            }
            None => render(
                StatusCode::OK,
                &MessagePage::new(&self.profile.brand, "Signed out", "You are signed out here."),
            ),
        };
        response.headers_mut().append(SET_COOKIE, forget);
        response
    }
}
