//! The issues themselves.

use std::time::Duration;

use countersign_crypto::Timestamp;
use serde::{Deserialize, Serialize};

/// Each person's issues are bounded; this is a playground.
const MAX_ISSUES_EACH: usize = 500;

/// Whether there is still something to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum State {
    Open,
    Closed,
}

impl State {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Closed => "closed",
        }
    }
}

/// An issue, as the API shows it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Issue {
    pub(crate) key: String,
    pub(crate) title: String,
    pub(crate) description: String,
    pub(crate) state: State,
    /// Login name of the person it belongs to.
    pub(crate) assignee: String,
    pub(crate) created_at: String,
    pub(crate) updated_at: String,
}

/// All issues, oldest first.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Issues(Vec<Issue>);

impl Issues {
    /// What alice and bob begin with.
    pub(super) fn seed(now: Timestamp) -> Self {
        let days = |days: u64| now.minus(Duration::from_secs(days * 24 * 60 * 60));
        let mut issues = Self::default();
        for (username, state, age, title, description) in [
            (
                "alice",
                State::Open,
                6,
                "Renew the TLS certificate of the status page",
                "It expires at the end of the month. The renewal job has failed twice because the DNS challenge \
              points to the old provider.",
            ),
            (
                "alice",
                State::Open,
                2,
                "Invoices over 10 000 lose their thousands separator",
                "Customer support forwarded three cases from Switzerland. The PDF is right, only the e-mail is wrong.",
            ),
            (
                "alice",
                State::Closed,
                20,
                "Move the nightly backup out of the busy hour",
                "It now starts at 03:30 and finishes before the first batch run.",
            ),
            (
                "bob",
                State::Open,
                4,
                "Search finds no names with an apostrophe",
                "O'Brien and D'Angelo are there when scrolling, but not when searching.",
            ),
            (
                "bob",
                State::Open,
                1,
                "Write down how to restore a single customer",
                "We did it from memory last week. It took two people and most of an afternoon.",
            ),
        ] {
            let created = issues.create(username, title, description, days(age));
            if let (State::Closed, Some(issue)) = (state, created.and_then(|key| issues.find_mut(&key))) {
                issue.state = State::Closed;
            }
        }
        issues
    }

    /// A person's issues in this state, or in any.
    pub(super) fn of(&self, username: &str, state: Option<State>) -> Vec<Issue> {
        let wanted =
            |issue: &&Issue| issue.assignee == username && state.is_none_or(|state| issue.state == state);
        self.0.iter().filter(wanted).cloned().collect()
    }

    /// One of a person's issues. Other people's do not exist.
    pub(super) fn get(&self, username: &str, key: &str) -> Option<Issue> {
        self.0
            .iter()
            .find(|issue| issue.assignee == username && issue.key == key)
            .cloned()
    }

    /// Adds an open issue and gives its key; `None` when the person has too many.
    pub(super) fn create(
        &mut self,
        username: &str,
        title: &str,
        description: &str,
        now: Timestamp,
    ) -> Option<String> {
        let number = self.of(username, None).len() + 1;
        if number > MAX_ISSUES_EACH {
            return None;
        }
        let key = format!("{}-{number}", username.to_uppercase());
        self.0.push(Issue {
            key: key.clone(),
            title: title.to_owned(),
            description: description.to_owned(),
            state: State::Open,
            assignee: username.to_owned(),
            created_at: now.to_rfc3339(),
            updated_at: now.to_rfc3339(),
        });
        Some(key)
    }

    fn find_mut(&mut self, key: &str) -> Option<&mut Issue> {
        self.0.iter_mut().find(|issue| issue.key == key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_has_their_own() {
        let mut issues = Issues::seed(Timestamp::from_secs(1_700_000_000));
        let keys = |issues: &Issues, name: &str| -> Vec<String> {
            issues
                .of(name, Some(State::Open))
                .into_iter()
                .map(|issue| issue.key)
                .collect()
        };
        assert_eq!(keys(&issues, "alice"), ["ALICE-1", "ALICE-2"]);
        assert_eq!(keys(&issues, "bob"), ["BOB-1", "BOB-2"]);
        assert!(issues.get("alice", "BOB-1").is_none());
        let created = issues.create("alice", "t", "d", Timestamp::from_secs(1_700_000_000));
        assert_eq!(created.as_deref(), Some("ALICE-4"));
    }
}
