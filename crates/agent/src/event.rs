//! The events of an `/invocations` stream. Their form is a contract with every client of the agent.

use std::collections::BTreeMap;

use axum::response::sse;
use serde::Serialize;

/// One event; its name is the variant's, its data the fields as JSON.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged, rename_all_fields = "camelCase")]
pub(crate) enum Event {
    /// A piece of the agent's answer.
    Message { text: String },
    /// The text of the `message` events since the last other one, complete, as HTML that is safe to show.
    Answer { html: String },
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
    Consent(Box<Consent>),
    /// Something went wrong; the turn ends.
    Error { code: &'static str, message: String },
    /// The turn has ended.
    Done { session_id: String },
}

/// Who asks whom for what, and until when.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Consent {
    pub(crate) id: String,
    pub(crate) provider: String,
    /// The service as the person knows it.
    pub(crate) title: String,
    /// The workload identity that asks.
    pub(crate) agent: String,
    /// The person who is asked.
    pub(crate) person: String,
    pub(crate) scopes: Vec<String>,
    /// Those of `scopes` that this conversation has not seen consent for.
    pub(crate) new_scopes: Vec<String>,
    /// What this conversation has seen consent for at this provider.
    pub(crate) known_scopes: Vec<String>,
    /// Scopes in plain words, where the tools have any.
    pub(crate) scope_descriptions: BTreeMap<String, String>,
    /// Ids of the tool calls that wait for it.
    pub(crate) calls: Vec<String>,
    pub(crate) url: String,
    /// Epoch seconds after which the link is dead.
    pub(crate) expires_at: i64,
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
            Self::Answer { .. } => "answer",
            Self::Tool { .. } => "tool",
            Self::Consent(_) => "consent",
            Self::Error { .. } => "error",
            Self::Done { .. } => "done",
        }
    }

    /// As it goes over the wire.
    pub(crate) fn into_sse(self) -> Result<sse::Event, axum::Error> {
        sse::Event::default().event(self.name()).json_data(&self)
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
                Event::Answer {
                    html: "<p>a</p>".into(),
                },
                "answer",
                r#"{"html":"<p>a</p>"}"#,
            ),
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
                Event::Consent(Box::new(Consent {
                    id: "1".into(),
                    provider: "ledgerline".into(),
                    title: "Ledgerline".into(),
                    agent: "dev-agent".into(),
                    person: "Alice".into(),
                    scopes: vec!["issues:read".into()],
                    new_scopes: vec!["issues:read".into()],
                    known_scopes: Vec::new(),
                    scope_descriptions: BTreeMap::from([("issues:read".into(), "read your issues".into())]),
                    calls: vec!["2".into()],
                    url: "http://localhost/".into(),
                    expires_at: 7,
                })),
                "consent",
                concat!(
                    r#"{"id":"1","provider":"ledgerline","title":"Ledgerline","agent":"dev-agent","person":"Alice","#,
                    r#""scopes":["issues:read"],"newScopes":["issues:read"],"#,
                    r#""knownScopes":[],"scopeDescriptions":{"issues:read":"read your issues"},"calls":["2"],"#,
                    r#""url":"http://localhost/","expiresAt":7}"#
                ),
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
