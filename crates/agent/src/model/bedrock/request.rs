//! What a model is asked, in the words of the Converse API.

use std::collections::HashMap;

use aws_sdk_bedrockruntime::types::{
    ContentBlock, ConversationRole, Message, Tool, ToolInputSchema, ToolResultBlock, ToolResultContentBlock,
    ToolResultStatus, ToolSpecification, ToolUseBlock,
};
use aws_smithy_types::{Document, Number};
use serde_json::Value;

use crate::conversation::Entry;
use crate::model::ModelError;
use crate::tools::ToolSpec;

/// Characters that `toolUseId` may have.
const MOST_CALL_ID: usize = 64;

/// Turns of user and assistant in alternation, as the API wants them: what follows in one role becomes one message.
pub(super) fn messages(entries: &[Entry]) -> Result<Vec<Message>, ModelError> {
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
                            _ => Document::Object(HashMap::new()),
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

pub(super) fn tool(spec: &ToolSpec) -> Result<Tool, ModelError> {
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
pub(super) fn unbuilt(what: &str) -> ModelError {
    ModelError::Invalid(format!("{what} could not be written"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::conversation::ToolCall;

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
}
