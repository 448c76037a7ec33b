//! Models on Amazon Bedrock, by the Converse API with its event stream.
//! <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ConverseStream.html>
//!
//! Credentials come from the AWS SDK's default chain, or are a Bedrock API key, which goes as a bearer token.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region};
use aws_sdk_bedrockruntime::Client;
use aws_sdk_bedrockruntime::config::Token;
use aws_sdk_bedrockruntime::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_bedrockruntime::types::{
    ContentBlock, ContentBlockDelta, ContentBlockStart, ConversationRole, ConverseStreamOutput,
    InferenceConfiguration, Message, StopReason, SystemContentBlock, Tool, ToolConfiguration,
    ToolInputSchema, ToolResultBlock, ToolResultContentBlock, ToolResultStatus, ToolSpecification,
    ToolUseBlock,
};
use aws_smithy_runtime_api::client::auth::AuthSchemeId;
use aws_smithy_types::{Document, Number};
use countersign_crypto::{ExposeSecret as _, SecretString};
use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};
use serde_json::Value;
use url::Url;

use super::{Ask, Delta, GRACE, INSTRUCTIONS, InvalidModel, MOST_OUTPUT_BYTES, ModelError, Usage};
use crate::config::Limits;
use crate::conversation::{Entry, ToolCall};
use crate::tools::ToolSpec;

/// To connect; the answer has the limits' time.
const CONNECT: Duration = Duration::from_secs(10);
/// Characters that `toolUseId` may have.
const MOST_CALL_ID: usize = 64;

/// A model on Amazon Bedrock.
#[derive(Debug)]
pub(crate) struct BedrockModel {
    client: Client,
    /// A model's id, an inference profile's, or the ARN of either.
    id: String,
}

/// An answer that is arriving.
struct Arriving {
    events: EventReceiver,
    answer: Answer,
    ended: bool,
}

/// What has come of an answer.
#[derive(Default)]
struct Answer {
    /// Tool calls by the number of their block, with the text of their arguments so far.
    calls: BTreeMap<i32, (ToolCall, String)>,
    bytes: usize,
    stopped: Option<StopReason>,
    /// Pieces that are complete and not yet passed on.
    ready: VecDeque<Delta>,
}

type EventReceiver = aws_sdk_bedrockruntime::primitives::event_stream::EventReceiver<
    ConverseStreamOutput,
    aws_sdk_bedrockruntime::types::error::ConverseStreamOutputError,
>;

impl BedrockModel {
    pub(crate) async fn of(
        id: &str,
        url: Option<String>,
        region: Option<&str>,
        api_key: Option<SecretString>,
        limits: &Limits,
    ) -> Result<Self, InvalidModel> {
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(CONNECT)
            .read_timeout(limits.model_timeout() + GRACE)
            .build();
        let mut loader = aws_config::defaults(BehaviorVersion::latest())
            .timeout_config(timeouts)
            // A turn asks again by itself, and knows whether it may.
            .retry_config(RetryConfig::disabled());
        if let Some(region) = region.or_else(|| region_of(id)) {
            loader = loader.region(Region::new(region.to_owned()));
        }
        if api_key.is_some() {
            loader = loader.no_credentials();
        }
        let shared = loader.load().await;
        if shared.region().is_none() {
            return Err(InvalidModel::Region);
        }
        let mut config = aws_sdk_bedrockruntime::config::Builder::from(&shared);
        if let Some(url) = url {
            let parsed = Url::parse(&url).map_err(|_| InvalidModel::Form)?;
            if !matches!(parsed.scheme(), "http" | "https") || !parsed.username().is_empty() {
                return Err(InvalidModel::Form);
            }
            config = config.endpoint_url(url.trim_end_matches('/'));
        }
        if let Some(key) = api_key {
            config = config
                .bearer_token(Token::new(key.expose_secret(), None))
                .auth_scheme_preference([AuthSchemeId::from("httpBearerAuth")]);
        }
        Ok(Self {
            client: Client::from_conf(config.build()),
            id: id.to_owned(),
        })
    }

