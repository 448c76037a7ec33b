//! Who is stopped, as the identity service says (design D23). The gateway may neither read that service's
//! database nor call its API; it follows a list at the front channel, which is given to whoever shows a
//! token signed by this gateway. A list that cannot be read stops everybody rather than nobody.
//!
//! The way back is the same: where configuration says so, a back-channel logout of the identity provider becomes a
//! stop there.

use std::collections::HashSet;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use countersign_crypto::{SharedClock, Timestamp, UserKey, parse_strict_json, published_user_id};
use countersign_outbound::{Client, HostPort, OutboundError, Policy, Request};
use countersign_web::tls::pem;
use http::StatusCode;
use serde::Deserialize;
use tokio::sync::watch;

use crate::claims_header::ClaimsHeaders;
use crate::config::{self, ConfigError};
use crate::reason::Reason;
use crate::session::Login;

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
    /// By user key.
    users: HashSet<UserKey>,
    /// By published user id.
    published: HashSet<String>,
}

impl Read {
    fn of(document: Document, at: Timestamp) -> Self {
        let (mut users, mut published) = (HashSet::new(), HashSet::new());
        for user in document.users {
            match UserKey::from_hex(&user) {
                Ok(key) => drop(users.insert(key)),
                Err(_) => drop(published.insert(user)),
            }
        }
        Self {
            at,
            account: document.account,
            users,
            published,
        }
    }

    fn stops(&self, login: &Login) -> bool {
        self.account
            || (!self.users.is_empty() && self.users.contains(&login.user_key()))
            || (!self.published.is_empty()
                && self
                    .published
                    .contains(&published_user_id(&login.issuer, &login.subject)))
    }
}

/// See the module.
pub(crate) struct StopList {
    /// `None`: nothing can be stopped, because no identity service stands behind this gateway.
    follows: Option<Follows>,
    read: RwLock<Option<Read>>,
    /// Whether it has been read at all.
    known: watch::Sender<bool>,
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
            let refuse = |key: &str, fault: String| ConfigError::new(format!("stop_list{key}"), fault);
            let authority = config.certificate_authority.as_deref();
            let trust_root = authority
                .map(pem)
                .transpose()
                .map_err(|error| refuse(".certificate_authority", error.to_string()))?;
            let policy = Policy {
                allow: allow.to_vec(),
                connect_timeout: TIMEOUT,
                timeout: TIMEOUT,
                trust_root,
                ..Policy::default()
            };
            let client = Client::new(policy).map_err(|error| refuse("", error.to_string()))?;
            let config = config.clone();
            Ok::<_, ConfigError>(Follows { config, client })
        });
        Ok(Self {
            follows: follows.transpose()?,
            read: RwLock::default(),
            known: watch::Sender::new(false),
            clock: clock.clone(),
        })
    }

    /// Whether a person is stopped, themselves or with the whole account.
    pub(crate) fn check(&self, login: &Login) -> Result<Stopped, Reason> {
        let Some(follows) = &self.follows else {
            return Ok(Stopped::No);
        };
        let read = self.read.read().unwrap_or_else(PoisonError::into_inner);
        let max_age = Duration::from_secs(follows.config.max_age_seconds);
        let read = read
            .as_ref()
            .filter(|read| self.clock.now().since(read.at) <= max_age)
            .ok_or(Reason::StopListUnavailable)?;
        Ok(if read.stops(login) {
            Stopped::Yes
        } else {
            Stopped::No
        })
    }

    /// Waits until the list has been read for the first time.
    pub(crate) async fn first_reading(&self) {
        if self.follows.is_some() {
            let mut known = self.known.subscribe();
            // It ends only with the list itself.
            let _ = known.wait_for(|known| *known).await;
        }
    }

    /// Has the identity service stop a person whom their identity provider has logged out.
    pub(crate) async fn stop(
        &self,
        user_key: &UserKey,
        tokens: impl Fn(&str) -> Option<String>,
    ) -> Result<(), Reason> {
        let follows = self.follows.as_ref().ok_or(Reason::StopListUnavailable)?;
        follows.stop(user_key, tokens).await.map_err(|error| {
            tracing::error!(%error, "a person who was logged out cannot be stopped");
            Reason::StopListUnavailable
        })
    }

    /// Follows the list until the future is dropped.
    pub(crate) async fn follow(self: Arc<Self>, tokens: impl Fn(&str) -> Option<String>) {
        let Some(follows) = &self.follows else { return };
        let mut failing = false;
        loop {
            let began = self.clock.now();
            match follows.read(&tokens).await {
                Ok(document) => {
                    let read = Read::of(document, began);
                    *self.read.write().unwrap_or_else(PoisonError::into_inner) = Some(read);
                    self.known.send_replace(true);
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

    async fn stop(
        &self,
        user_key: &UserKey,
        tokens: impl Fn(&str) -> Option<String>,
    ) -> Result<(), ReadError> {
        let token = tokens(&self.config.audience).ok_or(ReadError::Token)?;
        let request = Request::post(self.config.url.clone())
            .bearer(&token)
            .max_bytes(MAX_BYTES)
            .json(&serde_json::json!({ "userKey": user_key.to_hex() }))
            .map_err(|_| ReadError::Malformed)?;
        let response = self.client.send(request).await?;
        match response.status {
            StatusCode::NO_CONTENT => Ok(()),
            status => Err(ReadError::Status(status)),
        }
    }
}

/// Tokens of the gateway's own for the list.
pub(crate) fn own_tokens(headers: Arc<ClaimsHeaders>) -> impl Fn(&str) -> Option<String> {
    move |audience| headers.own_token(audience).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, json};

    use super::*;

    fn login(subject: &str) -> Login {
        Login {
            application: String::new(),
            issuer: "https://idp.example".to_owned(),
            subject: subject.to_owned(),
            idp_sid: None,
            auth_time: Timestamp::from_secs(0),
            claims: Map::new(),
            access_token: "a".into(),
            access_expires_at: None,
            refresh_token: None,
            id_token: "i".into(),
        }
    }

    #[test]
    fn a_person_is_stopped_under_either_name_or_with_everybody() {
        let key = UserKey::jwt("https://idp.example", "alice").to_hex();
        let published = published_user_id("https://idp.example", "bob");
        let read = |document: serde_json::Value| {
            let document = serde_json::from_value(document).expect("a stop list");
            Read::of(document, Timestamp::from_secs(0))
        };
        let some = read(json!({ "account": false, "users": [key, published] }));
        assert!(some.stops(&login("alice")) && some.stops(&login("bob")));
        assert!(!some.stops(&login("carol")));
        assert!(read(json!({ "account": true, "users": [] })).stops(&login("carol")));
        assert!(!read(json!({ "account": false, "users": [] })).stops(&login("alice")));
    }
}
