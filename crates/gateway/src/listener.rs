//! A browser origin: its own paths, then its rules. See `docs/architecture.md` for the walk of a request.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use countersign_web::tls::TlsSession;
use countersign_web::{Edge, ErrorFormat, HostAllowList, PassedOn, Peer};
use http::uri::Authority;
use http::{HeaderValue, Uri, header};

use crate::access_log::Executed;
use crate::authenticate::site::{Site, Sites};
use crate::authenticate::{self, Asking, Authenticated, backchannel_logout, handover, logout, target_logout};
use crate::config::{self, ConfigError};
use crate::forwarding_headers::{self, Added};
use crate::gateway::Shared;
use crate::origin::Origin;
use crate::provenance::Provenance;
use crate::reason::Reason;
use crate::refused::Refused;
use crate::rule::{Asked, First, Rule, Rules, Terminal, redirect};
use crate::session::Session;
use crate::target_group::TargetGroup;

/// Which listener.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum ListenerName {
    /// The agent's pages.
    App,
    /// Login, consent, session binding, connections.
    Account,
    /// One of the operator's own.
    Additional(&'static str),
}

impl ListenerName {
    /// The name in cookies, audit records and the hand-over.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::App => "app",
            Self::Account => "account",
            Self::Additional(name) => name,
        }
    }

    /// The name of a listener in the configuration. It is kept for as long as the process lives: listeners
    /// come with a start, and a reload has the same.
    pub(crate) fn of(name: &str) -> Self {
        match name {
            "app" => Self::App,
            "account" => Self::Account,
            name => Self::Additional(Box::leak(name.into())),
        }
    }
}

/// Who is asking, and where they are logged in.
#[derive(Clone, Copy)]
struct Person<'a> {
    site: &'a Site,
    session: &'a Session,
}

/// One browser origin.
pub(crate) struct Listener {
    pub(crate) name: ListenerName,
    pub(crate) origin: Origin,
    pub(crate) sites: Sites,
    pub(crate) gateway: Arc<Shared>,
    hosts: Vec<String>,
    attributes: config::Attributes,
    rules: Rules,
    groups: TargetGroups,
}

/// All target groups, by name.
pub(crate) type TargetGroups = BTreeMap<String, Arc<TargetGroup>>;

impl Listener {
    pub(crate) fn new(
        name: ListenerName,
        config: &config::Listener,
        sites: Sites,
        groups: TargetGroups,
        gateway: Arc<Shared>,
    ) -> Result<Self, ConfigError> {
        let place = format!("listeners.{}", name.as_str());
        Ok(Self {
            name,
            sites,
            origin: config.origin.clone(),
            hosts: config.hosts.clone(),
            attributes: config.attributes.clone(),
            rules: Rules::compile(&place, config, &|group| groups.contains_key(group))?,
            groups,
            gateway,
        })
    }

    /// The gateway's own paths, then the rules. On other listeners than the app and account origin all
    /// paths but the answer to a login are the application's, as behind an ALB.
    pub(crate) fn router(self: Arc<Self>) -> Router {
        let mut router = Router::new().route("/oauth2/idpresponse", get(authenticate::callback));
        if self.name == ListenerName::Account {
            router = router.route("/oauth2/handover", get(handover::issue));
        }
        let app = self.name == ListenerName::App;
        if !app
            && self
                .sites
                .each_application()
                .any(|application| application.backchannel_logout)
        {
            router = router.route("/oauth2/backchannel-logout", post(backchannel_logout::post));
        }
        if self.sites.own().is_some() {
            router = router
                .route("/logout", get(logout::get).post(logout::post))
                .route("/logged-out", get(logout::logged_out));
        }
        let edge = Edge {
            listener: match self.name {
                ListenerName::App => "gateway.app",
                ListenerName::Account => "gateway.account",
                ListenerName::Additional(name) => name,
            },
            errors: ErrorFormat::Page,
            hosts: HostAllowList::new(self.hosts.iter().cloned().chain([self.origin.authority()])),
            max_body_bytes: self.gateway.max_request_body_bytes,
            clock: self.gateway.clock.clone(),
            random: self.gateway.random.clone(),
        };
        edge.wrap(router.fallback(evaluate).with_state(self))
    }

    async fn evaluate(&self, request: Request, provenance: &Provenance) -> Result<Response, Reason> {
        let path = crate::request_target::path(request.uri())?;
        let host = host(&request);
        let asked = Asked {
            host: &host,
            path,
            query: request.uri().query(),
            method: request.method(),
            headers: request.headers(),
            source: provenance.source,
        };
        let rule = self.rules.select(&asked).ok_or(Reason::NoRule)?;
        provenance.notes.matched(rule.priority);
        let (application, otherwise) = match &rule.first {
            None => return self.conclude(rule, &host, request, None, provenance).await,
            Some(First::JwtValidation(validation)) => {
                let gateway = &self.gateway;
                provenance.notes.executed(Executed::JwtValidation);
                validation
                    .validate(request.headers(), &gateway.jwks, gateway.clock.now())
                    .await?;
                return self.conclude(rule, &host, request, None, provenance).await;
            }
            Some(First::AuthenticateOidc {
                application,
                otherwise,
            }) => (application.as_deref(), *otherwise),
        };
        provenance.notes.executed(Executed::Authenticate);
        let site = self.sites.of(application, request.uri(), request.headers());
        let site = site.ok_or(Reason::AuthUnhandledException)?;
        let asking = Asking {
            method: request.method(),
            uri: request.uri(),
            headers: request.headers(),
            provenance,
        };
        match authenticate::authenticate(&self.gateway, site, otherwise, asking).await? {
            Authenticated::Person(session) => {
                let person = Person {
                    site,
                    session: &session,
                };
                self.conclude(rule, &host, request, Some(person), provenance)
                    .await
            }
            Authenticated::Nobody => self.conclude(rule, &host, request, None, provenance).await,
            Authenticated::Login(response) => Ok(response),
        }
    }

