//! Where the API is and who calls it: the variables that AWS SDKs read, which `countersign dev --env-file` writes.

use std::sync::Arc;

use anyhow::Context as _;
use countersign_api::{Client, Credentials};
use countersign_crypto::{Clock as _, SystemClock};
use secrecy::SecretString;
use url::Url;

use crate::roles;

/// The endpoint of the control plane; ours serves both planes there.
const ENDPOINT: &str = "AWS_ENDPOINT_URL_BEDROCK_AGENTCORE_CONTROL";

/// Connects as the environment says.
///
/// # Errors
/// Names the missing variable and how to get it.
pub(crate) fn connect() -> anyhow::Result<Client> {
    let endpoint = Url::parse(&variable(ENDPOINT)?).with_context(|| format!("{ENDPOINT} is not a URL"))?;
    let credentials = Credentials {
        access_key_id: variable("AWS_ACCESS_KEY_ID")?,
        secret_access_key: SecretString::from(variable("AWS_SECRET_ACCESS_KEY")?),
        session_token: optional("AWS_SESSION_TOKEN").map(SecretString::from),
    };
    let region = optional("AWS_REGION")
        .or_else(|| optional("AWS_DEFAULT_REGION"))
        .unwrap_or_else(|| "us-east-1".into());
    let outbound = roles::operator_client(std::slice::from_ref(&endpoint))?;
    Ok(Client::new(
        endpoint,
        region,
        credentials,
        outbound,
        Arc::new(|| SystemClock.now().as_secs()),
    ))
}

/// Whether the environment names a server.
pub(crate) fn is_configured() -> bool {
    optional(ENDPOINT).is_some()
}

#[expect(
    clippy::disallowed_methods,
    reason = "the AWS variables of an administration command"
)]
fn optional(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn variable(name: &str) -> anyhow::Result<String> {
    optional(name).with_context(|| {
        format!("{name} is not set; source the file of `countersign dev --env-file FILE`, or set the AWS variables")
    })
}
