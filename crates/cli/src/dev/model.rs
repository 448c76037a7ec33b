//! Which model `dev` runs the agent with.

use countersign_crypto::SecretString;

/// A model and the key its vendor wants.
pub(super) struct Model {
    /// As the agent's configuration writes it.
    pub(super) name: String,
    pub(super) api_key: Option<SecretString>,
}

impl Model {
    /// `auto` is what `COUNTERSIGN_MODEL` names, else the offline one: nothing is spent unless somebody says so.
    pub(super) fn of(argument: &str) -> Self {
        let name = match argument {
            "auto" => variable("COUNTERSIGN_MODEL").unwrap_or_else(|| "offline".to_owned()),
            name => name.to_owned(),
        };
        let api_key = match name.split_once(':').map(|(vendor, _)| vendor) {
            Some("openai") => variable("OPENAI_API_KEY"),
            Some("anthropic") => variable("ANTHROPIC_API_KEY"),
            // Without one, the AWS SDK's own chain.
            Some("bedrock") => variable("AWS_BEARER_TOKEN_BEDROCK"),
            Some("google") => variable("GEMINI_API_KEY").or_else(|| variable("GOOGLE_API_KEY")),
            _ => None,
        };
        Self {
            name,
            api_key: api_key.map(SecretString::from),
        }
    }
}

/// The vendors' own variables, as their SDKs read them.
#[expect(clippy::disallowed_methods, reason = "cli alone reads the environment")]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
