//! A conversation: what the person and the agent said, and what the tools gave. Never a token: tools receive
//! tokens beside their arguments, and nothing here can hold one.

mod keys;
mod storage;
mod store;

use std::collections::{BTreeMap, BTreeSet};

use countersign_crypto::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::session_id::SessionId;

pub use keys::ConversationKey;
pub(crate) use keys::{ConversationKeys, list as list_keys};
pub(crate) use storage::open;
pub(crate) use store::{ConversationStore, Cursor, StoreError};

/// Entries a conversation may have; after that the person is asked to begin another.
const MOST_ENTRIES: usize = 1000;
/// Entries that a model is shown, at most.
const MODEL_ENTRIES: usize = 60;

/// A conversation of one person.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Conversation {
    /// Form of this record; readers refuse one they do not know.
    version: u32,
    pub(crate) session_id: String,
    pub(crate) title: String,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
    /// Counts the person's messages. A turn writes only while this is still its own number, so that one that
    /// was replaced (perhaps on another replica) cannot overwrite its successor.
    pub(crate) turn: u64,
    pub(crate) entries: Vec<Entry>,
    /// The model's step whose tool calls are being made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) pending: Option<Step>,
    /// Scopes that the person was seen to have consented to, by provider.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) granted: BTreeMap<String, BTreeSet<String>>,
    /// It lies in the store. If it does no longer, it has been deleted and is not to come back.
    #[serde(skip)]
    is_kept: bool,
}

/// One answer of a model: text, and tool calls.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Step {
    pub(crate) text: String,
    pub(crate) calls: Vec<ToolCall>,
    /// Ids of calls that may change something and have been begun.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) begun: Vec<String>,
}

/// One entry of a conversation, which is also one message to a model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "role", rename_all = "lowercase", rename_all_fields = "camelCase")]
pub(crate) enum Entry {
    User {
        text: String,
    },
    Assistant {
        text: String,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        tool_calls: Vec<ToolCall>,
    },
    /// What a tool gave, as JSON.
    Tool {
        call_id: String,
        name: String,
        content: Value,
    },
}

/// Code and words of a call that may have been made.
pub(crate) const OUTCOME_UNKNOWN: (&str, &str) = (
    "outcome_unknown",
    "This was begun before an interruption, and its answer was lost; look before trying again.",
);
/// Code and words of a call that was not made.
pub(crate) const NOT_BEGUN: (&str, &str) = (
    "stopped",
    "This was not done: the person stopped it, or asked something else, before it was begun.",
);

impl Step {
    /// The entries of a step whose calls nobody goes on with.
    fn put_aside(self) -> Vec<Entry> {
        let results = self.calls.iter().map(|call| {
            let may_be_done = self.begun.contains(&call.id);
            let (code, words) = if may_be_done { OUTCOME_UNKNOWN } else { NOT_BEGUN };
            Entry::Tool {
                call_id: call.id.clone(),
                name: call.name.clone(),
                content: json!({ "error": code, "message": words }),
            }
        });
        let results: Vec<_> = results.collect();
        let step = Entry::Assistant {
            text: self.text,
            tool_calls: self.calls,
        };
        std::iter::once(step).chain(results).collect()
    }

    /// Bytes of it that the model wrote, about.
    pub(crate) fn size(&self) -> usize {
        let calls = self.calls.iter().map(|call| call.arguments.to_string().len());
        self.text.len() + calls.sum::<usize>()
    }
}

impl Entry {
    /// Bytes of it that a model reads, about.
    pub(crate) fn size(&self) -> usize {
        match self {
            Self::User { text } => text.len(),
            Self::Assistant { text, tool_calls } => {
                let calls = tool_calls.iter().map(|call| call.arguments.to_string().len());
                text.len() + calls.sum::<usize>()
            }
            Self::Tool { content, .. } => content.to_string().len(),
        }
    }
}

/// A model's wish to have a tool called.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct ToolCall {
    /// Unique in its conversation.
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) arguments: Value,
    /// What the vendor wants back with the tool's result, unread by us (Gemini's thought signatures).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) signatures: Vec<String>,
}

