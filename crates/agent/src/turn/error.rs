//! Why a turn ended without an answer: the cause for the log, a code and words for the person.

use countersign_api::{ClientError, ErrorCode};

use super::{MOST_STEPS, TURN_LIMIT};
use crate::conversation::{ConversationFull, StoreError};
use crate::model::ModelError;
use crate::turns::Ended;

/// Why a turn ended without an answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TurnError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Full(#[from] ConversationFull),
    #[error("identity service: {0}")]
    Identity(#[from] ClientError),
    #[error("identity service answered unusably: {0}")]
    Answer(&'static str),
    #[error(transparent)]
    Model(#[from] ModelError),
    #[error("the model wanted more than {MOST_STEPS} steps")]
    Steps,
    #[error("the turn took longer than {} min", TURN_LIMIT.as_secs() / 60)]
    TooLong,
    #[error("a newer message replaced the turn")]
    Replaced,
    #[error("the person stopped the turn")]
    Stopped,
    #[error("the process is stopping")]
    Draining,
}

impl From<Ended> for TurnError {
    fn from(ended: Ended) -> Self {
        match ended {
            Ended::Replaced => Self::Replaced,
            Ended::Stopped => Self::Stopped,
        }
    }
}

impl TurnError {
    /// Whether it is nothing to warn about.
    pub(crate) fn is_expected(&self) -> bool {
        matches!(self, Self::Replaced | Self::Stopped | Self::Draining)
    }

    /// A code for programs and words for the person. Causes stay in the log.
    pub(crate) fn for_person(&self) -> (&'static str, &'static str) {
        match self {
            Self::Store(StoreError::TooLarge) | Self::Full(_) => (
                "conversation_full",
                "This conversation has become too long. Please begin a new one.",
            ),
            Self::Store(_) => (
                "conversations",
                "The conversation could not be read or saved. Please try again.",
            ),
            Self::Identity(error) => match error.code() {
                Some(ErrorCode::AccessDenied) => (
                    "access_denied",
                    "This agent may not act for you at the moment. If that surprises you, ask your administrator.",
                ),
                Some(ErrorCode::Unauthorized) => (
                    "sign_in",
                    "Your sign-in could not be confirmed. Load the page again to sign in.",
                ),
                _ => (
                    "identity_unavailable",
                    "The identity service could not be reached. Please try again in a moment.",
                ),
            },
            Self::Answer(_) => (
                "identity_unavailable",
                "The identity service gave an answer this agent does not trust, so it stopped.",
            ),
            Self::Model(_) => ("model", "The model gave no usable answer. Please try again."),
            Self::Steps => (
                "too_many_steps",
                "The model did not come to an end, so the agent stopped it.",
            ),
            Self::TooLong => (
                "too_long",
                "This took too long, so the agent stopped. Please ask again.",
            ),
            Self::Replaced => ("replaced", "A newer message took this one's place."),
            Self::Stopped => ("stopped", "Stopped."),
            Self::Draining => (
                "restarting",
                "The agent is restarting. Please ask again in a moment.",
            ),
        }
    }
}
