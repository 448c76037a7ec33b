//! The tools a model may call. Arguments and results are typed; a result is data for the model and never
//! holds a token, a header or a URL to consent.
//!
//! A tool only prepares its request and reads its answer. The token is put in here, after the person's consent, and
//! is seen by nothing else.

mod call;
mod github;
mod ledgerline;
mod openapi;

use std::collections::BTreeMap;
use std::sync::Arc;

use countersign_outbound::Client;
use serde_json::Value;

pub(crate) use call::{Call, ToolError};
pub(crate) use github::GithubTools;
pub(crate) use ledgerline::LedgerlineTools;
pub(crate) use openapi::OpenApiTools;

/// What a model is told about a tool, and the page.
#[derive(Debug, Clone)]
pub(crate) struct ToolSpec {
    /// `[a-z0-9_]{1,64}`, unique.
    pub(crate) name: String,
    pub(crate) description: String,
    /// JSON Schema of the arguments.
    pub(crate) schema: Value,
    /// What the person reads while it runs: `Looking through issues`.
    pub(crate) label: String,
}

impl ToolSpec {
    /// Bytes that a model reads of it.
    pub(crate) fn size(&self) -> usize {
        self.name.len() + self.description.len() + self.schema.to_string().len()
    }
}

/// A third-party service that tools call, as the person is told of it.
#[derive(Debug, Clone)]
pub(crate) struct Service {
    /// Name of its OAuth2 credential provider at the identity service.
    pub(crate) provider: Arc<str>,
    /// `GitHub`.
    pub(crate) title: String,
    /// What the operator or its document says of scopes, to be read after "to": `read your issues`; of the others,
    /// what their names tell.
    pub(crate) scopes: BTreeMap<String, String>,
    /// What a person could ask for, as they would say it: `List my open issues`.
    pub(crate) examples: Vec<String>,
}

/// One tool.
pub(crate) trait Tool: Send + Sync {
    fn spec(&self) -> &ToolSpec;
    /// The provider whose token it needs.
    fn provider(&self) -> &Arc<str>;
    /// Checks a model's arguments; the error is for the model, which may try again.
    fn prepare(&self, arguments: &Value) -> Result<Call, String>;
}

/// All tools of this agent.
pub(crate) struct Toolbox {
    tools: Vec<Arc<dyn Tool>>,
    specs: Vec<ToolSpec>,
    /// Bytes of all specs.
    size: usize,
    services: BTreeMap<Arc<str>, Service>,
    outbound: Client,
}

/// The tools do not go together.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Conflict {
    #[error("two tools are called `{0}`")]
    Name(String),
    /// A card names a provider's service by its title, so that there is one.
    #[error("provider `{provider}` is `{first}` here and `{second}` there: give both one title")]
    Titles {
        provider: String,
        first: String,
        second: String,
    },
}

impl Toolbox {
    /// No tools yet; `outbound` makes their calls.
    pub(crate) fn new(outbound: Client) -> Self {
        Self {
            tools: Vec::new(),
            specs: Vec::new(),
            size: 0,
            services: BTreeMap::new(),
            outbound,
        }
    }

    /// Adds the tools of `service`. Further tools of the same provider belong to the same service.
    pub(crate) fn add(&mut self, service: &Service, tools: Vec<Arc<dyn Tool>>) -> Result<(), Conflict> {
        let provider = Arc::clone(&service.provider);
        let known = self.services.entry(provider).or_insert_with(|| service.clone());
        if known.title != service.title {
            return Err(Conflict::Titles {
                provider: service.provider.to_string(),
                first: known.title.clone(),
                second: service.title.clone(),
            });
        }
        // The first tools of a service have brought theirs when they made it known.
        if known.examples != service.examples {
            known.examples.extend(service.examples.iter().cloned());
        }
        known.scopes.extend(service.scopes.clone());
        for tool in tools {
            if self.named(&tool.spec().name).is_some() {
                return Err(Conflict::Name(tool.spec().name.clone()));
            }
            self.size += tool.spec().size();
            self.specs.push(tool.spec().clone());
            self.tools.push(tool);
        }
        Ok(())
    }

    pub(crate) fn specs(&self) -> &[ToolSpec] {
        &self.specs
    }

    /// Bytes that a model reads of all tools.
    pub(crate) fn size(&self) -> usize {
        self.size
    }

    /// The services, by provider.
    pub(crate) fn services(&self) -> impl Iterator<Item = &Service> {
        self.services.values()
    }

    pub(crate) fn service(&self, provider: &str) -> Option<&Service> {
        self.services.get(provider)
    }

    /// What `name` with `arguments` would do; the error is for the model.
    pub(crate) fn prepare(&self, name: &str, arguments: &Value) -> Result<(Arc<str>, Call), String> {
        let tool = self.named(name).ok_or("there is no such tool")?;
        // Some models send null, or nothing, for a tool without required arguments.
        let none = Value::Object(serde_json::Map::new());
        let arguments = if arguments.is_null() { &none } else { arguments };
        Ok((Arc::clone(tool.provider()), tool.prepare(arguments)?))
    }

    /// The client for [`Call::make`].
    pub(crate) fn outbound(&self) -> &Client {
        &self.outbound
    }

    fn named(&self, name: &str) -> Option<&Arc<dyn Tool>> {
        self.tools.iter().find(|tool| tool.spec().name == name)
    }
}
