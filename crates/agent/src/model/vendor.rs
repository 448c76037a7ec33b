//! Models of vendors, through the `genai` crate (design D21): OpenAI and what speaks its protocol, Anthropic,
//! Google, Ollama. The vendor is the operator's choice, so its URL is not under the tenants' SSRF guard.

use std::time::Duration;

use countersign_crypto::{ExposeSecret as _, SecretString};
use futures_util::stream::{self, BoxStream};
use futures_util::{StreamExt as _, TryStreamExt as _};
use genai::adapter::AdapterKind;
use genai::chat::{
    ChatMessage, ChatOptions, ChatRequest, ChatStreamEvent, ContentPart, MessageContent, StopReason,
    StreamEnd, Tool, ToolCall as VendorCall, ToolResponse,
};
use genai::resolver::{AuthData, Endpoint};
use genai::{Client, ModelIden, ServiceTarget, WebConfig};
use http::header::RETRY_AFTER;
use url::Url;

use super::{Ask, Delta, GRACE, INSTRUCTIONS, InvalidModel, MOST_OUTPUT_BYTES, ModelError, Usage};
use crate::config::Limits;
use crate::conversation::{Entry, ToolCall};
use crate::tools::ToolSpec;

/// A vendor's model and where it is reached.
#[derive(Debug)]
pub(crate) struct VendorModel {
    client: Client,
    kind: AdapterKind,
    name: String,
    endpoint: Endpoint,
    api_key: Option<SecretString>,
    timeout: Duration,
}

