//! A browser origin: its own paths, then its rules. See `docs/architecture.md` for the walk of a request.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::response::{IntoResponse, Response as OwnResponse};
use axum::routing::{MethodRouter, get, post};
use countersign_outbound::trace;
use countersign_web::tls::TlsSession;
use countersign_web::{Connected, Edge, ErrorFormat, HostAllowList};
use http::uri::Authority;
use http::{HeaderMap, HeaderValue, Uri, header};
use hyper::body::Incoming;

use crate::access_log::Executed;
use crate::answer::AnswerBody;
use crate::authenticate::lasting::Lasting;
use crate::authenticate::site::{Site, Sites};
use crate::authenticate::{self, Asking, Authenticated, backchannel_logout, handover, logout, target_logout};
use crate::config::{self, ConfigError, Traceparent};
use crate::forwarding_headers::{self, Added};
use crate::gateway::Shared;
use crate::headers::Seen;
use crate::origin::Origin;
use crate::provenance::Provenance;
use crate::reason::Reason;
use crate::refused::{Refused, is_navigation};
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

    /// The name in logs and traces.
    const fn in_logs(self) -> &'static str {
        match self {
            Self::App => "gateway.app",
            Self::Account => "gateway.account",
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
    session: &'a Arc<Session>,
}

type Request = http::Request<Incoming>;
type Response = http::Response<AnswerBody>;

