//! Where a request came from, for its audit record.

use std::net::IpAddr;
use std::sync::Arc;

use countersign_audit::{Entry, Outcome};
use countersign_crypto::Timestamp;
use countersign_outbound::trace::{self, TraceContext};
use countersign_web::{Connected, Peer, RequestId};
use http::{Extensions, HeaderMap};

use crate::access_log::Notes;

/// Request id, address and trace of one request.
#[derive(Clone, Debug)]
pub(crate) struct Provenance {
    pub(crate) request_id: Option<RequestId>,
    pub(crate) source: Option<IpAddr>,
    trace_id: Option<String>,
    /// For the access log; what is noted of a request that it does not have is for nobody.
    pub(crate) notes: Arc<Notes>,
}

impl Provenance {
    pub(crate) fn of(extensions: &Extensions, headers: &HeaderMap) -> Self {
        let notes = extensions.get::<Arc<Notes>>();
        Self {
            request_id: extensions.get::<RequestId>().cloned(),
            source: extensions.get::<Peer>().map(|peer| peer.0.ip().to_canonical()),
            trace_id: trace_id(headers),
            notes: notes
                .cloned()
                .unwrap_or_else(|| Arc::new(Notes::begin(Timestamp::from_secs(0)))),
        }
    }

    /// As [`Self::of`], where nothing has been put in extensions.
    pub(crate) fn new(
        request_id: RequestId,
        connected: &Connected,
        headers: &HeaderMap,
        notes: Arc<Notes>,
    ) -> Self {
        Self {
            request_id: Some(request_id),
            source: Some(connected.peer.ip().to_canonical()),
            trace_id: trace_id(headers),
            notes,
        }
    }

    /// An audit entry of this request.
    pub(crate) fn entry(&self, action: &'static str, outcome: Outcome) -> Entry {
        let mut entry = Entry::new(action, outcome);
        if let Some(id) = &self.request_id {
            entry = entry.with_request_id(id.as_str());
        }
        if let Some(source) = self.source {
            entry = entry.with_source(source.to_string());
        }
        if let Some(trace_id) = &self.trace_id {
            entry = entry.with_trace_id(trace_id.clone());
        }
        entry
    }

    /// The address as the counter of repeated refusals knows it.
    pub(crate) fn source_text(&self) -> String {
        self.source
            .map_or_else(|| "unknown".to_owned(), |source| source.to_string())
    }
}

/// The trace that the request belongs to: the one of its span, or the one it came with.
fn trace_id(headers: &HeaderMap) -> Option<String> {
    trace::current_id().or_else(|| TraceContext::of(headers).as_ref().map(TraceContext::trace_id))
}