    pub(crate) fn label(&self) -> String {
        // Of an ARN the model or profile at its end; the account is nobody's business.
        let name = self.id.rsplit('/').next().unwrap_or(&self.id);
        format!("{name} (bedrock)")
    }

    pub(crate) fn answer<'a>(&'a self, ask: Ask<'a>) -> BoxStream<'a, Result<Delta, ModelError>> {
        let begun = async move {
            let events = self.begin(ask).await?;
            let arriving = Arriving {
                events,
                answer: Answer::default(),
                ended: false,
            };
            Ok(stream::unfold(arriving, next))
        };
        stream::once(begun)
            .flat_map(|begun: Result<_, ModelError>| match begun {
                Ok(deltas) => deltas.boxed(),
                Err(error) => stream::iter([Err(error)]).boxed(),
            })
            .boxed()
    }

    async fn begin(&self, ask: Ask<'_>) -> Result<EventReceiver, ModelError> {
        let limit = i32::try_from(ask.output_tokens).unwrap_or(i32::MAX);
        let mut call = self
            .client
            .converse_stream()
            .model_id(&self.id)
            .system(SystemContentBlock::Text(INSTRUCTIONS.to_owned()))
            .set_messages(Some(messages(ask.entries)?))
            .inference_config(InferenceConfiguration::builder().max_tokens(limit).build());
        // An empty list of tools is refused.
        if !ask.tools.is_empty() {
            let tools: Result<Vec<Tool>, ModelError> = ask.tools.iter().map(tool).collect();
            let tools = ToolConfiguration::builder().set_tools(Some(tools?));
            call = call.tool_config(tools.build().map_err(|_| unbuilt("tools"))?);
        }
        let sent = call.send().await.map_err(|error| classified(&error))?;
        Ok(sent.stream)
    }
}

/// `us-east-1` of `arn:aws:bedrock:us-east-1:…`.
fn region_of(id: &str) -> Option<&str> {
    id.strip_prefix("arn:")?
        .split(':')
        .nth(2)
        .filter(|region| !region.is_empty())
}

/// The next piece of an answer; `None` at its end.
async fn next(mut arriving: Arriving) -> Option<(Result<Delta, ModelError>, Arriving)> {
    loop {
        if let Some(delta) = arriving.answer.ready.pop_front() {
            return Some((Ok(delta), arriving));
        }
        if arriving.ended {
            return None;
        }
        let outcome = match arriving.events.recv().await {
            Ok(Some(event)) => arriving.answer.take(event),
            Ok(None) => {
                arriving.ended = true;
                arriving.answer.finish()
            }
            Err(error) => Err(classified(&error)),
        };
        if let Err(error) = outcome {
            arriving.ended = true;
            arriving.answer.ready.clear();
            return Some((Err(error), arriving));
        }
    }
}