impl VendorModel {
    pub(crate) fn of(
        vendor: &str,
        name: &str,
        url: Option<String>,
        api_key: Option<SecretString>,
        limits: &Limits,
    ) -> Result<Self, InvalidModel> {
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
            // The turn keeps the time; this only ends what it has given up.
            timeout: limits.model_timeout() + GRACE,
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

    pub(crate) fn answer<'a>(&'a self, ask: Ask<'a>) -> BoxStream<'a, Result<Delta, ModelError>> {
        let deltas = async move {
            let request = ChatRequest::new(messages(ask.entries))
                .with_system(INSTRUCTIONS)
                .with_tools(ask.tools.iter().map(vendor_tool));
            let options = ChatOptions::default()
                .with_stream_header_timeout(self.timeout)
                .with_stream_read_timeout(self.timeout)
                .with_max_tokens(ask.output_tokens)
                .with_capture_usage(true)
                .with_capture_tool_calls(true);
            let started = self
                .client
                .exec_chat_stream(self.target(), request, Some(&options))
                .await;
            let response = started.map_err(|error| vendor_error(&error, false))?;
            let mut bytes = 0_usize;
            let (mut begun, mut ended) = (false, false);
            let events = response
                .stream
                .map(Some)
                // What comes after the last event tells whether the vendor's own end was among them.
                .chain(stream::once(async { None }));
            Ok::<_, ModelError>(events.map(move |event| match event {
                Some(Ok(event)) => {
                    // `Start` says that the request was made, not that it was answered.
                    begun |= !matches!(event, ChatStreamEvent::Start);
                    ended |= matches!(event, ChatStreamEvent::End(_));
                    read(event, &mut bytes)
                }
                Some(Err(error)) => Err(vendor_error(&error, begun)),
                None if ended => Ok(Vec::new()),
                None => Err(ModelError::CutShort),
            }))
        };
        stream::once(deltas)
            .try_flatten()
            // The vendor's calls arrive together at the end, hence a list for each event.
            .map_ok(|deltas| stream::iter(deltas.into_iter().map(Ok)))
            .try_flatten()
            .boxed()
    }
}

fn read(event: ChatStreamEvent, bytes: &mut usize) -> Result<Vec<Delta>, ModelError> {
    match event {
        ChatStreamEvent::Chunk(chunk) => {
            *bytes += chunk.content.len();
            within(*bytes)?;
            Ok(vec![Delta::Text(chunk.content)])
        }
        // What a call has come to so far.
        ChatStreamEvent::ToolCallChunk(chunk) => {
            within(chunk.tool_call.fn_arguments.as_str().map_or(0, str::len))?;
            Ok(Vec::new())
        }
        ChatStreamEvent::End(end) => last(end),
        _ => Ok(Vec::new()),
    }
}

fn within(bytes: usize) -> Result<(), ModelError> {
    if bytes > MOST_OUTPUT_BYTES {
        return Err(ModelError::Malformed("too long".to_owned()));
    }
    Ok(())
}

fn last(mut end: StreamEnd) -> Result<Vec<Delta>, ModelError> {
    let mut deltas = Vec::new();
    if let Some(usage) = end.captured_usage.take() {
        let tokens = |count: Option<i32>| count.and_then(|count| u64::try_from(count).ok());
        if let (Some(input), Some(output)) = (tokens(usage.prompt_tokens), tokens(usage.completion_tokens)) {
            deltas.push(Delta::Usage(Usage { input, output }));
        }
    }
    match end.captured_stop_reason.take() {
        // A call that was cut off has half its arguments.
        Some(StopReason::MaxTokens(_)) => {
            deltas.push(Delta::LimitReached);
            return Ok(deltas);
        }
        Some(StopReason::ContentFilter(_)) => return Err(ModelError::Filtered),
        _ => {}
    }
    let calls = end.captured_into_tool_calls().unwrap_or_default();
    deltas.extend(calls.into_iter().map(|call| Delta::ToolCall(ours(call))));
    Ok(deltas)
}

/// The kind of failure; `begun`: the answer had. The crate's own text quotes whole requests.
fn vendor_error(error: &genai::Error, begun: bool) -> ModelError {
    if let Some(status) = error.status() {
        return ModelError::of_status(status.as_u16(), retry_after(error));
    }
    match error {
        genai::Error::StreamParse { .. }
        | genai::Error::SerdeJson(_)
        | genai::Error::JsonValueExt(_)
        | genai::Error::ChatResponse { .. } => ModelError::Malformed("no event of this vendor".to_owned()),
        // A status comes wrapped, too: the request is sent when its stream is first read.
        genai::Error::WebStream { error, .. } => match error.downcast_ref::<genai::Error>() {
            Some(error) => vendor_error(error, begun),
            None if begun => ModelError::CutShort,
            None => ModelError::Unavailable("no answer".to_owned()),
        },
        genai::Error::WebModelCall {
            webc_error:
                genai::webc::Error::ResponseFailedNotJson { .. }
                | genai::webc::Error::ResponseFailedInvalidJson { .. }
                | genai::webc::Error::JsonValueExt(_),
            ..
        } => ModelError::Malformed("no answer of this vendor".to_owned()),
        _ => ModelError::Unavailable("no answer".to_owned()),
    }
}

/// `Retry-After` in seconds (RFC 9110 section 10.2.3); its date form is not read.
fn retry_after(error: &genai::Error) -> Option<Duration> {
    let value = error.headers()?.get(RETRY_AFTER)?.to_str().ok()?;
    value.trim().parse().ok().map(Duration::from_secs)
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
    use crate::model::Model;

    async fn model(text: &str, key: Option<&str>) -> Result<Model, InvalidModel> {
        Model::of(text, None, key.map(SecretString::from), &Limits::default()).await
    }

    #[tokio::test]
    async fn models_are_named_by_vendor_name_and_url() {
        let Ok(Model::Vendor(named)) = model("openai:gpt-5@http://127.0.0.1:9/v1", None).await else {
            panic!("a vendor's model");
        };
        assert_eq!(named.name, "gpt-5");
        assert_eq!(named.endpoint.base_url(), "http://127.0.0.1:9/v1/");
        for (text, key, label) in [
            ("ollama:qwen3:4b", None, "qwen3:4b (ollama)"),
            (
                "anthropic:claude@latest",
                Some("key"),
                "claude@latest (anthropic)",
            ),
            ("google:gemini-3", Some("key"), "gemini-3 (gemini)"),
            ("offline", None, "offline model"),
        ] {
            assert_eq!(model(text, key).await.expect(text).label(), label);
        }
    }

    #[tokio::test]
    async fn other_texts_are_refused() {
        for text in [
            "gpt-5",
            "openai:",
            "acme:x",
            "openai:x",
            "bedrock:",
            "openai:x@http://user@host/",
            "openai:@https://h/",
        ] {
            let key = (text != "openai:x").then_some("key");
            assert!(model(text, key).await.is_err(), "{text}");
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