    async fn conclude(
        &self,
        rule: &Rule,
        host: &str,
        request: Request,
        person: Option<Person<'_>>,
        provenance: &Provenance,
    ) -> Result<Response, Reason> {
        provenance.notes.executed(match &rule.terminal {
            Terminal::Forward(_) => Executed::Forward,
            Terminal::Redirect(_) => Executed::Redirect,
            Terminal::FixedResponse { .. } => Executed::FixedResponse,
        });
        match &rule.terminal {
            Terminal::Forward(forward) => {
                let secure = self.origin.is_https();
                let (key, random) = (&self.gateway.csrf_secret, &*self.gateway.random);
                let chosen = forward.choose(request.headers(), key, secure, random);
                let group = self.groups.get(chosen.group).ok_or(Reason::NoRule)?;
                let request = Self::transform(rule, host, request)?;
                let mut answer = self.forward(group, request, person, provenance).await?;
                if let Some(cookie) = chosen.cookie {
                    answer.headers_mut().append(header::SET_COOKIE, cookie);
                }
                Ok(answer)
            }
            Terminal::Redirect(redirect) => {
                let from = redirect::From {
                    scheme: self.origin.scheme(),
                    host,
                    port: self.origin.port(),
                    path: request.uri().path(),
                    query: request.uri().query().unwrap_or_default(),
                };
                let location = redirect.location(&from)?;
                Ok((redirect.status, [(header::LOCATION, location)]).into_response())
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

    /// Rewrites what the target sees; conditions and login have seen what was sent.
    fn transform(rule: &Rule, host: &str, mut request: Request) -> Result<Request, Reason> {
        if let Some(host) = rule.transforms.host(host)? {
            request.extensions_mut().insert(RewrittenHost(host));
        }
        if let Some(rewritten) = rule.transforms.url(request.uri())? {
            let mut parts = request.uri().clone().into_parts();
            parts.path_and_query = Some(rewritten);
            *request.uri_mut() = Uri::from_parts(parts).map_err(|_| Reason::TransformFailed)?;
        }
        Ok(request)
    }

    #[tracing::instrument(name = "gateway.forward", skip_all, fields(target_group.name = %group.name))]
    async fn forward(
        &self,
        group: &TargetGroup,
        mut request: Request,
        person: Option<Person<'_>>,
        provenance: &Provenance,
    ) -> Result<Response, Reason> {
        let mut identity = match person {
            Some(Person { site, session }) => {
                let client = site.application.provider.client_id();
                self.gateway.claims_headers.mint(session, client, group)?
            }
            None => Vec::new(),
        };
        if let Some(session) = request.extensions().get::<TlsSession>() {
            identity.extend(forwarding_headers::tls(session, &self.attributes));
        }
        let uri = request.uri().clone();
        self.sites.withhold_tickets(&uri, request.headers_mut());
        // HTTP/2 names the host in its pseudo-header; the allow-list has checked that there is one host only.
        if let Some(authority) = uri.authority()
            && !request.headers().contains_key(header::HOST)
            && let Ok(host) = HeaderValue::from_str(authority.as_str())
        {
            request.headers_mut().insert(header::HOST, host);
        }
        let (now, random) = (self.gateway.clock.now(), &*self.gateway.random);
        forwarding_headers::trace(request.headers_mut(), &self.attributes, now, random);
        let host = request.extensions_mut().remove::<RewrittenHost>();
        let added = Added {
            origin: &self.origin,
            attributes: &self.attributes,
            source: request.extensions().get::<Peer>().map(|peer| peer.0),
            host: host.and_then(|host| HeaderValue::from_str(host.0.as_str()).ok()),
            identity,
        };
        let notes = &provenance.notes;
        notes.forwarded(&group.name, request.headers().get("x-amzn-trace-id"));
        let mut answer = self
            .gateway
            .forwarder
            .forward(request, group, added, notes)
            .await?;
        if let Some(Person { site, session }) = person {
            let headers = answer.headers_mut();
            target_logout::apply(&self.gateway, site, session, provenance, headers).await?;
        }
        if self.name != ListenerName::Account {
            // The account origin's answers are all ours and get our headers; the agent chooses its own.
            answer.extensions_mut().insert(PassedOn);
        }
        Ok(answer)
    }
}

/// The host that a transform has put in place of the browser's, on its way to the target.
#[derive(Clone)]
struct RewrittenHost(Authority);

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
            let mut response = refusal.because(reason).into_response();
            if reason.wants_bearer_token() {
                let challenge = HeaderValue::from_static("Bearer");
                response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
            }
            response
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
