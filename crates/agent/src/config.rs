//! What an operator says about the agent. Secrets arrive resolved: `cli` alone reads `env:` and `file:`
//! references.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use countersign_api::IdentityEndpoint;
use countersign_crypto::SecretString;
use countersign_outbound::HostPort;
use countersign_web::person::{AlbConfig, InboundConfig, InboundKind};
use countersign_web::tls::TlsConfig;
use ipnet::IpNet;
use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use url::Url;

use crate::StartError;
use crate::model::InvalidModel;

/// The `[agent]` table. Unknown keys are refused.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Socket address, bound by `cli`; `localhost:8405` is both loopbacks.
    pub listen: String,
    /// TLS; absent, other machines come only from `plaintext_from` (design D18).
    #[serde(default)]
    pub tls: Option<TlsConfig>,
    /// Networks whose machines may come without TLS; loopback always may.
    #[serde(default)]
    pub plaintext_from: Vec<IpNet>,
    /// Authorities this listener answers to (`Host`), as the gateway's target URL and health checks name
    /// them.
    pub hosts: Vec<String>,
    /// The app origin as browsers see it, without a trailing slash: `http://localhost:8400`.
    pub app_url: Url,
    /// Who says who the person is: `user-token` (default), our gateway; `alb`, an Application Load Balancer.
    #[serde(default)]
    pub inbound: InboundKind,
    /// Issuer of the user tokens that the gateway puts into `x-countersign-user-token`.
    #[serde(default)]
    pub gateway_issuer: Option<String>,
    /// Where that issuer's keys are; from its discovery document when absent.
    #[serde(default)]
    pub gateway_jwks_uri: Option<Url>,
    /// The audience this agent is, `dev-agent` in development. A token for another role is refused.
    #[serde(default)]
    pub audience: Option<String>,
    /// With `inbound = "alb"`: the load balancers that are believed, by their ARNs.
    #[serde(default)]
    pub alb: Option<AlbConfig>,
    /// The identity API and this agent's credentials there.
    pub identity: IdentityEndpoint,
    /// Account whose name goes into conversation keys.
    #[serde(default = "default_account")]
    pub account: String,
    /// This agent's workload identity.
    pub workload: String,
    /// The session binding page, exactly as it stands on the workload identity's list of return URLs.
    pub return_url: String,
    /// The only origin that an authorization URL may have; a consent card with any other is not shown. Beside AgentCore
    /// the origin of the session binding page, which begins there, too.
    pub front_channel_url: Url,
    /// What the model may call.
    #[serde(default)]
    pub tools: Tools,
    /// Where conversations are kept, sealed: the path of a directory, or `{ s3 = { … } }`.
    pub conversations: Conversations,
    /// Days after which a start makes a new key for conversations; the old ones go on opening. 0: never.
    #[serde(default = "default_conversation_key_days")]
    pub conversation_key_days: u32,
    /// `offline`, or `<vendor>:<name>[@URL]` with vendor `openai`, `anthropic`, `google`, `ollama` or `bedrock`. A URL
    /// selects another endpoint that speaks the vendor's protocol.
    #[serde(default = "default_model")]
    pub model: String,
    /// The model vendor's API key. Of Amazon Bedrock absent: the AWS SDK's credential chain.
    #[serde(default)]
    pub model_api_key: Option<SecretString>,
    /// The region of a model on Amazon Bedrock; absent: its ARN's, or the AWS SDK's.
    #[serde(default)]
    pub model_region: Option<String>,
    /// What one turn may take.
    #[serde(default)]
    pub limits: Limits,
    /// Hosts that may be reached by `http` or at internal addresses, besides those named above.
    #[serde(default)]
    pub outbound_allow: Vec<HostPort>,
}

