//! A small client of the API, for the binding service, the agent, the command line and tests.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use countersign_outbound as outbound;
use http::{HeaderValue, StatusCode, header};
use url::Url;

use crate::credentials::{CredentialSource, CredentialsError};
use crate::error::{ApiError, ErrorCode};
use crate::operation::{Operation, to_request};
use crate::sigv4::{self, SigningError};

/// Epoch seconds, from wherever the process has its clock.
pub type NowSecs = Arc<dyn Fn() -> i64 + Send + Sync>;

/// Attempts after the first.
const RETRIES: u32 = 2;
/// Before the first retry; doubled before the next.
const BACKOFF: Duration = Duration::from_millis(100);
/// Longest wait that a `Retry-After` can ask for.
const LONGEST_WAIT: Duration = Duration::from_secs(2);
/// A token may have 131,072 characters, a page of audit records more.
const MAX_ANSWER: usize = 4 << 20;

/// A signed client of one identity API.
#[derive(Clone)]
pub struct Client {
    endpoint: Url,
    region: String,
    credentials: CredentialSource,
    http: outbound::Client,
    now_secs: NowSecs,
}

/// Why a call gave no output.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The service answered with an error.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// The service was not reached, or its answer did not arrive.
    #[error(transparent)]
    Transport(#[from] outbound::OutboundError),
    /// The answer is not of this API.
    #[error("unexpected answer with status {status}")]
    Unexpected {
        /// Its status.
        status: StatusCode,
    },
    /// The request could not be built.
    #[error("the request could not be built: {0}")]
    Request(String),
    /// There is nothing to sign it with at the moment.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
}

impl ClientError {
    /// The exception's code, if the service answered with one.
    #[must_use]
    pub fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Api(error) => Some(error.code),
            _ => None,
        }
    }
}

impl From<SigningError> for ClientError {
    fn from(error: SigningError) -> Self {
        Self::Request(error.to_string())
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client")
            .field("endpoint", &self.endpoint.as_str())
            .field("credentials", &self.credentials)
            .finish_non_exhaustive()
    }
}

impl Client {
    /// A client of the API at `endpoint`, whose path, if any, stands before the operations' own. `http` must
    /// be permitted to reach it. `credentials`: an access key, or a source of temporary ones.
    #[must_use]
    pub fn new(
        endpoint: Url,
        region: String,
        credentials: impl Into<CredentialSource>,
        http: outbound::Client,
        now_secs: NowSecs,
    ) -> Self {
        Self {
            endpoint,
            region,
            credentials: credentials.into(),
            http,
            now_secs,
        }
    }

    /// Calls `O`. Repeats it at most twice, where it was not processed (429, no connection) or may be
    /// repeated harmlessly (5xx and lost answers of idempotent operations).
    pub async fn call<O: Operation>(&self, input: &O::Input) -> Result<O::Output, ClientError> {
        let (path, body) = to_request::<O>(input).map_err(|error| ClientError::Request(error.to_string()))?;
        let (path, body) = (path.as_str(), Bytes::from(body));
        let mut wait = BACKOFF;
        for _ in 0..RETRIES {
            match self.attempt::<O>(path, body.clone()).await {
                Err(error) if may_repeat::<O>(&error) => {
                    tracing::debug!(operation = O::NAME, error = %error, "repeating");
                    tokio::time::sleep(longer(wait, &error)).await;
                    wait *= 2;
                }
                outcome => return outcome,
            }
        }
        self.attempt::<O>(path, body).await
    }

    async fn attempt<O: Operation>(&self, path: &str, body: Bytes) -> Result<O::Output, ClientError> {
        let mut url = self.endpoint.clone();
        let (path, query) = path
            .split_once('?')
            .map_or((path, None), |(path, query)| (path, Some(query)));
        url.set_path(&format!("{}{path}", self.endpoint.path().trim_end_matches('/')));
        url.set_query(query);
        let signed = self.signed::<O>(&url, body).await?;
        let (parts, body) = signed.into_parts();
        let request = outbound::Request {
            headers: parts.headers,
            body,
            ..outbound::Request::new(O::METHOD, url)
                .timeout(O::TIME)
                .max_bytes(MAX_ANSWER)
        };
        let response = self.http.send(request).await?;
        if response.status.is_success() {
            let body: &[u8] = if response.body.is_empty() {
                b"{}"
            } else {
                &response.body
            };
            return serde_json::from_slice(body).map_err(|_| ClientError::Unexpected {
                status: response.status,
            });
        }
        Err(match ApiError::from_http(&response.headers, &response.body) {
            Some(error) => ClientError::Api(error),
            None => ClientError::Unexpected {
                status: response.status,
            },
        })
    }

    async fn signed<O: Operation>(
        &self,
        url: &Url,
        body: Bytes,
    ) -> Result<http::Request<Bytes>, ClientError> {
        let credentials = self.credentials.current().await?;
        let mut request = http::Request::builder().method(O::METHOD).uri(url.as_str());
        if !body.is_empty() {
            request = request.header(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        let mut request = request
            .body(body)
            .map_err(|error| ClientError::Request(error.to_string()))?;
        sigv4::sign(
            &credentials,
            &self.region,
            O::SERVICE,
            &mut request,
            (self.now_secs)(),
        )?;
        Ok(request)
    }
}

fn may_repeat<O: Operation>(error: &ClientError) -> bool {
    match error {
        ClientError::Api(error) if error.code == ErrorCode::Throttling => true,
        ClientError::Api(error) => O::IDEMPOTENT && error.code.status().is_server_error(),
        ClientError::Unexpected { status } => O::IDEMPOTENT && status.is_server_error(),
        ClientError::Transport(outbound::OutboundError::Connect { .. }) => true,
        // Not time-outs: the caller has waited long enough.
        ClientError::Transport(outbound::OutboundError::Protocol { .. }) => O::IDEMPOTENT,
        ClientError::Transport(_) | ClientError::Request(_) | ClientError::Credentials(_) => false,
    }
}

fn longer(wait: Duration, error: &ClientError) -> Duration {
    let asked = match error {
        ClientError::Api(error) => error.retry_after.map(Duration::from_secs),
        _ => None,
    };
    wait.max(asked.unwrap_or_default()).min(LONGEST_WAIT)
}
