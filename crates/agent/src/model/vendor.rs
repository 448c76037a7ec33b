//! Models of vendors, through the `genai` crate (design D21): OpenAI and what speaks its protocol, Anthropic,
//! Google, Ollama. The vendor is the operator's choice, so its URL is not under the tenants' SSRF guard.

use std::time::Duration;

use countersign_crypto::{ExposeSecret as _, SecretString};
use futures_util::stream::{self, BoxStream};
use futures_util::{StreamExt as _, TryStreamExt as _};
use genai::adapter::AdapterKind;
use genai::chat::{
    ChatMessage, ChatOptions, ChatRequest, ChatStreamEvent, ContentPart, MessageContent, Tool,
    ToolCall as VendorCall, ToolResponse,
};
use genai::resolver::{AuthData, Endpoint};
use genai::{Client, ModelIden, ServiceTarget, WebConfig};
use url::Url;

use super::{Delta, INSTRUCTIONS, MODEL_TIMEOUT, ModelError};
use crate::conversation::{Entry, ToolCall};
use crate::tools::ToolSpec;

/// Longest answer asked for, in the vendor's tokens.
const MOST_OUTPUT_TOKENS: u32 = 4096;
/// Longest answer taken, in bytes, whatever the vendor makes of the above.
const MOST_OUTPUT_BYTES: usize = 256 << 10;

/// A vendor's model and where it is reached.
#[derive(Debug)]
pub(crate) struct VendorModel {
    client: Client,
    kind: AdapterKind,
    name: String,
    endpoint: Endpoint,
    api_key: Option<SecretString>,
}

/// The configuration names no model that could be used.
#[derive(Debug, thiserror::Error)]
pub enum InvalidModel {
    /// Not `offline` and not `<vendor>:<name>[@URL]`.
    #[error("model must be `offline` or `<vendor>:<name>[@URL]`")]
    Form,
    /// A vendor that is not built in.
    #[error("unknown model vendor `{0}`; known are openai, anthropic, google and ollama")]
    Vendor(String),
    /// The vendor wants a key.
    #[error("model vendor `{0}` needs `model_api_key`")]
    ApiKey(&'static str),
    /// The HTTP client could not be made.
    #[error("model client: {0}")]
    Client(String),
}

impl VendorModel {
    pub(crate) fn parse(text: &str, api_key: Option<SecretString>) -> Result<Self, InvalidModel> {
        let (vendor, rest) = text.split_once(':').ok_or(InvalidModel::Form)?;
        // A name may hold `@` (`claude@latest`), so only one before a URL separates.
        let (name, url) = match rest.split_once("@http") {
            Some((name, url)) => (name, Some(format!("http{url}"))),
            None => (rest, None),
        };
        let (kind, default_url) = match vendor {
            "openai" => (AdapterKind::OpenAI, "https://api.openai.com/v1/"),
            "anthropic" => (AdapterKind::Anthropic, "https://api.anthropic.com/v1/"),
            "google" => (
                AdapterKind::Gemini,
                "https://generativelanguage.googleapis.com/v1beta/",
            ),
            "ollama" => (AdapterKind::Ollama, "http://localhost:11434/"),
            other => return Err(InvalidModel::Vendor(other.to_owned())),
        };
        if name.is_empty() {
            return Err(InvalidModel::Form);
        }
        // A server of one's own that speaks a vendor's protocol may want no key; the vendors do.
        if api_key.is_none() && url.is_none() && kind != AdapterKind::Ollama {
            return Err(InvalidModel::ApiKey(kind.as_lower_str()));
        }
        let mut url = url.unwrap_or_else(|| default_url.to_owned());
        if !url.ends_with('/') {
            url.push('/');
        }
        let parsed = Url::parse(&url).map_err(|_| InvalidModel::Form)?;
        if !matches!(parsed.scheme(), "http" | "https") || !parsed.username().is_empty() {
            return Err(InvalidModel::Form);
        }
        let web = WebConfig::default().with_connect_timeout(Duration::from_secs(10));
        let client = Client::builder()
            .with_web_config(web)
            .build()
            .map_err(|error| InvalidModel::Client(error.to_string()))?;
        Ok(Self {
            client,
            kind,
            name: name.to_owned(),
            endpoint: Endpoint::from_owned(url),
            api_key,
        })
    }

    pub(crate) fn label(&self) -> String {
        format!("{} ({})", self.name, self.kind.as_lower_str())
    }

    fn target(&self) -> ServiceTarget {
        // A key in the environment is never looked for: `cli` alone reads the environment.
        let key = self.api_key.as_ref().map_or("none", |key| key.expose_secret());
        ServiceTarget {
            endpoint: self.endpoint.clone(),
            auth: AuthData::from_single(key),
            model: ModelIden::new(self.kind, self.name.as_str()),
        }
    }

    pub(crate) fn answer<'a>(
        &'a self,
        entries: &'a [Entry],
        tools: &'a [ToolSpec],
    ) -> BoxStream<'a, Result<Delta, ModelError>> {
        let deltas = async move {
            let request = ChatRequest::new(messages(entries))
                .with_system(INSTRUCTIONS)
                .with_tools(tools.iter().map(vendor_tool));
            let options = ChatOptions::default()
                .with_stream_header_timeout(MODEL_TIMEOUT)
                .with_stream_read_timeout(MODEL_TIMEOUT)
                .with_max_tokens(MOST_OUTPUT_TOKENS)
                .with_capture_tool_calls(true);
            let started = self
                .client
                .exec_chat_stream(self.target(), request, Some(&options));
            let response = tokio::time::timeout(MODEL_TIMEOUT, started)
                .await
                .map_err(|_| ModelError::Timeout)?
                .map_err(|error| vendor_error(&error))?;
            let mut bytes = 0_usize;
            let events = response.stream.map_err(|error| vendor_error(&error));
            Ok::<_, ModelError>(events.try_filter_map(move |event| {
                let delta = delta(event, &mut bytes);
                async move { delta }
            }))
        };
        let flattened = stream::once(deltas).try_flatten();
        // The vendor's calls arrive together at the end, hence a list for each event.
        flattened
            .map_ok(|deltas| stream::iter(deltas.into_iter().map(Ok)))
            .try_flatten()
            .boxed()
    }
}

