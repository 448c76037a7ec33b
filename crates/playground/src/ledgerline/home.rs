//! A person's own page: the issues, and which applications may act for them. Disconnecting here is what a
//! vendor's settings page does: the client learns of it when its next refresh fails.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use countersign_web::form::Form;
use http::header::{LOCATION, SET_COOKIE};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde::Deserialize;

use crate::ledgerline::{BRAND, Shared};
use crate::page::{Connection, LedgerlinePage, MessagePage, render};

#[derive(Debug, Deserialize)]
pub(super) struct Disconnect {
    grant: String,
}

pub(super) async fn get(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Response {
    let Some(person) = shared.server.person(&headers) else {
        return render(StatusCode::OK, &LedgerlinePage::new(&BRAND, None, &[], &[]));
    };
    let issues = shared.issues.read(|issues| issues.of(person.username, None));
    let connections: Vec<Connection> = shared
        .server
        .grants_of(person.username)
        .into_iter()
        .map(|(id, grant)| Connection {
            grant: id,
            client: shared.server.client_name(&grant.client_id),
            scopes: grant.scopes.join(" "),
            since: grant.granted_at.http_date(),
        })
        .collect();
    render(
        StatusCode::OK,
        &LedgerlinePage::new(&BRAND, Some(person.name), &issues, &connections),
    )
}

pub(super) async fn disconnect(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    Form(request): Form<Disconnect>,
) -> Response {
    let person = match posted_by_person(&shared, &headers) {
        Ok(person) => person,
        Err(response) => return *response,
    };
    match shared.server.disconnect(person, &request.grant) {
        Ok(()) => home(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

pub(super) async fn log_out(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Response {
    if let Err(response) = posted_by_person(&shared, &headers) {
        return *response;
    }
    let forget = shared.server.log_out(&headers);
    let mut response = home();
    response.headers_mut().append(SET_COOKIE, forget);
    response
}

fn posted_by_person(shared: &Shared, headers: &HeaderMap) -> Result<&'static str, Box<Response>> {
    if !shared.server.posted_by_own_page(headers) {
        let page = MessagePage::new(&BRAND, "Not from here", "This form was sent by another site.");
        return Err(Box::new(render(StatusCode::FORBIDDEN, &page)));
    }
    shared
        .server
        .person(headers)
        .map(|person| person.username)
        .ok_or_else(|| Box::new(home()))
}

fn home() -> Response {
    (StatusCode::SEE_OTHER, [(LOCATION, HeaderValue::from_static("/"))]).into_response()
}
