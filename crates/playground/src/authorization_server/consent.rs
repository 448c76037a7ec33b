//! The consent page: asked every time, so that nothing is ever granted without a person seeing it.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use countersign_web::form::{Form, Query};
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use url::Url;

use crate::authorization_server::AuthorizationServer;
use crate::authorization_server::visits::{Interaction, Session};
use crate::page::{ConsentPage, Scope, render};
use crate::people;

#[derive(Debug, Deserialize)]
pub(super) struct Address {
    interaction: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct Answer {
    interaction: String,
    decision: Decision,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Decision {
    Allow,
    Deny,
}

pub(super) async fn get(
    State(server): State<Arc<AuthorizationServer>>,
    headers: HeaderMap,
    Query(address): Query<Address>,
) -> Response {
    let (interaction, session) = match server.at_consent(&headers, &address.interaction) {
        Ok(found) => found,
        Err(response) => return *response,
    };
    let person = people::find(server.profile.accounts, &session.username).map_or("", |account| account.name);
    // A vendor's own scopes are what they are called.
    let words = |name| {
        let known = server.profile.scopes.iter().find(|scope| scope.name == name);
        known.map_or(name, |scope| scope.words)
    };
    let named = interaction.scopes.iter().map(String::as_str);
    let scopes: Vec<Scope<'_>> = named
        .map(|name| Scope {
            name,
            words: words(name),
        })
        .collect();
    let destination = Url::parse(&interaction.redirect_uri).map(|url| url.origin().ascii_serialization());
    let client = server.client_name(&interaction.client_id);
    let page = ConsentPage::new(
        &server.profile.brand,
        &client,
        person,
        &scopes,
        destination.as_deref().unwrap_or_default(),
        &address.interaction,
    );
    render(StatusCode::OK, &page)
}

pub(super) async fn post(
    State(server): State<Arc<AuthorizationServer>>,
    headers: HeaderMap,
    Form(answer): Form<Answer>,
) -> Response {
    if !server.posted_by_own_page(&headers) {
        return server.refuse(
            StatusCode::FORBIDDEN,
            "Not from here",
            "This form was sent by another site.",
        );
    }
    let (interaction, session) = match server.at_consent(&headers, &answer.interaction) {
        Ok(found) => found,
        Err(response) => return *response,
    };
    if answer.decision == Decision::Allow {
        return server.answer_code(&answer.interaction, &interaction, &session);
    }
    if !server.visits().end(&answer.interaction) {
        return server.interaction_ended();
    }
    let state = interaction.state.as_deref();
    server.answer_error(
        &interaction.redirect_uri,
        state,
        "access_denied",
        "the person said no",
    )
}

impl AuthorizationServer {
    /// The interaction and the login it needs, or the answer that leads there.
    fn at_consent(&self, headers: &HeaderMap, id: &str) -> Result<(Interaction, Session), Box<Response>> {
        let interaction = self
            .interaction(headers, id)
            .ok_or_else(|| Box::new(self.interaction_ended()))?;
        match self
            .session(headers)
            .filter(|session| interaction.accepts(session))
        {
            Some(session) => Ok((interaction, session)),
            None => Err(Box::new(self.go_on(id, &interaction, None))),
        }
    }
}
