//! `GET /connections/records`: what is stored about the person's connections, for them to keep, as JSON.

use axum::body::Body;
use axum::extract::{Request, State as Extract};
use axum::response::Response;
use countersign_crypto::Timestamp;
use countersign_web::security_headers;
use http::HeaderValue;
use http::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE};
use serde_json::{Value, json};

use super::connection::{self, Connection};
use super::person;
use crate::front_channel::visit::{Refused, Visit};
use crate::state::State;
use crate::store::grant::GrantRow;
use crate::uses;

/// Most uses of a grant that are listed, newest first; the operator has all.
const USES: u32 = 1000;

/// The file.
#[tracing::instrument(name = "identity.download_records", skip_all)]
pub(super) async fn download(Extract(state): Extract<State>, request: Request) -> Response {
    let (mut visit, _) = Visit::begin(&state, "DownloadRecords", request);
    match records(&mut visit).await {
        Ok(records) => visit.done(file(&records)).await,
        Err(refused) => visit.refuse(refused).await,
    }
}

async fn records(visit: &mut Visit) -> Result<Value, Refused> {
    let person = person(visit).await?;
    let mut connections = Vec::new();
    let (all, rest) = connection::list_all(visit, &person).await?;
    for connection in all {
        let rows = connection.grants.iter().map(|held| &held.row);
        let ended = connection.ended.iter().map(|(row, _)| row);
        let mut grants = Vec::new();
        for row in rows.chain(ended) {
            grants.push(grant(visit, row).await?);
        }
        connections.push(described(&connection, &grants));
    }
    Ok(json!({
        "generatedAt": visit.now.to_rfc3339(),
        "person": {
            "name": person.name,
            "loginProvider": person.issuer,
            "subject": person.subject,
            "userKey": person.user_key.to_hex(),
        },
        "connections": connections,
        // There may be older ones, of which the operator knows.
        "truncated": rest,
    }))
}

fn described(connection: &Connection, grants: &[Value]) -> Value {
    json!({
        "service": connection.provider,
        "accountId": connection.account.as_ref().map(|account| &account.id),
        "accountName": connection.account.as_ref().and_then(|account| account.name.as_ref()),
        "grants": grants,
    })
}

async fn grant(visit: &Visit, row: &GrantRow) -> Result<Value, Refused> {
    let (uses, rest) = uses::list_and_rest(&visit.state, &row.id, USES)
        .await
        .map_err(|error| Refused::failed("audit_unreadable", error))?;
    let uses: Vec<Value> = uses
        .into_iter()
        .map(|used| json!({"at": used.at.to_rfc3339(), "auditRecord": used.record}))
        .collect();
    Ok(json!({
        "grantId": row.id,
        "agent": row.workload_name,
        "scopes": row.scopes,
        "declinedScopes": row.declined,
        "consentedAt": row.created_at.to_rfc3339(),
        "state": row.state.as_str(),
        "reason": row.reason,
        "endedAt": row.ended_at.map(Timestamp::to_rfc3339),
        "uses": uses,
        "truncated": rest,
    }))
}

fn file(records: &Value) -> Response {
    let text = serde_json::to_vec_pretty(records).unwrap_or_default();
    let mut response = Response::new(Body::from(text));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let name = "attachment; filename=\"connections.json\"";
    headers.insert(CONTENT_DISPOSITION, HeaderValue::from_static(name));
    security_headers::add_missing(headers);
    response
}