fn delta(event: ChatStreamEvent, bytes: &mut usize) -> Result<Option<Vec<Delta>>, ModelError> {
    match event {
        ChatStreamEvent::Chunk(chunk) => {
            *bytes += chunk.content.len();
            if *bytes > MOST_OUTPUT_BYTES {
                return Err(ModelError::Vendor("answer is too long".to_owned()));
            }
            Ok(Some(vec![Delta::Text(chunk.content)]))
        }
        ChatStreamEvent::End(end) => {
            let calls = end.captured_into_tool_calls().unwrap_or_default();
            Ok(Some(
                calls
                    .into_iter()
                    .map(|call| Delta::ToolCall(ours(call)))
                    .collect(),
            ))
        }
        _ => Ok(None),
    }
}

/// The kind of failure. The crate's own text quotes whole requests.
fn vendor_error(error: &genai::Error) -> ModelError {
    let what = match (error.status(), error) {
        (Some(status), _) => format!("answered {status}"),
        (None, genai::Error::StreamParse { .. } | genai::Error::SerdeJson(_)) => {
            "answer is not of its form".to_owned()
        }
        (None, _) => "no answer, or one cut short".to_owned(),
    };
    ModelError::Vendor(what)
}

fn vendor_tool(tool: &ToolSpec) -> Tool {
    Tool::new(tool.name.as_str())
        .with_description(tool.description.as_str())
        .with_schema(tool.schema.clone())
}

fn ours(call: VendorCall) -> ToolCall {
    ToolCall {
        id: call.call_id,
        name: call.fn_name,
        arguments: call.fn_arguments,
        signatures: call.thought_signatures.unwrap_or_default(),
    }
}

fn messages(entries: &[Entry]) -> Vec<ChatMessage> {
    let mut messages = Vec::with_capacity(entries.len());
    let mut results: Vec<ContentPart> = Vec::new();
    for entry in entries {
        // Vendors want the results of one step together, directly after the calls.
        if let Entry::Tool {
            call_id,
            name,
            content,
        } = entry
        {
            let response = ToolResponse::new(call_id, content.to_string()).with_fn_name(name);
            results.push(ContentPart::ToolResponse(response));
            continue;
        }
        if !results.is_empty() {
            messages.push(ChatMessage::tool(MessageContent::from_parts(std::mem::take(
                &mut results,
            ))));
        }
        match entry {
            Entry::User { text } => messages.push(ChatMessage::user(text.as_str())),
            Entry::Assistant { text, tool_calls } => messages.push(assistant(text, tool_calls)),
            Entry::Tool { .. } => {}
        }
    }
    if !results.is_empty() {
        messages.push(ChatMessage::tool(MessageContent::from_parts(results)));
    }
    messages
}

fn assistant(text: &str, calls: &[ToolCall]) -> ChatMessage {
    let mut parts = Vec::new();
    if !text.is_empty() {
        parts.push(ContentPart::Text(text.to_owned()));
    }
    for call in calls {
        parts.push(ContentPart::ToolCall(VendorCall {
            call_id: call.id.clone(),
            fn_name: call.name.clone(),
            fn_arguments: call.arguments.clone(),
            thought_signatures: (!call.signatures.is_empty()).then(|| call.signatures.clone()),
        }));
    }
    ChatMessage::assistant(MessageContent::from_parts(parts))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> SecretString {
        SecretString::from("key")
    }

    #[test]
    fn models_are_named_by_vendor_name_and_url() {
        let model = VendorModel::parse("openai:gpt-5@http://127.0.0.1:9/v1", None).expect("a model");
        assert_eq!(model.name, "gpt-5");
        assert_eq!(model.endpoint.base_url(), "http://127.0.0.1:9/v1/");
        let model = VendorModel::parse("ollama:qwen3:4b", None).expect("a model");
        assert_eq!(model.label(), "qwen3:4b (ollama)");
        assert!(VendorModel::parse("anthropic:claude@latest", Some(key())).is_ok());
    }

    #[test]
    fn other_texts_are_refused() {
        for text in [
            "gpt-5",
            "openai:",
            "acme:x",
            "openai:x",
            "openai:x@http://user@host/",
            "openai:@https://h/",
        ] {
            let key = (text != "openai:x").then(key);
            assert!(VendorModel::parse(text, key).is_err(), "{text}");
        }
    }

    #[test]
    fn results_of_one_step_become_one_message() {
        let call = |id: &str| ToolCall {
            id: id.to_owned(),
            name: "list_issues".to_owned(),
            arguments: serde_json::json!({}),
            signatures: Vec::new(),
        };
        let result = |id: &str| Entry::Tool {
            call_id: id.to_owned(),
            name: "list_issues".to_owned(),
            content: serde_json::json!({}),
        };
        let entries = [
            Entry::User { text: "q".to_owned() },
            Entry::Assistant {
                text: String::new(),
                tool_calls: vec![call("1"), call("2")],
            },
            result("1"),
            result("2"),
        ];
        assert_eq!(messages(&entries).len(), 3);
    }
}
