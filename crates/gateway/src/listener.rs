//! A browser origin: its own paths, then its rules. See `docs/architecture.md` for the walk of a request.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use countersign_web::page;
use countersign_web::{Edge, ErrorFormat, HostAllowList, PassedOn};
use http::header;

use crate::authenticate::{self, Authenticated, handover, login, logout};
use crate::config;
use crate::cookie::CookieNames;
use crate::forward::Added;
use crate::gateway::Shared;
use crate::origin::Origin;
use crate::provenance::Provenance;
use crate::reason::Reason;
use crate::refused::Refused;
use crate::rule::{Rule, Rules, Terminal};
use crate::session::Session;
use crate::target_group::TargetGroup;

/// Which listener.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum ListenerName {
    /// The agent's pages.
    App,
    /// Login, consent, session binding, connections.
    Account,
}

impl ListenerName {
    /// The name in cookies, audit records and the hand-over.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::App => "app",
            Self::Account => "account",
        }
    }
}

/// One browser origin.
pub(crate) struct Listener {
    pub(crate) name: ListenerName,
    pub(crate) origin: Origin,
    pub(crate) cookies: CookieNames,
    pub(crate) gateway: Arc<Shared>,
    hosts: Vec<String>,
    rules: Rules,
}

impl Listener {
    pub(crate) fn new(
        name: ListenerName,
        config: &config::Listener,
        suffix: &str,
        rules: Rules,
        gateway: Arc<Shared>,
    ) -> Self {
        Self {
            name,
            cookies: CookieNames::new(name, &config.origin, suffix),
            origin: config.origin.clone(),
            hosts: config.hosts.clone(),
            gateway,
            rules,
        }
    }

    /// The gateway's own paths, then the rules.
    pub(crate) fn router(self: Arc<Self>) -> Router {
        let own = match self.name {
            ListenerName::Account => Router::new()
                .route("/oauth2/idpresponse", get(login::callback))
                .route("/oauth2/handover", get(handover::issue)),
            ListenerName::App => Router::new().route("/oauth2/idpresponse", get(handover::redeem)),
        };
        let edge = Edge {
            listener: match self.name {
                ListenerName::App => "gateway.app",
                ListenerName::Account => "gateway.account",
            },
            errors: ErrorFormat::Page,
            hosts: HostAllowList::new(self.hosts.iter().cloned().chain([self.origin.authority()])),
            max_body_bytes: self.gateway.max_request_body_bytes,
            clock: self.gateway.clock.clone(),
            random: self.gateway.random.clone(),
        };
        let router = own
            .route("/logout", get(logout::get).post(logout::post))
            .route("/logged-out", get(logout::logged_out))
            .fallback(evaluate)
            .with_state(self);
        edge.wrap(router)
    }

    async fn evaluate(&self, request: Request, provenance: &Provenance) -> Result<Response, Reason> {
        let path = crate::request_target::path(request.uri())?;
        let host = host(&request);
        let rule = self
            .rules
            .select(&host, path, request.method())
            .ok_or(Reason::NoRule)?;
        let session = match rule.authenticate {
            None => None,
            Some(otherwise) => {
                let (method, uri, headers) = (request.method(), request.uri(), request.headers());
                match authenticate::authenticate(self, otherwise, method, uri, headers).await? {
                    Authenticated::Person(session) => Some(session),
                    Authenticated::Nobody => None,
                    Authenticated::Login(response) => return Ok(response),
                }
            }
        };
        self.conclude(rule, request, session.as_deref(), provenance).await
    }

    async fn conclude(
        &self,
        rule: &Rule,
        request: Request,
        session: Option<&Session>,
        provenance: &Provenance,
    ) -> Result<Response, Reason> {
        match &rule.terminal {
            Terminal::Forward(group) => self.forward(group, request, session, provenance).await,
            Terminal::Redirect { status, path } => {
                let mut response = page::found(&self.origin.at(path));
                *response.status_mut() = *status;
                Ok(response)
            }
            Terminal::FixedResponse { status, body, .. } if body.is_empty() && *status == 404 => {
                Err(Reason::NoRule)
            }
            Terminal::FixedResponse {
                status,
                content_type,
                body,
            } => Ok((
                *status,
                [(header::CONTENT_TYPE, content_type.clone())],
                body.clone(),
            )
                .into_response()),
        }
    }

    #[tracing::instrument(name = "gateway.forward", skip_all, fields(target_group.name = %group.name))]
    async fn forward(
        &self,
        group: &TargetGroup,
        request: Request,
        session: Option<&Session>,
        provenance: &Provenance,
    ) -> Result<Response, Reason> {
        let identity = match session {
            Some(session) => self.gateway.claims_headers.mint(session, group)?,
            None => Vec::new(),
        };
        let added = Added {
            origin: &self.origin,
            source: provenance.source,
            identity,
        };
        let mut answer = self.gateway.forwarder.forward(request, group, added).await?;
        if self.name == ListenerName::App {
            // The account origin's answers are all ours and get our headers; the agent chooses its own.
            answer.extensions_mut().insert(PassedOn);
        }
        Ok(answer)
    }
}

async fn evaluate(State(listener): State<Arc<Listener>>, request: Request) -> Response {
    let provenance = Provenance::of(request.extensions(), request.headers());
    // Only what decides the form of a refusal is kept of the headers.
    let refusal = Refused::new(Reason::NoRule, request.headers(), provenance.request_id.clone());
    match listener.evaluate(request, &provenance).await {
        Ok(response) => response,
        Err(reason) => {
            if reason.is_about_identity() {
                authenticate::note_refusal(&listener, "Authenticate", reason, &provenance);
            }
            refusal.because(reason).into_response()
        }
    }
}

/// The host name of a request without its port; the listener's allow-list has accepted it.
fn host(request: &Request) -> String {
    let header = request
        .headers()
        .get(header::HOST)
        .and_then(|value| value.to_str().ok());
    let authority = header.or_else(|| request.uri().authority().map(http::uri::Authority::as_str));
    let authority = authority.unwrap_or_default();
    match authority.rsplit_once(':') {
        // The colons of an IPv6 address are within brackets.
        Some((host, port)) if !port.contains(']') => host.to_owned(),
        _ => authority.to_owned(),
    }
}
