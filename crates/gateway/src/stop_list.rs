//! Who is stopped, as the identity service says (design D23). The gateway may neither read that service's
//! database nor call its API; it follows a list at the front channel, which is given to whoever shows a
//! token signed by this gateway. A list that cannot be read stops everybody rather than nobody.

use std::collections::HashSet;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use countersign_crypto::{SharedClock, Timestamp, UserKey, parse_strict_json};
use countersign_outbound::{Client, HostPort, OutboundError, Policy, Request};
use http::StatusCode;
use serde::Deserialize;

use crate::claims_header::ClaimsHeaders;
use crate::config::{self, ConfigError};
use crate::reason::Reason;

/// Between two readings: with the list's own age a stop is effective within a second.
const EVERY: Duration = Duration::from_millis(400);
const TIMEOUT: Duration = Duration::from_secs(2);
/// A stop takes about 70 bytes.
const MAX_BYTES: usize = 8 * 1024 * 1024;

/// Whether a person is stopped.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Stopped {
    Yes,
    No,
}

/// The list as it was last read.
struct Read {
    at: Timestamp,
    account: bool,
    users: HashSet<UserKey>,
}

/// See the module.
pub(crate) struct StopList {
    /// `None`: nothing can be stopped, because no identity service stands behind this gateway.
    follows: Option<Follows>,
    read: RwLock<Option<Read>>,
    clock: SharedClock,
}

struct Follows {
    config: config::StopList,
    client: Client,
}

/// The list as it is served.
#[derive(Deserialize)]
struct Document {
    account: bool,
    users: Vec<String>,
}

#[derive(Debug, thiserror::Error)]
enum ReadError {
    #[error(transparent)]
    Outbound(#[from] OutboundError),
    #[error("status {0}")]
    Status(StatusCode),
    #[error("not a stop list")]
    Malformed,
    #[error("no token to show")]
    Token,
}

impl StopList {
    pub(crate) fn new(
        config: Option<&config::StopList>,
        allow: &[HostPort],
        clock: &SharedClock,
    ) -> Result<Self, ConfigError> {
        let follows = config.map(|config| {
            let policy = Policy {
                allow: allow.to_vec(),
                connect_timeout: TIMEOUT,
                timeout: TIMEOUT,
                ..Policy::default()
            };
            let client =
                Client::new(policy).map_err(|error| ConfigError::new("stop_list", error.to_string()))?;
            let config = config.clone();
            Ok::<_, ConfigError>(Follows { config, client })
        });
        Ok(Self {
            follows: follows.transpose()?,
            read: RwLock::default(),
            clock: clock.clone(),
        })
    }

    /// Whether a person is stopped, themselves or with the whole account.
    pub(crate) fn check(&self, user_key: &UserKey) -> Result<Stopped, Reason> {
        let Some(follows) = &self.follows else {
            return Ok(Stopped::No);
        };
        let read = self.read.read().unwrap_or_else(PoisonError::into_inner);
        let max_age = Duration::from_secs(follows.config.max_age_seconds);
        let read = read
            .as_ref()
            .filter(|read| self.clock.now().since(read.at) <= max_age)
            .ok_or(Reason::StopListUnavailable)?;
        let stopped = read.account || read.users.contains(user_key);
        Ok(if stopped { Stopped::Yes } else { Stopped::No })
    }

    /// Follows the list until the future is dropped.
    pub(crate) async fn follow(self: Arc<Self>, tokens: impl Fn(&str) -> Option<String>) {
        let Some(follows) = &self.follows else { return };
        let mut failing = false;
        loop {
            let began = self.clock.now();
            match follows.read(&tokens).await {
                Ok(document) => {
                    let read = Read {
                        at: began,
                        account: document.account,
                        users: document
                            .users
                            .iter()
                            .filter_map(|key| UserKey::from_hex(key).ok())
                            .collect(),
                    };
                    *self.read.write().unwrap_or_else(PoisonError::into_inner) = Some(read);
                    failing = false;
                }
                Err(error) if !failing => {
                    tracing::warn!(%error, "the stop list cannot be read");
                    failing = true;
                }
                Err(_) => {}
            }
            tokio::time::sleep(EVERY).await;
        }
    }
}

impl Follows {
    async fn read(&self, tokens: impl Fn(&str) -> Option<String>) -> Result<Document, ReadError> {
        let token = tokens(&self.config.audience).ok_or(ReadError::Token)?;
        let request = Request::get(self.config.url.clone())
            .accept_json()
            .bearer(&token)
            .max_bytes(MAX_BYTES);
        let response = self.client.send(request).await?;
        if response.status != StatusCode::OK {
            return Err(ReadError::Status(response.status));
        }
        let document = parse_strict_json(&response.body).map_err(|_| ReadError::Malformed)?;
        serde_json::from_value(document).map_err(|_| ReadError::Malformed)
    }
}

/// Tokens of the gateway's own for the list.
pub(crate) fn own_tokens(headers: Arc<ClaimsHeaders>) -> impl Fn(&str) -> Option<String> {
    move |audience| headers.own_token(audience).ok()
}
