//! Ledgerline: a third-party service with users, a consent page and an API of its own. A small issue
//! tracker, standing in for whatever the agent reads on somebody's behalf.

mod api;
mod home;
mod issues;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::{get, post};

pub(crate) use issues::Issue;

use crate::authorization_server::{AuthorizationServer, Profile, Rules};
use crate::page::{Brand, Scope};
use crate::people::LEDGERLINE_USERS;
use crate::saved::Saved;
use crate::{Client, Parts, PlaygroundError};
use issues::Issues;

const BRAND: Brand = Brand {
    name: "Ledgerline",
    tagline: "issue tracker",
    mark: "L",
    class: "ledgerline",
};

const READ: &str = "issues:read";
const WRITE: &str = "issues:write";
const SCOPES: [Scope<'static>; 2] = [
    Scope {
        name: READ,
        words: "read your issues",
    },
    Scope {
        name: WRITE,
        words: "create issues in your name",
    },
];

/// What Ledgerline needs to know.
#[derive(Debug, Clone)]
pub struct LedgerlineConfig {
    /// `http://LOOPBACK:PORT`, where browsers, the identity service and the agent reach it.
    pub issuer: String,
    /// Who may ask its people for access.
    pub clients: Vec<Client>,
    /// How long access tokens live. Two minutes by default, so that refreshing is seen.
    pub access_token_lifetime: Duration,
    /// Directory for its files; `None` keeps everything in memory.
    pub data: Option<PathBuf>,
}

/// Two minutes, no clients, everything in memory; the issuer is still to be set.
impl Default for LedgerlineConfig {
    fn default() -> Self {
        Self {
            issuer: String::new(),
            clients: Vec::new(),
            access_token_lifetime: Duration::from_mins(2),
            data: None,
        }
    }
}

/// The service.
pub struct Ledgerline(Arc<Shared>);

struct Shared {
    server: Arc<AuthorizationServer>,
    issues: Saved<Issues>,
}

impl Ledgerline {
    /// Reads its files, or makes them and the issues that alice and bob begin with.
    pub fn new(config: LedgerlineConfig, parts: Parts) -> Result<Self, PlaygroundError> {
        let profile = Profile {
            name: "ledgerline",
            brand: BRAND,
            accounts: &LEDGERLINE_USERS,
            scopes: &SCOPES,
            openid: false,
            asks_consent: true,
            access_token_lifetime: config.access_token_lifetime,
            rules: Rules::OWN,
        };
        let data = config.data.as_deref();
        let now = parts.clock.now();
        let server = AuthorizationServer::new(profile, &config.issuer, config.clients, None, data, parts)?;
        let issues = Saved::open(data, "ledgerline-issues.json", || Issues::seed(now))?;
        Ok(Self(Arc::new(Shared {
            server: Arc::new(server),
            issues,
        })))
    }

    /// Adds a client, or replaces the one with the same id, while running: an identity service that learns
    /// of Ledgerline by discovery has its callback address only afterwards.
    pub fn register_client(&self, client: Client) -> Result<(), PlaygroundError> {
        self.0.server.register_client(client)
    }

    /// All its endpoints, pages and the API.
    pub fn router(&self) -> Router {
        let own = Router::new()
            .route("/", get(home::get))
            .route("/disconnect", post(home::disconnect))
            .route("/logout", post(home::log_out))
            .route("/api/issues", get(api::list).post(api::create))
            .route("/api/issues/{key}", get(api::read))
            .with_state(Arc::clone(&self.0));
        self.0.server.router(own)
    }
}
