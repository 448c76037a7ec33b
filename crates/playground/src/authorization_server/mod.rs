//! The engine: an OAuth 2.0 authorization server, and an OpenID provider where the profile says so.

mod authorize;
mod bearer;
mod consent;
mod end_session;
mod grants;
mod id_token;
mod journal;
mod login;
mod metadata;
mod redirect;
mod revoke;
mod token;
mod userinfo;
mod visits;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use axum::Router;
use axum::response::Response;
use axum::routing::{get, post};
use countersign_crypto::{SharedClock, SharedRandom, Timestamp};
use countersign_web::{Edge, ErrorFormat, HostAllowList, cookie};
use http::{HeaderMap, StatusCode};

pub(crate) use bearer::BearerError;
pub(crate) use grants::{Grant, GrantError, Issued, Redeemed};
pub use id_token::IdTokenAlgorithm;

use crate::client::{self, Client, Clients};
use crate::loopback::issuer_host;
use crate::page::{Brand, MessagePage, Scope, render};
use crate::people::{self, Account};
use crate::saved::Saved;
use crate::{Parts, PlaygroundError};
use grants::Grants;
use id_token::IdTokenKey;
use journal::Journal;
use visits::{Session, Visits};

/// Largest request body, bytes.
const MAX_BODY_BYTES: usize = 64 * 1024;

/// What makes one service of the playground different from the other.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Profile {
    /// Name of the listener in logs, and stem of the file its grants are kept in.
    pub(crate) name: &'static str,
    pub(crate) brand: Brand,
    pub(crate) accounts: &'static [Account],
    pub(crate) scopes: &'static [Scope<'static>],
    /// OpenID Connect: `openid` is required, ID tokens are issued, and refresh tokens need `offline_access`.
    pub(crate) openid: bool,
    /// Whether the person is asked before a client gets anything. The company's own login does not ask.
    pub(crate) asks_consent: bool,
    pub(crate) access_token_lifetime: Duration,
    pub(crate) rules: Rules,
}

/// In what an authorization endpoint is another vendor's.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules {
    /// What may stand between scopes, where any scope is taken; empty where only those of the profile are.
    pub(crate) scope_separators: &'static [char],
    pub(crate) pkce: PkceRule,
    /// Parameters that every request must have.
    pub(crate) required: &'static [(&'static str, &'static str)],
    /// What makes the server issue a refresh token.
    pub(crate) offline: Offline,
    /// A parameter that marks the grant; what it asks for in place of `scope` is scopes, too.
    pub(crate) mark: Option<&'static str>,
    /// Whether answers go to any redirect URI on this machine, besides registered ones.
    pub(crate) loopback_redirects: bool,
    /// RFC 9207.
    pub(crate) names_issuer: bool,
    pub(crate) code_lifetime: Duration,
    /// From its issue, so that a grant that is used at least this often does not end.
    pub(crate) refresh_token_lifetime: Duration,
}

/// What a vendor does about PKCE.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PkceRule {
    Required,
    Optional,
    Refused,
}

/// What makes a server issue a refresh token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Offline {
    Always,
    /// One of these scopes.
    Scope(&'static [&'static str]),
    /// These parameters.
    Parameters(&'static [(&'static str, &'static str)]),
}

impl Rules {
    /// The playground's own services: as strict as RFC 9700.
    pub(crate) const OWN: Self = Self {
        scope_separators: &[],
        pkce: PkceRule::Required,
        required: &[],
        offline: Offline::Always,
        mark: None,
        loopback_redirects: false,
        names_issuer: true,
        code_lifetime: Duration::from_mins(1),
        refresh_token_lifetime: Duration::from_hours(30 * 24),
    };
}

/// One authorization server.
pub(crate) struct AuthorizationServer {
    pub(crate) profile: Profile,
    pub(crate) issuer: String,
    host: String,
    session_cookie: String,
    browser_cookie: String,
    clients: RwLock<Clients>,
    pub(crate) grants: Saved<Grants>,
    visits: Mutex<Visits>,
    journal: Journal,
    pub(crate) id_token_key: Option<IdTokenKey>,
    pub(crate) clock: SharedClock,
    pub(crate) random: SharedRandom,
}

impl AuthorizationServer {
    pub(crate) fn new(
        profile: Profile,
        issuer: &str,
        clients: Vec<Client>,
        id_token_algorithm: Option<IdTokenAlgorithm>,
        data: Option<&Path>,
        parts: Parts,
    ) -> Result<Self, PlaygroundError> {
        let host = issuer_host(issuer)?;
        // Cookies are shared by all ports of a host, so the port is in their names.
        let port = host.rsplit_once(':').map_or("80", |(_, port)| port).to_owned();
        let id_token_key = id_token_algorithm
            .map(|algorithm| IdTokenKey::open(algorithm, data, parts.random.as_ref()))
            .transpose()?;
        let server = Self {
            profile,
            issuer: issuer.to_owned(),
            session_cookie: cookie::name(&format!("{}-session", profile.name), false, &port),
            browser_cookie: cookie::name(&format!("{}-browser", profile.name), false, &port),
            host,
            clients: RwLock::default(),
            grants: Saved::open(data, &format!("{}.json", profile.name), Grants::default)?,
            visits: Mutex::default(),
            journal: Journal::default(),
            id_token_key,
            clock: parts.clock,
            random: parts.random,
        };
        for client in clients {
            server.register_client(client)?;
        }
        Ok(server)
    }

