//! What goes wrong with models.

use std::time::Duration;

/// A model gave no usable answer. Its text is for the log: a vendor's words may quote the prompt, and are left out.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ModelError {
    /// Rate or quota.
    #[error("the model's vendor asks for fewer requests ({status})")]
    Busy { status: u16, after: Option<Duration> },
    /// Down, or not reachable.
    #[error("the model cannot be reached: {0}")]
    Unavailable(String),
    /// The key, its rights or the model's name.
    #[error("the model's vendor refuses this agent: {0}")]
    Refused(String),
    /// What was sent.
    #[error("the model's vendor refuses the request: {0}")]
    Invalid(String),
    /// What came back.
    #[error("the model's answer is not of its form: {0}")]
    Malformed(String),
    #[error("the model's answer broke off")]
    CutShort,
    /// The vendor's filter.
    #[error("the model's vendor filtered the answer")]
    Filtered,
    #[error("the model said nothing for {} s", .0.as_secs())]
    Timeout(Duration),
}

impl ModelError {
    /// Whether the same request may well succeed in a moment.
    pub(crate) fn is_passing(&self) -> bool {
        matches!(self, Self::Busy { .. } | Self::Unavailable(_))
    }

    /// What an HTTP status of a vendor means.
    pub(crate) fn of_status(status: u16, after: Option<Duration>) -> Self {
        match status {
            // Anthropic's own for an overloaded service.
            429 | 529 => Self::Busy { status, after },
            401 | 403 | 404 => Self::Refused(format!("status {status}")),
            500.. | 408 => Self::Unavailable(format!("status {status}")),
            _ => Self::Invalid(format!("status {status}")),
        }
    }

    /// A code for programs and words for the person.
    pub(crate) fn for_person(&self) -> (&'static str, &'static str) {
        match self {
            Self::Busy { .. } => (
                "model_busy",
                "The model is overloaded at the moment. Please try again in a minute.",
            ),
            Self::Unavailable(_) => (
                "model_unavailable",
                "The model cannot be reached at the moment. Please try again in a minute.",
            ),
            Self::Refused(_) => (
                "model_refused",
                "The model's vendor does not accept this agent. Its administrator has to look at the model's name and key.",
            ),
            Self::Invalid(_) | Self::Malformed(_) => {
                ("model", "The model gave no usable answer. Please try again.")
            }
            Self::CutShort => (
                "model_cut_short",
                "The model's answer broke off. Please try again.",
            ),
            Self::Filtered => (
                "model_filtered",
                "The model's vendor did not let this answer through. Please ask in other words.",
            ),
            Self::Timeout(_) => (
                "model_timeout",
                "The model did not answer in time. Please try again.",
            ),
        }
    }
}

/// The configuration names no model that could be used.
#[derive(Debug, thiserror::Error)]
pub enum InvalidModel {
    /// Not `offline` and not `<vendor>:<name>[@URL]`.
    #[error("model must be `offline` or `<vendor>:<name>[@URL]`")]
    Form,
    /// A vendor that is not built in.
    #[error("unknown model vendor `{0}`; known are openai, anthropic, google, ollama and bedrock")]
    Vendor(String),
    /// The vendor wants a key.
    #[error("model vendor `{0}` needs `model_api_key`")]
    ApiKey(&'static str),
    /// Amazon Bedrock was left out of this binary.
    #[error("this binary was built without Amazon Bedrock: build it with `--features bedrock`")]
    NotBuiltIn,
    /// No region is known.
    #[error("Amazon Bedrock needs `model_region`, an ARN as the model's name, or the AWS variables")]
    Region,
    /// A limit in money without a price.
    #[error("limits.cost_usd needs limits.input_usd_per_million and limits.output_usd_per_million")]
    Price,
    /// A limit that stops every turn before it begins.
    #[error("limits.{0} must be at least {1}")]
    Limit(&'static str, u64),
    /// The HTTP client could not be made.
    #[error("model client: {0}")]
    Client(String),
}
