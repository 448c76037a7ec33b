//! The journal of token requests: an aid for tests and demonstrations, which must be able to see that a
//! code was not sent, or that a token was refreshed exactly once. No secret is in it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use axum::Json;
use axum::extract::State;
use countersign_crypto::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};

use crate::authorization_server::AuthorizationServer;

const MAX_ENTRIES: usize = 1_000;
/// A grant type or client id longer than this is not one of ours.
const MAX_TEXT_BYTES: usize = 100;

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    time: String,
    grant_type: Option<String>,
    client_id: Option<String>,
    outcome: &'static str,
}

#[derive(Debug, Default)]
pub(super) struct Journal(Mutex<(u64, VecDeque<Entry>)>);

impl Journal {
    pub(super) fn record(&self, now: Timestamp, form: &BTreeMap<String, String>, outcome: &'static str) {
        let text = |name: &str| {
            form.get(name)
                .filter(|text| text.len() <= MAX_TEXT_BYTES)
                .cloned()
        };
        let entry = Entry {
            time: now.to_rfc3339(),
            grant_type: text("grant_type"),
            client_id: text("client_id"),
            outcome,
        };
        let mut journal = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        journal.0 += 1;
        if journal.1.len() == MAX_ENTRIES {
            journal.1.pop_front();
        }
        journal.1.push_back(entry);
    }
}

/// `GET /playground/token-requests`: how many there were since the start, and the last thousand.
pub(super) async fn get(State(server): State<Arc<AuthorizationServer>>) -> Json<Value> {
    let journal = server.journal.0.lock().unwrap_or_else(PoisonError::into_inner);
    Json(json!({"total": journal.0, "requests": journal.1}))
}