/// What is known of a conversation without reading all of it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Heading {
    pub(crate) session_id: String,
    pub(crate) title: String,
    pub(crate) updated_at: i64,
    pub(crate) turn: u64,
}

/// The conversation has as many entries as one may have.
#[derive(Debug, thiserror::Error)]
#[error("conversation is full")]
pub(crate) struct ConversationFull;

impl Conversation {
    const VERSION: u32 = 1;

    pub(crate) fn new(id: &SessionId, now: Timestamp) -> Self {
        Self {
            version: Self::VERSION,
            session_id: id.to_string(),
            title: String::new(),
            created_at: now,
            updated_at: now,
            turn: 0,
            entries: Vec::new(),
            pending: None,
            granted: BTreeMap::new(),
            is_kept: false,
        }
    }

    /// Begins a turn with the person's message.
    pub(crate) fn ask(&mut self, text: &str, now: Timestamp) -> Result<(), ConversationFull> {
        if self.entries.len() >= MOST_ENTRIES {
            return Err(ConversationFull);
        }
        if self.title.is_empty() {
            let line = text.lines().next().unwrap_or_default();
            self.title = line.chars().take(80).collect();
        }
        self.resume(now);
        // A new message puts aside what an interrupted turn was about to do. The model is told, or it would do again what
        // may have been done.
        let put_aside = self.pending.take().map(Step::put_aside);
        self.entries.extend(put_aside.into_iter().flatten());
        self.entries.push(Entry::User {
            text: text.to_owned(),
        });
        Ok(())
    }

    /// Whether the person's last message has no answer yet: its turn is under way, or was cut off.
    pub(crate) fn is_interrupted(&self) -> bool {
        match self.entries.last() {
            None => false,
            Some(Entry::User { .. } | Entry::Tool { .. }) => true,
            Some(Entry::Assistant { tool_calls, .. }) => self.pending.is_some() || !tool_calls.is_empty(),
        }
    }

    /// Begins a turn without a new message.
    pub(crate) fn resume(&mut self, now: Timestamp) {
        self.turn += 1;
        self.updated_at = now;
    }

    /// The latest entries, from one of the person's on: a model is never shown a tool's result without the
    /// call that asked for it.
    pub(crate) fn for_model(&self) -> &[Entry] {
        let start = self.entries.len().saturating_sub(MODEL_ENTRIES);
        let is_user = |entry: &Entry| matches!(entry, Entry::User { .. });
        // A single turn longer than the window is shown whole.
        let from = self.entries[start..].iter().position(is_user).map_or_else(
            || self.entries.iter().rposition(is_user).unwrap_or(0),
            |offset| start + offset,
        );
        &self.entries[from..]
    }

    pub(crate) fn heading(&self) -> Heading {
        Heading {
            session_id: self.session_id.clone(),
            title: self.title.clone(),
            updated_at: self.updated_at.as_secs(),
            turn: self.turn,
        }
    }

    fn known_version(&self) -> bool {
        self.version == Self::VERSION
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conversation() -> Conversation {
        Conversation::new(&"c".parse().expect("an id"), Timestamp::from_secs(1_000))
    }

    #[test]
    fn a_model_sees_whole_turns_from_a_users_message_on() {
        let mut conversation = conversation();
        for number in 0..40 {
            conversation
                .ask(&format!("question {number}"), Timestamp::from_secs(1_000))
                .expect("room");
            conversation.entries.push(Entry::Tool {
                call_id: "1".to_owned(),
                name: "list_issues".to_owned(),
                content: Value::Null,
            });
            conversation.entries.push(Entry::Assistant {
                text: "answer".to_owned(),
                tool_calls: Vec::new(),
            });
        }
        let shown = conversation.for_model();
        assert!(shown.len() <= MODEL_ENTRIES);
        assert!(matches!(shown.first(), Some(Entry::User { .. })));
        assert_eq!(conversation.title, "question 0");
    }

    #[test]
    fn a_full_conversation_takes_no_further_message() {
        let mut conversation = conversation();
        let entry = Entry::User { text: "x".to_owned() };
        conversation.entries = vec![entry; MOST_ENTRIES];
        assert!(conversation.ask("more", Timestamp::from_secs(1)).is_err());
        assert_eq!(conversation.turn, 0);
    }
}
