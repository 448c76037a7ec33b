//! What the server knows of browsers: login sessions, and authorization requests under way. In memory only:
//! a restart asks people to sign in again, and to start again what they had not finished.

use std::collections::BTreeMap;
use std::time::Duration;

use countersign_crypto::Timestamp;

const SESSION_LIFETIME: Duration = Duration::from_hours(8);
const INTERACTION_LIFETIME: Duration = Duration::from_mins(10);
/// Strangers can open authorization requests; the oldest make room.
const MAX_INTERACTIONS: usize = 2_000;

/// Somebody signed in at some browser.
#[derive(Debug, Clone)]
pub(super) struct Session {
    pub(super) username: String,
    pub(super) authenticated_at: Timestamp,
}

/// An authorization request that was found good, waiting for login and consent.
#[derive(Debug, Clone)]
pub(super) struct Interaction {
    /// The browser cookie of who began it: nobody else goes on with it.
    pub(super) browser: String,
    pub(super) client_id: String,
    pub(super) redirect_uri: String,
    pub(super) state: Option<String>,
    pub(super) scopes: Vec<String>,
    /// `None` where the server knows no PKCE.
    pub(super) code_challenge: Option<String>,
    pub(super) nonce: Option<String>,
    /// Whether a refresh token was asked for, and the rules' mark.
    pub(super) offline: bool,
    pub(super) marked: bool,
    /// Logins before this time do not count (`prompt=login`, `max_age`).
    pub(super) not_before: Option<Timestamp>,
    pub(super) started_at: Timestamp,
}

impl Interaction {
    /// Whether this login is recent enough.
    pub(super) fn accepts(&self, session: &Session) -> bool {
        self.not_before
            .is_none_or(|not_before| session.authenticated_at >= not_before)
    }
}

#[derive(Debug, Default)]
pub(super) struct Visits {
    pub(super) sessions: BTreeMap<String, Session>,
    interactions: BTreeMap<String, Interaction>,
}

impl Visits {
    pub(super) fn session(&self, id: &str, now: Timestamp) -> Option<Session> {
        let session = self.sessions.get(id)?;
        (now.since(session.authenticated_at) < SESSION_LIFETIME).then(|| session.clone())
    }

    pub(super) fn begin(&mut self, id: String, interaction: Interaction) {
        let now = interaction.started_at;
        self.interactions
            .retain(|_, other| now.since(other.started_at) < INTERACTION_LIFETIME);
        self.sessions
            .retain(|_, session| now.since(session.authenticated_at) < SESSION_LIFETIME);
        if self.interactions.len() >= MAX_INTERACTIONS {
            let oldest = self.interactions.iter().min_by_key(|(_, other)| other.started_at);
            if let Some(id) = oldest.map(|(id, _)| id.clone()) {
                self.interactions.remove(&id);
            }
        }
        self.interactions.insert(id, interaction);
    }

    /// An interaction of this browser.
    pub(super) fn interaction(&self, id: &str, browser: Option<&str>, now: Timestamp) -> Option<Interaction> {
        let interaction = self.interactions.get(id)?;
        let alive = now.since(interaction.started_at) < INTERACTION_LIFETIME;
        (alive && browser == Some(interaction.browser.as_str())).then(|| interaction.clone())
    }

    /// Ends an interaction; `false` when somebody else just did.
    pub(super) fn end(&mut self, id: &str) -> bool {
        self.interactions.remove(id).is_some()
    }
}