/// What one turn, a question with everything that is done to answer it, may take.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Answers of the model, those included that only call tools.
    pub steps: u32,
    /// Tokens, to the model and from it. 0: no limit.
    pub tokens: u64,
    /// US dollars, by the prices below. 0: no limit.
    pub cost_usd: f64,
    /// The vendor's price of a million tokens to the model.
    pub input_usd_per_million: f64,
    /// And of a million from it.
    pub output_usd_per_million: f64,
    /// Tokens of one answer of the model.
    pub output_tokens: u32,
    /// Seconds to the model's first byte, and between two.
    pub model_timeout_seconds: u32,
    /// How often a request that the vendor did not take is sent again.
    pub model_retries: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            steps: 8,
            tokens: 200_000,
            cost_usd: 0.0,
            input_usd_per_million: 0.0,
            output_usd_per_million: 0.0,
            output_tokens: 4096,
            model_timeout_seconds: 120,
            model_retries: 2,
        }
    }
}

impl Limits {
    /// Whether a turn could get anywhere within them.
    pub(crate) fn check(&self) -> Result<(), InvalidModel> {
        let prices = [self.input_usd_per_million, self.output_usd_per_million];
        let sound = |price: &f64| price.is_finite() && *price >= 0.0;
        if !prices.iter().all(sound) || !sound(&self.cost_usd) {
            return Err(InvalidModel::Price);
        }
        if self.cost_usd > 0.0 && prices.iter().all(|price| *price <= 0.0) {
            return Err(InvalidModel::Price);
        }
        for (name, value, least) in [
            ("steps", u64::from(self.steps), 1),
            ("output_tokens", u64::from(self.output_tokens), 16),
            ("model_timeout_seconds", u64::from(self.model_timeout_seconds), 1),
            (
                "tokens",
                if self.tokens == 0 { 1_000 } else { self.tokens },
                1_000,
            ),
        ] {
            if value < least {
                return Err(InvalidModel::Limit(name, least));
            }
        }
        Ok(())
    }

    pub(crate) fn model_timeout(&self) -> Duration {
        Duration::from_secs(self.model_timeout_seconds.into())
    }
}

/// Where conversations are kept.
#[derive(Debug, Clone)]
pub enum Conversations {
    /// A directory, made with mode 0700 when missing.
    Directory(PathBuf),
    /// A bucket.
    S3(S3),
}

/// A bucket of S3, or of what speaks its protocol.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct S3 {
    /// Its name.
    pub bucket: String,
    /// Its region.
    #[serde(default = "default_region")]
    pub region: String,
    /// How every object's name begins; `countersign/` keeps them apart from others.
    #[serde(default)]
    pub prefix: String,
    /// Another endpoint than AWS's, with the bucket in the path. `http` needs an entry in `outbound_allow`.
    #[serde(default)]
    pub endpoint: Option<Url>,
    /// Access key id; without it the credentials come from the AWS variables, a web identity or the role of the container
    /// or instance.
    #[serde(default)]
    pub access_key_id: Option<String>,
    /// Its secret.
    #[serde(default)]
    pub secret_access_key: Option<SecretString>,
}

impl<'de> Deserialize<'de> for Conversations {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Forms;

        #[derive(Deserialize)]
        #[serde(rename_all = "lowercase")]
        enum Table {
            S3(S3),
        }

        impl<'de> Visitor<'de> for Forms {
            type Value = Conversations;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the path of a directory, or a table with `s3`")
            }

            fn visit_str<E>(self, path: &str) -> Result<Conversations, E> {
                Ok(Conversations::Directory(PathBuf::from(path)))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Conversations, A::Error> {
                let Table::S3(s3) = Table::deserialize(MapAccessDeserializer::new(map))?;
                Ok(Conversations::S3(s3))
            }
        }

        deserializer.deserialize_any(Forms)
    }
}

impl Config {
    /// What would otherwise only fail when it starts: keys that do not fit together.
    pub fn check(&self) -> Result<(), StartError> {
        self.inbound().resolve()?;
        Ok(())
    }

