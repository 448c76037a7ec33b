//! The reference agent: a chat page, a model, tools that act at a third-party service for the person in front
//! of it, and a record of the conversation.
//!
//! It asks the identity service for workload access tokens and resource tokens and keeps neither longer than
//! a turn. It refuses to act for anyone but the person whose user token, made for this agent, came with the
//! request; it cannot complete a binding; a consent link goes from the identity service to the page and never
//! through the model.

mod access;
mod chat;
mod config;
mod conversation;
mod conversations;
mod event;
mod invocations;
mod markdown;
mod model;
mod reply;
mod session_id;
mod tools;
mod turn;
mod turn_log;
mod turns;

use std::sync::Arc;

use axum::Router;
use axum::extract::FromRef;
use axum::routing::get;
use countersign_api::Credentials;
use countersign_crypto::{SharedClock, SharedRandom};
use countersign_outbound::{HostPort, Policy};
use countersign_web::{Drain, Edge, ErrorFormat, HostAllowList, Inbound, PersonVerifier};
use url::Url;

pub use config::{Config, Github, IdentityEndpoint, Ledgerline, Tools};
pub use model::InvalidModel;

use conversation::ConversationStore;
use model::Model;
use tools::{Duplicate, GithubTools, LedgerlineTools, Toolbox};
use turns::Turns;

/// Bytes a request's body may have.
const MOST_BODY_BYTES: usize = 64 << 10;

/// What a process gives to each role.
#[derive(Clone)]
pub struct Parts {
    /// The time.
    pub clock: SharedClock,
    /// Randomness.
    pub random: SharedRandom,
    /// Ends turns that wait for consent when the process is asked to stop.
    pub drain: Drain,
}

impl std::fmt::Debug for Parts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Parts").finish_non_exhaustive()
    }
}

/// A started agent.
#[derive(Debug)]
pub struct Running {
    /// To be served on [`Config::listen`].
    pub router: Router,
}

/// The agent cannot start as configured.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The model.
    #[error(transparent)]
    Model(#[from] InvalidModel),
    /// A URL that must have a host has none.
    #[error("`{0}` must be an http or https URL with a host")]
    Url(&'static str),
    /// The tools.
    #[error("tools: {0}")]
    Tools(String),
    /// The conversations directory.
    #[error("{0}")]
    Conversations(String),
    /// The HTTP client.
    #[error("outbound client: {0}")]
    Outbound(String),
}

/// What the handlers share.
struct Agent {
    workload: String,
    return_url: String,
    front_channel: url::Origin,
    app_origin: String,
    own_origins: [url::Origin; 2],
    identity: countersign_api::Client,
    model: Model,
    tools: Toolbox,
    conversations: ConversationStore,
    turns: Arc<Turns>,
    persons: Arc<PersonVerifier>,
    parts: Parts,
}

#[derive(Clone)]
struct AppState(Arc<Agent>);

impl FromRef<AppState> for Arc<PersonVerifier> {
    fn from_ref(state: &AppState) -> Self {
        Arc::clone(&state.0.persons)
    }
}

/// Starts the agent: opens the conversations and builds the router. Calls nobody yet.
pub fn start(config: Config, parts: Parts) -> Result<Running, StartError> {
    let hosts = HostAllowList::new(config.hosts.clone());
    let edge = Edge {
        listener: "agent",
        errors: ErrorFormat::Json,
        hosts,
        max_body_bytes: MOST_BODY_BYTES,
        clock: Arc::clone(&parts.clock),
        random: Arc::clone(&parts.random),
    };
    let agent = Agent::new(config, parts)?;
    let router = Router::new()
        .merge(chat::routes())
        .merge(conversations::routes())
        .merge(invocations::routes())
        .route("/ping", get(ping))
        .fallback(reply::unknown_path)
        .with_state(AppState(Arc::new(agent)));
    Ok(Running {
        router: edge.wrap(router),
    })
}

/// Health for load balancers; says nothing else.
async fn ping() -> &'static str {
    "ok"
}

impl Agent {
    fn new(config: Config, parts: Parts) -> Result<Self, StartError> {
        let outbound = outbound(&config)?;
        let model = Model::parse(&config.model, config.model_api_key)?;
        let conversations = ConversationStore::directory(&config.conversations, &config.account)
            .map_err(|error| StartError::Conversations(error.to_string()))?;
        let clock = Arc::clone(&parts.clock);
        let identity = countersign_api::Client::new(
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
        let front_channel = origin(&config.front_channel_url, "front_channel_url")?;
        let app = origin(&config.app_url, "app_url")?;
        Ok(Self {
            workload: config.workload,
            return_url: config.return_url,
            app_origin: app.ascii_serialization(),
            own_origins: [front_channel.clone(), app],
            front_channel,
            identity,
            model,
            tools: toolbox(&config.tools, &outbound)?,
            conversations,
            turns: Arc::default(),
            persons: Arc::new(PersonVerifier::new(vec![inbound], &outbound, &parts.clock)),
            parts,
        })
    }

    /// A model's words as HTML.
    fn html(&self, markdown: &str) -> String {
        markdown::render(markdown, &self.own_origins)
    }

    /// The service behind `provider`, as the person knows it.
    fn title(&self, provider: &str) -> String {
        let service = self.tools.service(provider);
        service.map_or_else(|| provider.to_owned(), |service| service.title.clone())
    }
}

fn toolbox(config: &config::Tools, outbound: &countersign_outbound::Client) -> Result<Toolbox, StartError> {
    let refused = |error: Duplicate| StartError::Tools(error.to_string());
    let mut tools = Toolbox::new(outbound.clone());
    if let Some(ledgerline) = &config.ledgerline {
        let (service, added) = LedgerlineTools::of(&ledgerline.provider, &ledgerline.url)
            .map_err(|_| StartError::Url("tools.ledgerline.url"))?;
        tools.add(&service, added).map_err(refused)?;
    }
    if let Some(github) = &config.github {
        let (service, added) = GithubTools::of(&github.provider, &github.api_url);
        tools.add(&service, added).map_err(refused)?;
    }
    Ok(tools)
}

fn origin(url: &Url, name: &'static str) -> Result<url::Origin, StartError> {
    let origin = url.origin();
    if origin.is_tuple() && matches!(url.scheme(), "http" | "https") {
        Ok(origin)
    } else {
        Err(StartError::Url(name))
    }
}

/// A client that reaches what the operator's configuration names, at internal addresses too.
fn outbound(config: &Config) -> Result<countersign_outbound::Client, StartError> {
    let issuer = Url::parse(&config.gateway_issuer).map_err(|_| StartError::Url("gateway_issuer"))?;
    let named = [
        (Some(&config.identity.endpoint), "identity.endpoint"),
        (
            config.tools.ledgerline.as_ref().map(|tools| &tools.url),
            "tools.ledgerline.url",
        ),
        (
            config.tools.github.as_ref().map(|tools| &tools.api_url),
            "tools.github.api_url",
        ),
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
