//! The session binding service: the page to which a provider's consent comes back. It makes sure that the
//! person in front of the browser is the one for whom the agent asked, and only then has the consent used
//! (`CompleteResourceTokenAuth`).
//!
//! A GET shows, a POST from our own page completes; nothing else does. The person is the one whose user token,
//! made for this service, came with the request, never one that a query or body names. It can obtain no token
//! and knows no secret of a provider.

mod account_question;
mod agentcore;
mod config;
mod fetch_metadata;
mod outcome;
mod refusals;
mod session_binding;

use std::sync::Arc;

use axum::extract::FromRef;
use axum::routing::get;
use axum::{Extension, Router};
use countersign_api::{Client, EndpointError, Environment, IdentityApi};
use countersign_crypto::{ExposeSecret as _, SharedClock, SharedRandom, hmac_sha256};
use countersign_outbound::{HostPort, Policy};
use countersign_web::person::InboundError;
use countersign_web::{Edge, ErrorFormat, HostAllowList, Inbound, PersonVerifier, Routine, cookie};
use url::Url;

pub use config::Config;
pub use countersign_api::IdentityEndpoint;

use agentcore::AgentCore;
use refusals::Refusals;

/// Bytes a request's body may have: a handle and a form token.
const MOST_BODY_BYTES: usize = 8 << 10;
/// Characters that `form_key` has at least.
const LEAST_FORM_KEY: usize = 32;

/// What a process gives to each role.
#[derive(Clone)]
pub struct Parts {
    /// The time.
    pub clock: SharedClock,
    /// Randomness.
    pub random: SharedRandom,
    /// What the platform says of AWS: credentials and endpoints that the configuration leaves out.
    pub aws: Environment,
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
    /// The identity API.
    #[error(transparent)]
    Identity(#[from] EndpointError),
    /// Who vouches for persons.
    #[error(transparent)]
    Inbound(#[from] InboundError),
    /// Forms could not be recognised by another replica, or after a restart.
    #[error(
        "`form_key` must be set, to 32 characters or more, the same on every replica: credentials are temporary"
    )]
    FormKey,
    /// The HTTP client.
    #[error("outbound client: {0}")]
    Outbound(String),
}

/// What the handlers share.
struct Binding {
    identity: Arc<Client>,
    refusals: Refusals,
    /// Where the identity API is AgentCore, which has no pages of its own.
    agentcore: Option<AgentCore>,
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
    let (clock, random) = (Arc::clone(&parts.clock), Arc::clone(&parts.random));
    let binding = Binding::new(&config, parts)?;
    let edge = Edge {
        listener: "binding",
        traced: true,
        errors: ErrorFormat::Page,
        hosts: HostAllowList::new(config.hosts),
        max_body_bytes: MOST_BODY_BYTES,
        clock,
        random,
    };
    let router = Router::new()
        .merge(session_binding::routes())
        .merge(agentcore::routes())
        .route("/ping", get(ping))
        .fallback(outcome::unknown_path)
        .with_state(AppState(Arc::new(binding)));
    Ok(Running {
        router: edge.wrap(router),
    })
}

/// Health for load balancers; says nothing else.
async fn ping() -> (Extension<Routine>, &'static str) {
    (Extension(Routine), "ok")
}

impl Binding {
    fn new(config: &Config, parts: Parts) -> Result<Self, StartError> {
        let inbound = config.inbound().resolve()?;
        let outbound = outbound(config, &inbound, &parts.aws)?;
        let own_origin = origin(&config.account_url, "account_url")?;
        let secure = config.account_url.scheme() == "https";
        let clock = Arc::clone(&parts.clock);
        let now_secs = Arc::new(move || clock.now().as_secs());
        let identity = Arc::new(config.identity.client(&parts.aws, outbound.clone(), now_secs)?);
        let agentcore = match config.identity.api {
            IdentityApi::Countersign => None,
            IdentityApi::AgentCore => Some(AgentCore::new(config, &parts.aws)?),
        };
        Ok(Self {
            // AgentCore has no trail of ours.
            refusals: Refusals::new(
                agentcore.is_none().then(|| Arc::clone(&identity)),
                Arc::clone(&parts.clock),
            ),
            identity,
            agentcore,
            persons: Arc::new(PersonVerifier::new(vec![inbound], &outbound, &parts.clock)),
            own_origin,
            app_url: origin(&config.app_url, "app_url")?,
            browser_cookie: cookie::name("countersign-browser", secure, &config.cookie_suffix),
            form_key: form_key(config)?,
            clock: parts.clock,
        })
    }
}

/// Every replica has the same key, so a form made by one can be posted to another.
fn form_key(config: &Config) -> Result<[u8; 32], StartError> {
    let secret = match (&config.form_key, &config.identity.secret_access_key) {
        (Some(key), _) if key.expose_secret().chars().count() >= LEAST_FORM_KEY => key,
        (None, Some(secret)) => secret,
        _ => return Err(StartError::FormKey),
    };
    Ok(hmac_sha256(
        secret.expose_secret().as_bytes(),
        b"countersign session binding form",
    ))
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
fn outbound(
    config: &Config,
    inbound: &Inbound,
    aws: &Environment,
) -> Result<countersign_outbound::Client, StartError> {
    let identity = config.identity.url(aws)?;
    let mut allow = config.outbound_allow.clone();
    allow.push(HostPort::of(&identity).ok_or(StartError::Url("identity.endpoint"))?);
    allow.extend(inbound.places().iter().filter_map(HostPort::of));
    let policy = Policy {
        allow,
        ..Policy::default()
    };
    countersign_outbound::Client::new(policy).map_err(|error| StartError::Outbound(error.to_string()))
}