    /// The part about who the person is.
    pub(crate) fn inbound(&self) -> InboundConfig {
        InboundConfig {
            inbound: self.inbound,
            gateway_issuer: self.gateway_issuer.clone(),
            gateway_jwks_uri: self.gateway_jwks_uri.clone(),
            audience: self.audience.clone(),
            alb: self.alb.clone(),
        }
    }
}

/// The services whose tools the model may call. Without any it can only talk.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tools {
    /// The playground's issue tracker: list, read and create issues.
    #[serde(default)]
    pub ledgerline: Option<Ledgerline>,
    /// GitHub: the person's profile and repositories.
    #[serde(default)]
    pub github: Option<Github>,
    /// Any other service, by its `OpenAPI` 3 document.
    #[serde(default)]
    pub openapi: Vec<OpenApi>,
}

/// Tools of a service that has an `OpenAPI` 3 document.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpenApi {
    /// The document, JSON of at most 32 MiB.
    pub document: PathBuf,
    /// The service as people know it: `Contoso Calendar`.
    pub title: String,
    /// The OAuth2 credential provider whose tokens its operations need.
    pub provider: String,
    /// Where the service is; the document's first server when absent. It is under the guard of outbound requests: an
    /// internal address, or `http`, needs an entry in `outbound_allow`.
    #[serde(default)]
    pub base_url: Option<Url>,
    /// Scopes in plain words, each to be read after "to": `read your calendar`; when absent what their names tell, else
    /// the document's own.
    #[serde(default)]
    pub scope_descriptions: BTreeMap<String, String>,
    /// The operations that become tools, one each. The others of the document do not exist for the model.
    pub operations: Vec<OpenApiOperation>,
}

/// One operation of a document, as a tool.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpenApiOperation {
    /// Its `operationId`.
    pub id: String,
    /// The tool's name, 1 to 64 of `a-z 0-9 _`; made of the id when absent.
    #[serde(default)]
    pub name: Option<String>,
    /// What the model is told of it; the document's summary and description when absent.
    #[serde(default)]
    pub description: Option<String>,
    /// What the person reads while it runs: `Looking at your calendar`.
    #[serde(default)]
    pub label: Option<String>,
    /// What a person could ask that leads to it, offered where a conversation begins: `What is on my calendar today?`.
    #[serde(default)]
    pub example: Option<String>,
    /// The provider, where it is another than the document's.
    #[serde(default)]
    pub provider: Option<String>,
    /// The scopes it needs, and no more; those of the document's first security requirement when absent.
    #[serde(default)]
    pub scopes: Option<Vec<String>>,
    /// Parameters that the model does not choose, and their values.
    #[serde(default)]
    pub fixed: BTreeMap<String, serde_json::Value>,
    /// Members of a JSON answer that the model is shown, such as `items.id`; arrays are passed through. All when empty.
    #[serde(default)]
    pub answer: Vec<String>,
    /// Bytes of an answer that the model is shown; of a larger one, its first items and the beginnings of its texts.
    #[serde(default = "default_answer_bytes")]
    pub answer_bytes: usize,
}

/// Ledgerline's tools.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ledgerline {
    /// The OAuth2 credential provider that it is registered as.
    pub provider: String,
    /// Its origin; the tools call `/api/issues` there.
    pub url: Url,
}

/// GitHub's tools.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Github {
    /// The OAuth2 credential provider that it is registered as.
    pub provider: String,
    /// Base of the REST API; another one is GitHub Enterprise's `https://HOST/api/v3`.
    #[serde(default = "default_github_api")]
    pub api_url: Url,
}

fn default_region() -> String {
    "us-east-1".to_owned()
}

fn default_account() -> String {
    "000000000000".to_owned()
}

#[expect(clippy::expect_used, reason = "a constant")]
fn default_github_api() -> Url {
    Url::parse("https://api.github.com").expect("a URL")
}

const fn default_conversation_key_days() -> u32 {
    365
}

const fn default_answer_bytes() -> usize {
    32 << 10
}

fn default_model() -> String {
    "offline".to_owned()
}
