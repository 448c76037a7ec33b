//! Temporary credentials as the endpoints of a container and of an instance give them: one JSON document.
//! <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-iam-roles.html>

use countersign_outbound::{Client, Request, Response};
use secrecy::SecretString;
use serde::Deserialize;

use super::{CredentialsError, Held, epoch_seconds};
use crate::sigv4::Credentials;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Document {
    access_key_id: String,
    secret_access_key: SecretString,
    token: SecretString,
    expiration: String,
}

/// Asks `place`, whose refusals have no body that helps.
pub(super) async fn ask(
    http: &Client,
    request: Request,
    place: &'static str,
) -> Result<Response, CredentialsError> {
    let response = http.send(request).await?;
    if response.status.is_success() {
        return Ok(response);
    }
    Err(CredentialsError::Refused {
        place,
        status: response.status,
        code: String::new(),
    })
}

/// The credentials in the answer of `place`.
pub(super) fn read(response: &Response, place: &'static str) -> Result<Held, CredentialsError> {
    let malformed = || CredentialsError::Malformed(place);
    let document: Document = serde_json::from_slice(&response.body).map_err(|_| malformed())?;
    Ok(Held {
        expires_at: epoch_seconds(&document.expiration).ok_or_else(malformed)?,
        credentials: Credentials {
            access_key_id: document.access_key_id,
            secret_access_key: document.secret_access_key,
            session_token: Some(document.token),
        },
        failed_at: None,
    })
}
