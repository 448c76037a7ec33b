//! Why a turn ended without an answer: the cause for the log, a code and words for the person.

use countersign_api::{ClientError, ErrorCode};

use std::borrow::Cow;

use super::TURN_LIMIT;
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
    #[error("the model wanted more than {0} steps")]
    Steps(u32),
    #[error("the turn has used up its budget")]
    Budget,
    #[error("the model's answer reached its limit in tokens")]
    AnswerLimit,
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
        matches!(
            self,
            Self::Replaced | Self::Stopped | Self::Draining | Self::AnswerLimit
        )
    }

    /// A code for programs and words for the person. Causes stay in the log.
    pub(crate) fn for_person(&self) -> (&'static str, Cow<'static, str>) {
        if let Self::Steps(steps) = self {
            let words = format!(
                "The model took more than the {steps} steps that one question may take, so the agent stopped it."
            );
            return ("too_many_steps", words.into());
        }
        let (code, words) = self.words();
        (code, words.into())
    }

    fn words(&self) -> (&'static str, &'static str) {
        match self {
            Self::Store(StoreError::TooLarge) | Self::Full(_) => (
                "conversation_full",
                "This conversation has become too long. Please begin a new one.",
            ),
            Self::Store(StoreError::TooMany) => (
                "too_many_conversations",
                "You have as many conversations as one may keep. Please delete some, then ask again.",
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
            Self::Model(error) => error.for_person(),
            Self::Steps(_) => (
                "too_many_steps",
                "The model took too many steps, so the agent stopped.",
            ),
            Self::Budget => (
                "budget",
                "This has used up what one question may cost, so the agent stopped here. Please ask for less at once.",
            ),
            Self::AnswerLimit => (
                "answer_limit",
                "The answer stops here because it reached the longest that one may be. Ask for the rest if you need it.",
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
