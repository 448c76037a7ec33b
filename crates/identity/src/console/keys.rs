//! `/console/keys`: the account's keys and how much each still holds.

use axum::extract::{Query, Request, State as Extract};
use axum::response::Response;
use countersign_api::admin::{Key, KeyPurpose, KeyState, ListKeys, RotateKey, list_keys, rotate_key};
use countersign_web::page::see_other;
use serde::Deserialize;

use super::operator::{Problem, Role, Session, enter_with_form};
use super::page::{Action, Cell, Field, Page, Table, next, time};
use super::stops::Turn;
use crate::state::State;

const HERE: &str = "/console/keys";
const ROTATE: &str = "/console/keys/rotate";
const PURPOSES: &[(&str, &str)] = &[
    ("vault", "Token vault"),
    ("credential", "Access keys and temporary credentials"),
    ("workload-access-token", "Workload access tokens"),
];

/// Which key.
#[derive(Deserialize)]
pub(super) struct RotateForm {
    purpose: KeyPurpose,
}

#[tracing::instrument(name = "identity.console_keys", skip_all)]
pub(super) async fn list(Query(turn): Query<Turn>, session: Session) -> Response {
    let page = listed(&session, turn).await;
    session.answer(page)
}

async fn listed(session: &Session, turn: Turn) -> Result<Page, Problem> {
    let input = list_keys::Input {
        // Counting takes seconds in a large vault: `countersign key list` does.
        without_sealed_values: Some(true),
        next_token: turn.next,
        max_results: Some(50),
    };
    let found = session.perform::<ListKeys>(&input).await?;
    let mut page = Page::new(HERE, "Keys");
    page.lead = "The account's own keys, each wrapped by the root key. A new one seals; the ones before it open, \
         until nothing needs them any more and they are retired (countersign key retire).";
    let row = |key: Key| {
        let purpose = match key.purpose {
            KeyPurpose::Vault => "Token vault",
            KeyPurpose::Credential => "Credentials",
            KeyPurpose::WorkloadAccessToken => "Workload access tokens",
        };
        let state = match key.state {
            KeyState::Primary => Cell::status("seals and opens", "good"),
            KeyState::Enabled => Cell::status("opens", "limited"),
            KeyState::Retired => Cell::status("retired", "bad"),
        };
        vec![
            Cell::text(format!("{purpose}, version {}", key.version)),
            state,
            Cell::code(key.root_key),
            Cell::text(time(key.created_time)),
        ]
    };
    page.tables.push(Table {
        head: &["Key", "State", "Root key", "Made"],
        rows: found.keys.into_iter().map(row).collect(),
        empty: "There are none.",
        next: next(HERE, &[], found.next_token),
        ..Table::default()
    });
    if session.may(Role::Admin) {
        page.actions.push(Action {
            explanation: "A new version seals from now on; what the old one sealed is sealed anew in the background.",
            fields: vec![Field::choice("purpose", "Key", PURPOSES, None)],
            ..Action::new(ROTATE, "Rotate a key", "Rotate")
        });
    }
    Ok(page)
}

#[tracing::instrument(name = "identity.console_rotate_key", skip_all)]
pub(super) async fn rotate(Extract(state): Extract<State>, request: Request) -> Response {
    let (session, form) = match enter_with_form::<RotateForm>(&state, request, ROTATE).await {
        Ok(entered) => entered,
        Err(answer) => return *answer,
    };
    let input = rotate_key::Input {
        purpose: form.purpose,
    };
    match session.perform::<RotateKey>(&input).await {
        Ok(_) => see_other(HERE),
        Err(problem) => problem.page(&session),
    }
}
