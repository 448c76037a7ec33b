//! Asking an authorization server whether a token still lives (RFC 7662).
//!
//! It is how the outcome of a refresh is found out whose answer was lost: a single-use refresh token that is still
//! active was never used, and may be sent again.

use countersign_crypto::{ExposeSecret as _, SecretString, parse_strict_json};
use countersign_outbound::Request;
use serde_json::Value;

use crate::token::{TokenEndpoint, TokenError};
use crate::vendor::Body;

/// Largest answer, bytes.
const MAX_BYTES: usize = 64 * 1024;

/// Whether the server at the introspection endpoint (`endpoint.url`) holds the refresh token for active (RFC 7662
/// section 2.2). An answer that does not say so is [malformed](TokenError::Malformed): it is no answer.
#[tracing::instrument(name = "oauth.introspect", skip_all, fields(server.address = endpoint.url.host_str()), err(level = "warn"))]
pub async fn is_active_refresh_token(
    endpoint: &TokenEndpoint<'_>,
    token: &SecretString,
) -> Result<bool, TokenError> {
    let fields = [
        ("token", token.expose_secret()),
        ("token_type_hint", "refresh_token"),
    ];
    let post = Request::post(endpoint.url.clone())
        .accept_json()
        .max_bytes(MAX_BYTES);
    let request = endpoint
        .authentication
        .write(post, Body::Form, endpoint.client_id, &fields);
    let response = endpoint.client.send(request).await?;
    if response.status != http::StatusCode::OK {
        return Err(TokenError::Status(response.status.as_u16()));
    }
    let answer = parse_strict_json(&response.body).map_err(|_| TokenError::Malformed("not JSON"))?;
    answer
        .get("active")
        .and_then(Value::as_bool)
        .ok_or(TokenError::Malformed("no boolean `active`"))
}

#[cfg(test)]
mod tests {
    use countersign_outbound::{Client, Policy};
    use wiremock::matchers::{body_string, header, method, path};
    use wiremock::{Mock, MockServer, ResponseTemplate};

    use super::*;
    use crate::client_auth::ClientAuthentication;
    use crate::vendor::Dialect;

    async fn answer(status: u16, body: &str) -> Result<bool, TokenError> {
        let server = MockServer::start().await;
        Mock::given(method("POST"))
            .and(path("/introspect"))
            .and(header("authorization", "Basic Y2xpZW50OnNlY3JldA=="))
            .and(body_string("token=the+token&token_type_hint=refresh_token"))
            .respond_with(ResponseTemplate::new(status).set_body_raw(body, "application/json"))
            .mount(&server)
            .await;
        let url = url::Url::parse(&format!("{}/introspect", server.uri())).expect("a URL");
        let client = Client::new(Policy {
            allow: vec![url.authority().parse().expect("host and port")],
            ..Policy::default()
        })
        .expect("a client");
        let endpoint = TokenEndpoint {
            client: &client,
            url: &url,
            client_id: "client",
            authentication: &ClientAuthentication::Basic("secret".to_owned().into()),
            dialect: &Dialect::STANDARD,
        };
        is_active_refresh_token(&endpoint, &"the token".to_owned().into()).await
    }

    #[tokio::test]
    async fn only_a_plain_yes_or_no_counts() {
        assert_eq!(answer(200, r#"{"active":true,"scope":"x"}"#).await, Ok(true));
        assert_eq!(answer(200, r#"{"active":false}"#).await, Ok(false));
        for (status, body) in [
            (200, "{}"),
            (200, r#"{"active":"true"}"#),
            (200, r#"{"active":true,"active":false}"#),
            (200, "<html>"),
            (404, r#"{"active":false}"#),
            (503, r#"{"active":false}"#),
        ] {
            answer(status, body).await.expect_err(body);
        }
    }
}