    /// Adds a client, or replaces the one with the same id.
    pub(crate) fn register_client(&self, client: Client) -> Result<(), PlaygroundError> {
        client.check()?;
        let mut clients = self.clients.write().unwrap_or_else(PoisonError::into_inner);
        clients.insert(client.client_id.clone(), client);
        Ok(())
    }

    /// The routes of this server with `more` beside them, behind the limits every listener has.
    pub(crate) fn router(self: &Arc<Self>, more: Router) -> Router {
        let mut router = Router::new()
            .route("/authorize", get(authorize::get).post(authorize::post))
            .route("/login", get(login::get).post(login::post))
            .route("/token", post(token::post))
            .route("/revoke", post(revoke::post))
            .route("/userinfo", get(userinfo::userinfo).post(userinfo::userinfo))
            .route("/playground/token-requests", get(journal::get))
            .route(metadata::path(self.profile.openid), get(metadata::get));
        if self.profile.asks_consent {
            router = router.route("/consent", get(consent::get).post(consent::post));
        }
        if self.profile.openid {
            router = router
                .route("/jwks.json", get(metadata::jwks))
                .route("/end-session", get(end_session::get).post(end_session::post))
                .route("/end-session/confirm", post(end_session::confirm));
        }
        self.wrap(router.with_state(Arc::clone(self)).merge(more))
    }

    /// The pages of login and consent, and the journal, with the endpoints of a vendor beside them.
    pub(crate) fn pages(self: &Arc<Self>, endpoints: Router) -> Router {
        let pages = Router::new()
            .route("/login", get(login::get).post(login::post))
            .route("/consent", get(consent::get).post(consent::post))
            .route("/playground/token-requests", get(journal::get))
            .with_state(Arc::clone(self));
        self.wrap(pages.merge(endpoints))
    }

    fn wrap(&self, router: Router) -> Router {
        let edge = Edge {
            listener: self.profile.name,
            traced: false,
            errors: ErrorFormat::Page,
            hosts: HostAllowList::new([self.host.as_str()]),
            max_body_bytes: MAX_BODY_BYTES,
            clock: Arc::clone(&self.clock),
            random: Arc::clone(&self.random),
        };
        edge.wrap(router)
    }

    /// The authorization endpoint at another place.
    pub(crate) fn authorization_endpoint(self: &Arc<Self>) -> axum::routing::MethodRouter {
        get(authorize::get)
            .post(authorize::post)
            .with_state(Arc::clone(self))
    }

    /// The keys of ID tokens at another place.
    pub(crate) fn key_endpoint(self: &Arc<Self>) -> axum::routing::MethodRouter {
        get(metadata::jwks).with_state(Arc::clone(self))
    }

    /// Writes a token request into the journal.
    pub(crate) fn record(&self, form: &BTreeMap<String, String>, outcome: &'static str) {
        self.journal.record(self.now(), form, outcome);
    }

    /// The client that sent this form.
    pub(crate) fn authenticate(
        &self,
        headers: &HeaderMap,
        form: &BTreeMap<String, String>,
    ) -> Result<Client, client::ClientAuthenticationError> {
        let clients = self.clients.read().unwrap_or_else(PoisonError::into_inner);
        client::authenticate(&clients, headers, form)
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Whose login session this browser has.
    pub(crate) fn person(&self, headers: &HeaderMap) -> Option<&'static Account> {
        people::find(self.profile.accounts, &self.session(headers)?.username)
    }

    /// Ends this browser's login session; gives the cookie that forgets it.
    pub(crate) fn log_out(&self, headers: &HeaderMap) -> http::HeaderValue {
        if let Ok(Some(id)) = cookie::read_single(headers, &self.session_cookie) {
            self.visits().sessions.remove(&id);
        }
        cookie::remove(&self.session_cookie, cookie::CookieOptions::default())
    }

    /// The grants that applications hold for a person.
    pub(crate) fn grants_of(&self, username: &str) -> Vec<(String, Grant)> {
        self.grants.read(|grants| grants.of(username))
    }

    /// Ends a person's own grant, with all its tokens.
    pub(crate) fn disconnect(&self, username: &str, grant: &str) -> std::io::Result<()> {
        self.grants.change(|grants| grants.disconnect(username, grant))
    }

    /// The name a client is shown under.
    pub(crate) fn client_name(&self, client_id: &str) -> String {
        self.client(client_id)
            .map_or_else(|| client_id.to_owned(), |client| client.name)
    }

    fn client(&self, client_id: &str) -> Option<Client> {
        self.clients
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(client_id)
            .cloned()
    }

    fn visits(&self) -> std::sync::MutexGuard<'_, Visits> {
        self.visits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn session(&self, headers: &HeaderMap) -> Option<Session> {
        let id = cookie::read_single(headers, &self.session_cookie).ok()??;
        self.visits().session(&id, self.now())
    }

    fn endpoint(&self, path: &str) -> String {
        format!("{}{path}", self.issuer)
    }

    fn refuse(&self, status: StatusCode, title: &str, text: &str) -> Response {
        render(status, &MessagePage::new(&self.profile.brand, title, text))
    }

    /// Whether a post comes from a page of ours. A client without these headers is no browser, and has no
    /// cookie that a stranger's page could make it send.
    pub(crate) fn posted_by_own_page(&self, headers: &HeaderMap) -> bool {
        let one = |name: http::HeaderName, good: &[&str]| {
            headers
                .get_all(name)
                .iter()
                .all(|value| good.iter().any(|good| value == good))
        };
        one(http::header::ORIGIN, &[&self.issuer])
            && one(
                http::HeaderName::from_static("sec-fetch-site"),
                &["same-origin", "none"],
            )
    }
}