impl Answer {
    fn take(&mut self, event: ConverseStreamOutput) -> Result<(), ModelError> {
        match event {
            ConverseStreamOutput::ContentBlockStart(block) => {
                if let Some(ContentBlockStart::ToolUse(tool)) = block.start {
                    let call = ToolCall {
                        id: tool.tool_use_id,
                        name: tool.name,
                        arguments: Value::Null,
                        signatures: Vec::new(),
                    };
                    self.calls
                        .insert(block.content_block_index, (call, String::new()));
                }
            }
            ConverseStreamOutput::ContentBlockDelta(block) => match block.delta {
                Some(ContentBlockDelta::Text(text)) => {
                    self.count(text.len())?;
                    self.ready.push_back(Delta::Text(text));
                }
                Some(ContentBlockDelta::ToolUse(tool)) => {
                    self.count(tool.input.len())?;
                    if let Some((_, arguments)) = self.calls.get_mut(&block.content_block_index) {
                        arguments.push_str(&tool.input);
                    }
                }
                _ => {}
            },
            ConverseStreamOutput::MessageStop(stop) => self.stopped = Some(stop.stop_reason),
            ConverseStreamOutput::Metadata(metadata) => {
                if let Some(usage) = metadata.usage {
                    let tokens = |count: i32| u64::try_from(count).unwrap_or_default();
                    self.ready.push_back(Delta::Usage(Usage {
                        input: tokens(usage.input_tokens),
                        output: tokens(usage.output_tokens),
                    }));
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn count(&mut self, bytes: usize) -> Result<(), ModelError> {
        self.bytes += bytes;
        if self.bytes > MOST_OUTPUT_BYTES {
            return Err(ModelError::Malformed("too long".to_owned()));
        }
        Ok(())
    }

    /// The stream is over: what the model wanted, if it came to its end.
    fn finish(&mut self) -> Result<(), ModelError> {
        match self.stopped.take() {
            None => return Err(ModelError::CutShort),
            Some(StopReason::ContentFiltered | StopReason::GuardrailIntervened) => {
                return Err(ModelError::Filtered);
            }
            Some(StopReason::MaxTokens | StopReason::ModelContextWindowExceeded) => {
                self.ready.push_back(Delta::LimitReached);
                return Ok(());
            }
            Some(_) => {}
        }
        let calls = std::mem::take(&mut self.calls).into_values();
        let whole = calls.map(|(mut call, arguments)| {
            // What is no JSON stays a text, and the tool says so to the model.
            call.arguments = match arguments.as_str() {
                "" => Value::Object(serde_json::Map::new()),
                text => serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned())),
            };
            Delta::ToolCall(call)
        });
        self.ready.extend(whole);
        Ok(())
    }
}

/// Turns of user and assistant in alternation, as the API wants them: what follows in one role becomes one message.
fn messages(entries: &[Entry]) -> Result<Vec<Message>, ModelError> {
    let mut turns: Vec<(ConversationRole, Vec<ContentBlock>)> = Vec::new();
    let mut push = |role: ConversationRole, block: ContentBlock| match turns.last_mut() {
        Some((last, blocks)) if *last == role => blocks.push(block),
        _ => turns.push((role, vec![block])),
    };
    for entry in entries {
        match entry {
            Entry::User { text } => push(ConversationRole::User, ContentBlock::Text(text.clone())),
            Entry::Assistant { text, tool_calls } => {
                if !text.is_empty() {
                    push(ConversationRole::Assistant, ContentBlock::Text(text.clone()));
                }
                for call in tool_calls {
                    let block = ToolUseBlock::builder()
                        .tool_use_id(call_id(&call.id))
                        .name(&call.name)
                        // Only objects are taken, and some models' arguments were none.
                        .input(match document(&call.arguments) {
                            object @ Document::Object(_) => object,
                            _ => Document::Object(std::collections::HashMap::new()),
                        })
                        .build()
                        .map_err(|_| unbuilt("a tool call"))?;
                    push(ConversationRole::Assistant, ContentBlock::ToolUse(block));
                }
            }
            Entry::Tool {
                call_id: id, content, ..
            } => {
                let failed = content.get("error").is_some();
                let block = ToolResultBlock::builder()
                    .tool_use_id(call_id(id))
                    .content(ToolResultContentBlock::Text(content.to_string()))
                    .status(if failed {
                        ToolResultStatus::Error
                    } else {
                        ToolResultStatus::Success
                    })
                    .build()
                    .map_err(|_| unbuilt("a tool's result"))?;
                push(ConversationRole::User, ContentBlock::ToolResult(block));
            }
        }
    }
    turns
        .into_iter()
        .map(|(role, blocks)| {
            let message = Message::builder().role(role).set_content(Some(blocks));
            message.build().map_err(|_| unbuilt("a message"))
        })
        .collect()
}

fn tool(spec: &ToolSpec) -> Result<Tool, ModelError> {
    let specification = ToolSpecification::builder()
        .name(&spec.name)
        .description(&spec.description)
        .input_schema(ToolInputSchema::Json(document(&spec.schema)))
        .build();
    specification.map(Tool::ToolSpec).map_err(|_| unbuilt("a tool"))
}

/// `[a-zA-Z0-9_-]{1,64}`: ids of another vendor, from before the model was changed, may have other characters.
fn call_id(id: &str) -> String {
    id.chars()
        .take(MOST_CALL_ID)
        .map(|letter| {
            if letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-') {
                letter
            } else {
                '_'
            }
        })
        .collect()
}

fn document(value: &Value) -> Document {
    match value {
        Value::Null => Document::Null,
        Value::Bool(flag) => Document::Bool(*flag),
        Value::Number(number) => Document::Number(if let Some(number) = number.as_u64() {
            Number::PosInt(number)
        } else if let Some(number) = number.as_i64() {
            Number::NegInt(number)
        } else {
            Number::Float(number.as_f64().unwrap_or_default())
        }),
        Value::String(text) => Document::String(text.clone()),
        Value::Array(items) => Document::Array(items.iter().map(document).collect()),
        Value::Object(members) => Document::Object(
            members
                .iter()
                .map(|(name, value)| (name.clone(), document(value)))
                .collect(),
        ),
    }
}

/// A builder of the SDK missed a member: a defect of ours.
fn unbuilt(what: &str) -> ModelError {
    ModelError::Invalid(format!("{what} could not be written"))
}

/// The kind of failure, by the names of the API's errors. Their messages may quote what was sent.
fn classified<E: ProvideErrorMetadata, R>(error: &SdkError<E, R>) -> ModelError {
    let SdkError::ServiceError(service) = error else {
        return match error {
            SdkError::ResponseError(_) => ModelError::CutShort,
            SdkError::ConstructionFailure(_) => ModelError::Refused("no usable credentials".to_owned()),
            _ => ModelError::Unavailable("no answer".to_owned()),
        };
    };
    let name = service
        .err()
        .code()
        .unwrap_or("an error without a name")
        .to_owned();
    match name.as_str() {
        "ThrottlingException" | "ServiceQuotaExceededException" => ModelError::Busy {
            status: 429,
            after: None,
        },
        "ServiceUnavailableException"
        | "InternalServerException"
        | "ModelNotReadyException"
        | "ModelTimeoutException" => ModelError::Unavailable(name),
        "ModelStreamErrorException" => ModelError::CutShort,
        "AccessDeniedException"
        | "UnrecognizedClientException"
        | "ExpiredTokenException"
        | "InvalidSignatureException"
        | "ResourceNotFoundException" => ModelError::Refused(name),
        _ => ModelError::Invalid(name),
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_bedrockruntime::types::{
        ContentBlockDeltaEvent, ContentBlockStartEvent, ConverseStreamMetadataEvent, MessageStopEvent,
        TokenUsage, ToolUseBlockDelta, ToolUseBlockStart,
    };
    use serde_json::json;

    use super::*;

    #[test]
    fn entries_of_one_role_are_one_message() {
        let call = |id: &str| ToolCall {
            id: id.to_owned(),
            name: "list_issues".to_owned(),
            arguments: json!({ "state": "open" }),
            signatures: Vec::new(),
        };
        let result = |id: &str| Entry::Tool {
            call_id: id.to_owned(),
            name: "list_issues".to_owned(),
            content: json!({ "error": "tool_failed" }),
        };
        let user = |text: &str| Entry::User {
            text: text.to_owned(),
        };
        let entries = [
            user("first"),
            user("second"),
            Entry::Assistant {
                text: "I look.".to_owned(),
                tool_calls: vec![call("1"), call("2:é")],
            },
            result("1"),
            result("2:é"),
        ];
        let messages = messages(&entries).expect("messages");
        let roles: Vec<_> = messages.iter().map(Message::role).collect();
        assert_eq!(
            roles,
            [
                &ConversationRole::User,
                &ConversationRole::Assistant,
                &ConversationRole::User
            ]
        );
        assert_eq!(messages[1].content().len(), 3);
        let ContentBlock::ToolResult(result) = &messages[2].content()[1] else {
            panic!("a tool's result");
        };
        assert_eq!(result.tool_use_id(), "2__");
        assert_eq!(result.status(), Some(&ToolResultStatus::Error));
    }

    /// What an answer of these events comes to.
    fn read(events: Vec<ConverseStreamOutput>) -> Result<Vec<Delta>, ModelError> {
        let mut answer = Answer::default();
        for event in events {
            answer.take(event)?;
        }
        answer.finish()?;
        Ok(answer.ready.into())
    }

    fn piece(block: i32, delta: ContentBlockDelta) -> ConverseStreamOutput {
        let event = ContentBlockDeltaEvent::builder()
            .delta(delta)
            .content_block_index(block);
        ConverseStreamOutput::ContentBlockDelta(event.build().expect("an event"))
    }

    fn stop(reason: StopReason) -> ConverseStreamOutput {
        let event = MessageStopEvent::builder().stop_reason(reason);
        ConverseStreamOutput::MessageStop(event.build().expect("an event"))
    }

    fn tool_use(block: i32, id: &str, pieces: &[&str]) -> Vec<ConverseStreamOutput> {
        let start = ToolUseBlockStart::builder()
            .tool_use_id(id)
            .name("list_issues")
            .build();
        let start = ContentBlockStartEvent::builder()
            .start(ContentBlockStart::ToolUse(start.expect("a start")))
            .content_block_index(block)
            .build();
        let mut events = vec![ConverseStreamOutput::ContentBlockStart(start.expect("an event"))];
        events.extend(pieces.iter().map(|text| {
            let input = ToolUseBlockDelta::builder().input(*text).build();
            piece(block, ContentBlockDelta::ToolUse(input.expect("a piece")))
        }));
        events
    }

    #[test]
    fn text_calls_and_what_they_cost_come_out_in_their_order() {
        let usage = TokenUsage::builder()
            .input_tokens(10)
            .output_tokens(5)
            .total_tokens(15)
            .build();
        let metadata = ConverseStreamMetadataEvent::builder()
            .usage(usage.expect("usage"))
            .build();
        let mut events = vec![
            piece(0, ContentBlockDelta::Text("I ".to_owned())),
            piece(0, ContentBlockDelta::Text("look.".to_owned())),
        ];
        events.extend(tool_use(1, "a", &["{\"state\":", "\"open\"}"]));
        events.extend(tool_use(2, "b", &[]));
        events.extend(tool_use(3, "c", &["{\"state\":"]));
        events.push(stop(StopReason::ToolUse));
        events.push(ConverseStreamOutput::Metadata(metadata));
        let call = |id: &str, arguments: Value| {
            Delta::ToolCall(ToolCall {
                id: id.to_owned(),
                name: "list_issues".to_owned(),
                arguments,
                signatures: Vec::new(),
            })
        };
        assert_eq!(
            read(events).expect("an answer"),
            [
                Delta::Text("I ".to_owned()),
                Delta::Text("look.".to_owned()),
                Delta::Usage(Usage { input: 10, output: 5 }),
                call("a", json!({ "state": "open" })),
                call("b", json!({})),
                call("c", json!("{\"state\":")),
            ]
        );
    }

    #[test]
    fn an_answer_without_its_end_is_none() {
        let text = || piece(0, ContentBlockDelta::Text("half".to_owned()));
        assert!(matches!(read(vec![text()]), Err(ModelError::CutShort)));
        let filtered = read(vec![text(), stop(StopReason::GuardrailIntervened)]);
        assert!(matches!(filtered, Err(ModelError::Filtered)));
        let mut cut = vec![text()];
        cut.extend(tool_use(1, "a", &["{"]));
        cut.push(stop(StopReason::MaxTokens));
        let cut = read(cut).expect("what there is");
        assert_eq!(cut.last(), Some(&Delta::LimitReached), "and no half call");
        let long = piece(0, ContentBlockDelta::Text("x".repeat(MOST_OUTPUT_BYTES + 1)));
        assert!(matches!(read(vec![long]), Err(ModelError::Malformed(_))));
    }

    #[test]
    fn a_region_may_stand_in_the_name() {
        let arn = "arn:aws:bedrock:eu-west-1:111122223333:inference-profile/eu.vendor.model-v1:0";
        assert_eq!(region_of(arn), Some("eu-west-1"));
        assert_eq!(region_of("vendor.model-v1:0"), None);
    }
}
