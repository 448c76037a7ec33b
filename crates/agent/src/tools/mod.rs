//! The tools a model may call. Arguments and results are typed; a result is data for the model and never
//! holds a token, a header or a URL to consent.
//!
//! A tool only prepares its request and reads its answer. The token is put in here, after the person's consent, and
//! is seen by nothing else.

mod call;
mod github;
mod ledgerline;

use std::collections::BTreeMap;
use std::sync::Arc;

use countersign_outbound::Client;
use serde_json::Value;

pub(crate) use call::{Call, ToolError};
pub(crate) use github::GithubTools;
pub(crate) use ledgerline::LedgerlineTools;

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

/// A third-party service that tools call, as the person is told of it.
#[derive(Debug, Clone)]
pub(crate) struct Service {
    /// Name of its OAuth2 credential provider at the identity service.
    pub(crate) provider: Arc<str>,
    /// `GitHub`.
    pub(crate) title: String,
    /// Scopes in plain words, each to be read after "to": `read your issues`.
    pub(crate) scopes: BTreeMap<String, String>,
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
    services: BTreeMap<Arc<str>, Service>,
    outbound: Client,
}

/// Two tools have one name, or two services one provider.
#[derive(Debug, thiserror::Error)]
#[error("two {0} are called `{1}`")]
pub(crate) struct Duplicate(&'static str, String);

impl Toolbox {
    /// No tools yet; `outbound` makes their calls.
    pub(crate) fn new(outbound: Client) -> Self {
        Self {
            tools: Vec::new(),
            specs: Vec::new(),
            services: BTreeMap::new(),
            outbound,
        }
    }

    /// Adds the tools of `service`.
    pub(crate) fn add(&mut self, service: &Service, tools: Vec<Arc<dyn Tool>>) -> Result<(), Duplicate> {
        let provider = Arc::clone(&service.provider);
        if self.services.insert(provider, service.clone()).is_some() {
            return Err(Duplicate("services' providers", service.provider.to_string()));
        }
        for tool in tools {
            if self.named(&tool.spec().name).is_some() {
                return Err(Duplicate("tools", tool.spec().name.clone()));
            }
            self.specs.push(tool.spec().clone());
            self.tools.push(tool);
        }
        Ok(())
    }

    pub(crate) fn specs(&self) -> &[ToolSpec] {
        &self.specs
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
