//! `POST /connections/{id}/disconnect`: every grant of the connection ends here, and the service is asked to withdraw it.

use axum::extract::{Path, Request, State as Extract};
use axum::response::Response;
use countersign_web::page::see_other;

use super::{PATH, connection, disconnect_purpose, person, read_form};
use crate::front_channel::page::Refusal;
use crate::front_channel::visit::{Refused, Visit};
use crate::state::State;
use crate::vault::revoke;

/// Leads to the connection's page, which tells what the service said.
#[tracing::instrument(name = "identity.disconnect", skip_all)]
pub(super) async fn disconnect(
    Extract(state): Extract<State>,
    Path(id): Path<String>,
    request: Request,
) -> Response {
    let (mut visit, body) = Visit::begin(&state, "Disconnect", request);
    match disconnected(&mut visit, body, &id).await {
        Ok(()) => visit.done(see_other(&format!("{PATH}/{id}"))).await,
        Err(refused) => visit.refuse(refused).await,
    }
}

async fn disconnected(visit: &mut Visit, body: axum::body::Body, id: &str) -> Result<(), Refused> {
    let person = person(visit).await?;
    read_form(visit, body, &disconnect_purpose(id)).await?;
    let found = connection::find(visit, &person, id).await?;
    let connection = found.ok_or(Refused::new(Refusal::NoPage, "unknown_connection"))?;
    visit.entry.provider = Some(connection.provider);
    let mut ended = Vec::new();
    for held in connection.grants {
        if let Err(error) = revoke::revoke(&visit.state, &held.row, "disconnected").await {
            // The visit is recorded as failed: those that have ended say so themselves.
            for row in &ended {
                revoke::record_end(&visit.state, row, "disconnected").await;
            }
            return Err(error.into());
        }
        ended.push(held.row);
    }
    let ids: Vec<String> = ended.into_iter().map(|row| row.id).collect();
    visit.entry.grant = ids.first().cloned();
    visit.entry.detail.insert("grants".to_owned(), ids.into());
    Ok(())
}
