//! The session binding service: the page to which a provider's consent comes back. It makes sure that the
//! person in front of the browser is the one for whom the agent asked, and only then has the consent used
//! (`CompleteResourceTokenAuth`).
//!
//! A GET shows, a POST from our own page completes; nothing else does. The person is the one whose user token,
//! made for this service, came with the request, never one that a query or body names. It can obtain no token
//! and knows no secret of a provider.

mod config;
mod fetch_metadata;
mod outcome;
mod session_binding;

use std::sync::Arc;

use axum::Router;
use axum::extract::FromRef;
use axum::routing::get;
use countersign_api::{Client, Credentials};
use countersign_crypto::{ExposeSecret as _, SharedClock, SharedRandom, hmac_sha256};
use countersign_outbound::{HostPort, Policy};
use countersign_web::{Edge, ErrorFormat, HostAllowList, Inbound, PersonVerifier, cookie};
use url::Url;

pub use config::{Config, IdentityEndpoint};

/// Bytes a request's body may have: a handle and a form token.
const MOST_BODY_BYTES: usize = 8 << 10;

/// What a process gives to each role.
#[derive(Clone)]
pub struct Parts {
    /// The time.
    pub clock: SharedClock,
    /// Randomness.
    pub random: SharedRandom,
}

impl std::fmt::Debug for Parts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Parts").finish_non_exhaustive()
    }
}

/// A started session binding service.
#[derive(Debug)]
pub struct Running {
    /// To be served on [`Config::listen`].
    pub router: Router,
}

/// The service cannot start as configured.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A URL that must have a host has none.
    #[error("`{0}` must be an http or https URL with a host")]
    Url(&'static str),
    /// The HTTP client.
    #[error("outbound client: {0}")]
    Outbound(String),
}

/// What the handlers share.
struct Binding {
    identity: Client,
    persons: Arc<PersonVerifier>,
    own_origin: String,
    app_url: String,
    browser_cookie: String,
    form_key: [u8; 32],
    clock: SharedClock,
}

#[derive(Clone)]
struct AppState(Arc<Binding>);

impl FromRef<AppState> for Arc<PersonVerifier> {
    fn from_ref(state: &AppState) -> Self {
        Arc::clone(&state.0.persons)
    }
}

/// Starts the service: builds the router. Calls nobody yet.
pub fn start(config: Config, parts: Parts) -> Result<Running, StartError> {
    let edge = Edge {
        listener: "binding",
        errors: ErrorFormat::Page,
        hosts: HostAllowList::new(config.hosts.clone()),
        max_body_bytes: MOST_BODY_BYTES,
        clock: Arc::clone(&parts.clock),
        random: Arc::clone(&parts.random),
    };
    let binding = Binding::new(config, parts)?;
    let router = Router::new()
        .merge(session_binding::routes())
        .route("/ping", get(ping))
        .fallback(outcome::unknown_path)
        .with_state(AppState(Arc::new(binding)));
    Ok(Running {
        router: edge.wrap(router),
    })
}

/// Health for load balancers; says nothing else.
async fn ping() -> &'static str {
    "ok"
}

impl Binding {
    fn new(config: Config, parts: Parts) -> Result<Self, StartError> {
        let outbound = outbound(&config)?;
        let own_origin = origin(&config.account_url, "account_url")?;
        let secure = config.account_url.scheme() == "https";
        // Every replica has the same credentials, so a form made by one can be posted to another.
        let form_key = hmac_sha256(
            config.identity.secret_access_key.expose_secret().as_bytes(),
            b"countersign session binding form",
        );
        let clock = Arc::clone(&parts.clock);
        let identity = Client::new(
            config.identity.endpoint,
            config.identity.region,
            Credentials {
                access_key_id: config.identity.access_key_id,
                secret_access_key: config.identity.secret_access_key,
                session_token: config.identity.session_token,
            },
            outbound.clone(),
            Arc::new(move || clock.now().as_secs()),
        );
        let inbound = Inbound::UserToken {
            issuer: config.gateway_issuer,
            audience: config.audience,
            jwks_uri: config.gateway_jwks_uri,
        };
        Ok(Self {
            identity,
            persons: Arc::new(PersonVerifier::new(vec![inbound], &outbound, &parts.clock)),
            own_origin,
            app_url: origin(&config.app_url, "app_url")?,
            browser_cookie: cookie::name("countersign-browser", secure, &config.cookie_suffix),
            form_key,
            clock: parts.clock,
        })
    }
}

fn origin(url: &Url, name: &'static str) -> Result<String, StartError> {
    let origin = url.origin();
    if origin.is_tuple() && matches!(url.scheme(), "http" | "https") {
        Ok(origin.ascii_serialization())
    } else {
        Err(StartError::Url(name))
    }
}

/// A client that reaches what the operator's configuration names, at internal addresses too.
fn outbound(config: &Config) -> Result<countersign_outbound::Client, StartError> {
    let issuer = Url::parse(&config.gateway_issuer).map_err(|_| StartError::Url("gateway_issuer"))?;
    let named = [
        (Some(&config.identity.endpoint), "identity.endpoint"),
        (Some(&issuer), "gateway_issuer"),
        (config.gateway_jwks_uri.as_ref(), "gateway_jwks_uri"),
    ];
    let mut allow = config.outbound_allow.clone();
    for (url, name) in named {
        if let Some(url) = url {
            allow.push(HostPort::of(url).ok_or(StartError::Url(name))?);
        }
    }
    let policy = Policy {
        allow,
        ..Policy::default()
    };
    countersign_outbound::Client::new(policy).map_err(|error| StartError::Outbound(error.to_string()))
}
