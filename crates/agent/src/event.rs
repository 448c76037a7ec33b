//! The events of an `/invocations` stream. Their form is a contract with every client of the agent.

use axum::response::sse;
use serde::Serialize;
use tokio::sync::mpsc;

/// One event; its name is the variant's, its data the fields as JSON.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged, rename_all_fields = "camelCase")]
pub(crate) enum Event {
    /// A piece of the agent's answer.
    Message { text: String },
    /// A tool's progress.
    Tool {
        id: String,
        name: String,
        state: ToolState,
        /// Why it failed, for the page's own words; absent otherwise.
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<&'static str>,
    },
    /// The person is asked to consent. It comes from the identity service's answer alone and never passes
    /// through a model, which could alter it (H1).
    Consent {
        id: String,
        provider: String,
        scopes: Vec<String>,
        url: String,
        /// Epoch seconds after which the link is dead.
        expires_at: i64,
    },
    /// Something went wrong; the turn ends.
    Error { code: &'static str, message: String },
    /// The turn has ended.
    Done { session_id: String },
}

/// How far a tool call is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ToolState {
    /// The model asked for it.
    Started,
    /// It waits for the person's consent.
    Waiting,
    /// It gave a result.
    Done,
    /// It gave none.
    Failed,
}

impl Event {
    fn name(&self) -> &'static str {
        match self {
            Self::Message { .. } => "message",
            Self::Tool { .. } => "tool",
            Self::Consent { .. } => "consent",
            Self::Error { .. } => "error",
            Self::Done { .. } => "done",
        }
    }

    /// As it goes over the wire.
    pub(crate) fn into_sse(self) -> Result<sse::Event, axum::Error> {
        sse::Event::default().event(self.name()).json_data(&self)
    }
}

/// Where a turn sends its events. A slow reader slows the turn down; one that has gone ends it, since the
/// turn lives in the response's body.
#[derive(Debug, Clone)]
pub(crate) struct Events(pub(crate) mpsc::Sender<Event>);

impl Events {
    pub(crate) async fn send(&self, event: Event) {
        // The receiver is dropped only together with the turn that sends.
        let _ = self.0.send(event).await;
    }

    pub(crate) async fn message(&self, text: impl Into<String>) {
        self.send(Event::Message { text: text.into() }).await;
    }

    pub(crate) async fn tool(&self, id: &str, name: &str, state: ToolState, reason: Option<&'static str>) {
        self.send(Event::Tool {
            id: id.to_owned(),
            name: name.to_owned(),
            state,
            reason,
        })
        .await;
    }

    pub(crate) async fn error(&self, code: &'static str, message: impl Into<String>) {
        self.send(Event::Error {
            code,
            message: message.into(),
        })
        .await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_members_are_those_of_the_contract() {
        let cases = [
            (Event::Message { text: "a".into() }, "message", r#"{"text":"a"}"#),
            (
                Event::Tool {
                    id: "1".into(),
                    name: "list_issues".into(),
                    state: ToolState::Waiting,
                    reason: None,
                },
                "tool",
                r#"{"id":"1","name":"list_issues","state":"waiting"}"#,
            ),
            (
                Event::Consent {
                    id: "1".into(),
                    provider: "ledgerline".into(),
                    scopes: vec!["issues:read".into()],
                    url: "http://localhost/".into(),
                    expires_at: 7,
                },
                "consent",
                r#"{"id":"1","provider":"ledgerline","scopes":["issues:read"],"url":"http://localhost/","expiresAt":7}"#,
            ),
            (
                Event::Error {
                    code: "model",
                    message: "m".into(),
                },
                "error",
                r#"{"code":"model","message":"m"}"#,
            ),
            (
                Event::Done {
                    session_id: "s".into(),
                },
                "done",
                r#"{"sessionId":"s"}"#,
            ),
        ];
        for (event, name, data) in cases {
            assert_eq!(event.name(), name);
            assert_eq!(serde_json::to_string(&event).expect("JSON"), data);
        }
    }
}
