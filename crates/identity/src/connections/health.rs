//! Whether a connection works, and if not for long, until when and why.

use countersign_crypto::Timestamp;

use super::time;
use crate::store::grant::{GrantRow, GrantState};
use crate::vault::limits::Limit;

/// How it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Health {
    pub(super) tone: Tone,
    /// `Works`.
    pub(super) word: &'static str,
    /// What the word leaves out; a sentence.
    pub(super) because: String,
}

/// From good to bad.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Tone {
    Good,
    Limited,
    Bad,
}

impl Tone {
    /// The class of the style sheet.
    pub(super) const fn class(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Limited => "limited",
            Self::Bad => "bad",
        }
    }
}

/// The health of a live grant.
pub(super) fn of(row: &GrantRow, stopped: bool, limit: Option<(Timestamp, Limit)>, now: Timestamp) -> Health {
    let provider = &row.provider_name;
    if stopped {
        return Health {
            tone: Tone::Bad,
            word: "Paused",
            because: "Your operator has paused it. No agent gets in until it is started again.".to_owned(),
        };
    }
    if row.state == GrantState::NeedsConsent {
        return Health {
            tone: Tone::Bad,
            word: "Has stopped working",
            because: lost(row.reason.as_deref(), provider),
        };
    }
    let runs_out = row.access_expires_at.filter(|_| row.refresh_token.is_none());
    if runs_out.is_some_and(|end| end <= now) {
        return Health {
            tone: Tone::Bad,
            word: "Has run out",
            because: format!(
                "{provider} gave access for a limited time and no way to renew it. Connect it again."
            ),
        };
    }
    if row.state == GrantState::OutcomeUnknown {
        return Health {
            tone: Tone::Limited,
            word: "May have stopped working",
            because: format!(
                "{provider} did not answer when the access was last renewed. If it was lost, the agent asks you again."
            ),
        };
    }
    match (runs_out, limit) {
        (Some(end), None) => Health {
            tone: Tone::Limited,
            word: "Works for now",
            because: format!("Until {}: {provider} gave no way to renew it.", time(end)),
        },
        (Some(end), Some((at, _))) if end < at => Health {
            tone: Tone::Limited,
            word: "Works for now",
            because: format!("Until {}: {provider} gave no way to renew it.", time(end)),
        },
        (_, Some((at, limit))) => Health {
            tone: if now.plus(SOON) > at {
                Tone::Limited
            } else {
                Tone::Good
            },
            word: "Works",
            because: format!("Until {} at the latest: {}.", time(at), limit.words()),
        },
        (None, None) => Health {
            tone: Tone::Good,
            word: "Works",
            because: "It renews itself until you disconnect it.".to_owned(),
        },
    }
}

/// From when on the end is worth a warning.
const SOON: std::time::Duration = std::time::Duration::from_hours(7 * 24);

/// Why the access that the person gave is of no use any more, and what to do.
pub(super) fn lost(reason: Option<&str>, provider: &str) -> String {
    match reason {
        Some("invalid_grant") => format!(
            "{provider} no longer accepts it. It was withdrawn there, or had not been used for too long. Connect it again."
        ),
        Some("provider_changed") => format!(
            "How {provider} is set up here has changed since you agreed, so what you agreed to is not used any more. \
             Connect it again."
        ),
        Some("expired_without_refresh_token") => {
            format!("{provider} gave access for a limited time and no way to renew it. Connect it again.")
        }
        _ => format!("The access could not be renewed at {provider}. Connect it again."),
    }
}
