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
use std::time::Duration;

use axum::extract::FromRef;
use axum::routing::get;
use axum::{Extension, Router};
use countersign_api::{EndpointError, Environment, IdentityApi};
use countersign_crypto::{KeyProvider, SharedClock, SharedRandom};
use countersign_outbound::{HostPort, Policy};
use countersign_web::person::InboundError;
use countersign_web::{Drain, Edge, ErrorFormat, HostAllowList, Inbound, PersonVerifier, Routine};
use url::Url;

pub use config::{Config, Conversations, Github, Ledgerline, Limits, OpenApi, OpenApiOperation, S3, Tools};
pub use conversation::ConversationKey;
pub use countersign_api::IdentityEndpoint;
pub use model::InvalidModel;

use conversation::{ConversationKeys, ConversationStore, StoreError};
use model::Model;
use tools::{Conflict, GithubTools, LedgerlineTools, OpenApiTools, Toolbox};
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
    /// The agent's own root key: wraps the keys that seal conversations.
    pub key_provider: Arc<dyn KeyProvider>,
    /// The root key before it: what it wrapped is wrapped anew at the start.
    pub previous_key_provider: Option<Arc<dyn KeyProvider>>,
    /// What the platform says of AWS: credentials and endpoints that the configuration leaves out.
    pub aws: Environment,
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
    /// The identity API.
    #[error(transparent)]
    Identity(#[from] EndpointError),
    /// Who vouches for persons.
    #[error(transparent)]
    Inbound(#[from] InboundError),
    /// Beside AgentCore the session binding page has to be on the front channel's origin.
    #[error("`return_url` must be on the origin of `front_channel_url` when `identity.api` is `agentcore`")]
    ReturnUrl,
    /// The tools.
    #[error("tools: {0}")]
    Tools(String),
    /// The store of conversations, or its keys.
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
    /// Beside AgentCore, which has no start page: where a consent card leads, at the session binding service.
    binding_start: Option<Url>,
    app_origin: String,
    own_origins: [url::Origin; 2],
    identity: countersign_api::Client,
    model: Model,
    limits: Limits,
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

/// Starts the agent: opens the conversations and builds the router. Calls the store of conversations and the root key, and
/// nobody else yet.
pub async fn start(config: Config, parts: Parts) -> Result<Running, StartError> {
    let hosts = HostAllowList::new(config.hosts.clone());
    let edge = Edge {
        listener: "agent",
        traced: true,
        errors: ErrorFormat::Json,
        hosts,
        max_body_bytes: MOST_BODY_BYTES,
        clock: Arc::clone(&parts.clock),
        random: Arc::clone(&parts.random),
    };
    let agent = Agent::new(config, parts).await?;
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
async fn ping() -> (Extension<Routine>, &'static str) {
    (Extension(Routine), "ok")
}

/// The keys that seal the conversations of the agent that `config` describes, the newest first: read from where the
/// conversations lie, without the root key.
///
/// # Errors
///
/// [`StartError::Conversations`]: that place cannot be read, or holds something else.
pub async fn conversation_keys(
    conversations: &Conversations,
    outbound_allow: &[HostPort],
    account: &str,
) -> Result<Vec<ConversationKey>, StartError> {
    let listed = conversation::list_keys(conversations, outbound_allow, account).await;
    listed.map_err(|error| StartError::Conversations(error.to_string()))
}

impl Agent {
    async fn new(config: Config, parts: Parts) -> Result<Self, StartError> {
        let inbound = config.inbound().resolve()?;
        let outbound = outbound(&config, &inbound, &parts.aws)?;
        config.limits.check()?;
        let (region, key) = (config.model_region.as_deref(), config.model_api_key.clone());
        // Its future is large.
        let model = Box::pin(Model::of(&config.model, region, key, &config.limits)).await?;
        let conversations = conversations(&config, &parts)
            .await
            .map_err(|error| StartError::Conversations(error.to_string()))?;
        let clock = Arc::clone(&parts.clock);
        let now_secs = Arc::new(move || clock.now().as_secs());
        let identity = config.identity.client(&parts.aws, outbound.clone(), now_secs)?;
        let front_channel = origin(&config.front_channel_url, "front_channel_url")?;
        let app = origin(&config.app_url, "app_url")?;
        let binding_start = match config.identity.api {
            IdentityApi::Countersign => None,
            IdentityApi::AgentCore => Some(binding_start(&config.return_url, &front_channel)?),
        };
        Ok(Self {
            workload: config.workload,
            return_url: config.return_url,
            app_origin: app.ascii_serialization(),
            own_origins: [front_channel.clone(), app],
            front_channel,
            binding_start,
            identity,
            model,
            limits: config.limits,
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

async fn conversations(config: &Config, parts: &Parts) -> Result<ConversationStore, StoreError> {
    let objects = conversation::open(&config.conversations, &config.outbound_allow)?;
    let days = config.conversation_key_days;
    let rotate_after = (days > 0).then(|| Duration::from_secs(u64::from(days) * 86_400));
    let keys = ConversationKeys::open(Arc::clone(&objects), &config.account, rotate_after, parts).await?;
    Ok(ConversationStore::new(objects, keys, &config.account))
}

fn toolbox(config: &config::Tools, outbound: &countersign_outbound::Client) -> Result<Toolbox, StartError> {
    let refused = |error: Conflict| StartError::Tools(error.to_string());
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
    for openapi in &config.openapi {
        for (service, added) in OpenApiTools::of(openapi).map_err(StartError::Tools)? {
            tools.add(&service, added).map_err(refused)?;
        }
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

/// The session binding service's start page, beside the page that consent comes back to.
fn binding_start(return_url: &str, front_channel: &url::Origin) -> Result<Url, StartError> {
    let mut url = Url::parse(return_url).map_err(|_| StartError::Url("return_url"))?;
    if url.origin() != *front_channel {
        return Err(StartError::ReturnUrl);
    }
    url.set_path(&format!("{}/start", url.path().trim_end_matches('/')));
    url.set_query(None);
    url.set_fragment(None);
    Ok(url)
}

/// A client that reaches what the operator's configuration names, at internal addresses too.
fn outbound(
    config: &Config,
    inbound: &Inbound,
    aws: &Environment,
) -> Result<countersign_outbound::Client, StartError> {
    let identity = config.identity.url(aws)?;
    let named = [
        (Some(&identity), "identity.endpoint"),
        (
            config.tools.ledgerline.as_ref().map(|tools| &tools.url),
            "tools.ledgerline.url",
        ),
        (
            config.tools.github.as_ref().map(|tools| &tools.api_url),
            "tools.github.api_url",
        ),
    ];
    let mut allow = config.outbound_allow.clone();
    allow.extend(inbound.places().iter().filter_map(HostPort::of));
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
