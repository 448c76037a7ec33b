//! What a model answers, from the events of the Converse API.

use std::collections::{BTreeMap, VecDeque};

use aws_sdk_bedrockruntime::types::{ContentBlockDelta, ContentBlockStart, ConverseStreamOutput, StopReason};
use serde_json::Value;

use crate::conversation::ToolCall;
use crate::model::{Delta, MOST_OUTPUT_BYTES, ModelError, Usage};

/// What has come of an answer.
#[derive(Default)]
pub(super) struct Answer {
    /// Tool calls by the number of their block, with the text of their arguments so far.
    calls: BTreeMap<i32, (ToolCall, String)>,
    bytes: usize,
    stopped: Option<StopReason>,
    /// Pieces that are complete and not yet passed on.
    pub(super) ready: VecDeque<Delta>,
}

impl Answer {
    pub(super) fn take(&mut self, event: ConverseStreamOutput) -> Result<(), ModelError> {
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
    pub(super) fn finish(&mut self) -> Result<(), ModelError> {
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

#[cfg(test)]
mod tests {
    use aws_sdk_bedrockruntime::types::{
        ContentBlockDeltaEvent, ContentBlockStartEvent, ConverseStreamMetadataEvent, MessageStopEvent,
        TokenUsage, ToolUseBlockDelta, ToolUseBlockStart,
    };
    use serde_json::json;

    use super::*;

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
}