/// A request under evaluation, beside its head and body.
#[derive(Clone, Copy)]
struct About<'a> {
    connected: &'a Connected,
    provenance: &'a Provenance,
    /// What its headers were about when it came.
    seen: Seen,
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

    /// The gateway's own paths, and what answers there; the rules have the rest. On other listeners than the app and
    /// account origin all paths but the answer to a login are the application's, as behind an ALB.
    pub(crate) fn own(self: &Arc<Self>) -> (Vec<&'static str>, Router) {
        let own = self.own_routes();
        let paths = own.iter().map(|(path, _)| *path).collect();
        let router = own
            .into_iter()
            .fold(Router::new(), |router, (path, method)| router.route(path, method));
        // The edge counts every body, axum only those that an extractor reads.
        let router = router.layer(DefaultBodyLimit::disable());
        (paths, router.with_state(Arc::clone(self)))
    }

    fn own_routes(&self) -> Vec<(&'static str, MethodRouter<Arc<Self>>)> {
        let mut routes = vec![("/oauth2/idpresponse", get(authenticate::callback))];
        if self.name == ListenerName::Account {
            routes.push(("/oauth2/handover", get(handover::issue)));
        }
        let app = self.name == ListenerName::App;
        if !app
            && self
                .sites
                .each_application()
                .any(|application| application.backchannel_logout)
        {
            routes.push(("/oauth2/backchannel-logout", post(backchannel_logout::post)));
        }
        if self.sites.own().is_some() {
            routes.push(("/logout", get(logout::get).post(logout::post)));
            routes.push(("/logged-out", get(logout::logged_out)));
        }
        routes
    }

    /// What stands around every answer of this listener.
    pub(crate) fn edge(&self) -> Edge {
        Edge {
            listener: self.name.in_logs(),
            traced: false,
            errors: ErrorFormat::Page,
            hosts: HostAllowList::new(self.hosts.iter().cloned().chain([self.origin.authority()])),
            max_body_bytes: self.gateway.max_request_body_bytes,
            clock: self.gateway.clock.clone(),
            random: self.gateway.ids.clone(),
        }
    }

    /// The answer to a request that is for the rules.
    pub(crate) async fn respond(
        &self,
        request: Request,
        connected: &Connected,
        provenance: Provenance,
    ) -> Response {
        // Only what decides the form of a refusal is kept of the headers.
        let navigation = is_navigation(request.headers());
        let about = About {
            connected,
            provenance: &provenance,
            seen: Seen::of(request.headers()),
        };
        match self.evaluate(request, about).await {
            Ok(response) => response,
            Err(reason) => self.refuse(reason, navigation, &provenance).map(AnswerBody::from),
        }
    }

    fn refuse(&self, reason: Reason, navigation: bool, provenance: &Provenance) -> OwnResponse {
        if reason.is_about_identity() {
            authenticate::note_refusal(self, "Authenticate", reason, provenance);
        }
        let refused = Refused::to(navigation, reason, provenance.request_id.clone());
        let mut response = refused.into_response();
        if reason.wants_bearer_token() {
            let challenge = HeaderValue::from_static("Bearer");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        }
        response
    }

    async fn evaluate(&self, request: Request, about: About<'_>) -> Result<Response, Reason> {
        let provenance = about.provenance;
        let path = crate::request_target::path(request.uri())?;
        let asked = Asked {
            host: host(request.headers(), request.uri()),
            path,
            query: request.uri().query(),
            method: request.method(),
            headers: request.headers(),
            source: provenance.source,
        };
        let rule = self.rules.select(&asked).ok_or(Reason::NoRule)?;
        provenance.notes.matched(rule.priority);
        let (application, otherwise) = match &rule.first {
            None => return self.conclude(rule, request, None, about).await,
            Some(First::JwtValidation(validation)) => {
                let gateway = &self.gateway;
                provenance.notes.executed(Executed::JwtValidation);
                let validating = validation.validate(request.headers(), &gateway.jwks, gateway.clock.now());
                Box::pin(validating).await?;
                return self.conclude(rule, request, None, about).await;
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
                self.conclude(rule, request, Some(person), about).await
            }
            Authenticated::Nobody => self.conclude(rule, request, None, about).await,
            Authenticated::Login(response) => Ok(response.map(AnswerBody::from)),
        }
    }

    async fn conclude(
        &self,
        rule: &Rule,
        request: Request,
        person: Option<Person<'_>>,
        about: About<'_>,
    ) -> Result<Response, Reason> {
        about.provenance.notes.executed(match &rule.terminal {
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
                let (request, host) = Self::transform(rule, request)?;
                let mut answer = self.forward(group, request, host, person, about).await?;
                if let Some(cookie) = chosen.cookie {
                    answer.headers_mut().append(header::SET_COOKIE, cookie);
                }
                Ok(answer)
            }
            Terminal::Redirect(redirect) => {
                let from = redirect::From {
                    scheme: self.origin.scheme(),
                    host: host(request.headers(), request.uri()),
                    port: self.origin.port(),
                    path: request.uri().path(),
                    query: request.uri().query().unwrap_or_default(),
                };
                let location = redirect.location(&from)?;
                let answer = (redirect.status, [(header::LOCATION, location)]).into_response();
                Ok(answer.map(AnswerBody::from))
            }
            Terminal::FixedResponse { status, body, .. } if body.is_empty() && *status == 404 => {
                Err(Reason::NoRule)
            }
            Terminal::FixedResponse {
                status,
                content_type,
                body,
            } => {
                let content_type = [(header::CONTENT_TYPE, content_type.clone())];
                let answer = (*status, content_type, body.clone()).into_response();
                Ok(answer.map(AnswerBody::from))
            }
        }
    }

    /// Rewrites what the target sees; conditions and login have seen what was sent. The host is one that is put in
    /// place of the browser's.
    fn transform(rule: &Rule, mut request: Request) -> Result<(Request, Option<Authority>), Reason> {
        let host = rule.transforms.host(host(request.headers(), request.uri()))?;
        if let Some(rewritten) = rule.transforms.url(request.uri())? {
            let mut parts = request.uri().clone().into_parts();
            parts.path_and_query = Some(rewritten);
            *request.uri_mut() = Uri::from_parts(parts).map_err(|_| Reason::TransformFailed)?;
        }
        Ok((request, host))
    }

    // At debug level: a span that is built for every request costs more than the rules. What is logged within it names
    // the group itself.
    #[tracing::instrument(level = "debug", name = "gateway.forward", skip_all, fields(target_group.name = %group.name))]
    async fn forward(
        &self,
        group: &TargetGroup,
        mut request: Request,
        host: Option<Authority>,
        person: Option<Person<'_>>,
        about: About<'_>,
    ) -> Result<Response, Reason> {
        let About {
            connected,
            provenance,
            seen,
        } = about;
        let identity = match person {
            Some(Person { site, session }) => {
                let client = site.application.provider.client_id();
                Some(self.gateway.claims_headers.mint(session, client, group)?)
            }
            None => None,
        };
        let tls = connected.extensions.get::<TlsSession>();
        let tls = tls.map(|session| forwarding_headers::tls(session, &self.attributes));
        let presented = self.sites.withhold_tickets(&mut request);
        // HTTP/2 names the host in its pseudo-header; the allow-list has checked that there is one host only.
        if let Some(authority) = request.uri().authority()
            && !request.headers().contains_key(header::HOST)
            && let Ok(host) = HeaderValue::from_str(authority.as_str())
        {
            request.headers_mut().insert(header::HOST, host);
        }
        let (created, ids) = (provenance.notes.created, &*self.gateway.ids);
        forwarding_headers::trace(request.headers_mut(), &self.attributes, seen, created, ids);
        if trace::is_on() && self.attributes.traceparent != Traceparent::Remove {
            // The target goes on from this span, not from where the client was.
            let here = trace::current().and_then(|here| here.header());
            here.map(|here| request.headers_mut().insert(trace::TRACEPARENT, here));
        }
        let added = Added {
            origin: &self.origin,
            attributes: &self.attributes,
            connected,
            host: host.and_then(|host| HeaderValue::from_str(host.as_str()).ok()),
            identity: identity.as_deref().unwrap_or_default(),
            tls: tls.unwrap_or_default(),
        };
        let notes = &provenance.notes;
        notes.forwarded(
            &group.name,
            request.headers().get(forwarding_headers::X_AMZN_TRACE_ID),
        );
        let forwarder = &self.gateway.forwarder;
        let lasting = || person.map(|person| Lasting::new(&self.gateway, person.session));
        let forwarding = forwarder.forward(request, seen, group, added, notes, lasting);
        let mut answer = forwarding.await?;
        if !presented.sites.is_empty() && answer.headers().contains_key(header::SET_COOKIE) {
            let (gateway, person) = (
                &self.gateway,
                person.map(|person| (person.site, &**person.session)),
            );
            let headers = answer.headers_mut();
            let applying = target_logout::apply(gateway, &presented, person, provenance, headers);
            Box::pin(applying).await?;
        }
        if self.name != ListenerName::Account {
            // The account origin's answers are all ours and get our headers; the agent chooses its own.
            answer.body_mut().pass_on();
        }
        Ok(answer)
    }
}

/// The host name of a request without its port; the listener's allow-list has accepted it.
pub(crate) fn host<'a>(headers: &'a HeaderMap, uri: &'a Uri) -> &'a str {
    let header = headers.get(header::HOST).and_then(|value| value.to_str().ok());
    let authority = header.or_else(|| uri.authority().map(Authority::as_str));
    let authority = authority.unwrap_or_default();
    match authority.rsplit_once(':') {
        // The colons of an IPv6 address are within brackets.
        Some((host, port)) if !port.contains(']') => host,
        _ => authority,
    }
}
