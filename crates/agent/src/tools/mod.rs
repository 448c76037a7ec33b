//! The tools a model may call. Arguments and results are typed; a result is data for the model and never
//! holds a token, a header or a URL to consent.

mod ledgerline;

use serde_json::{Value, json};

pub(crate) use ledgerline::{Call, Ledgerline, ToolError};

/// What a model is told about a tool.
#[derive(Debug, Clone)]
pub(crate) struct ToolSpec {
    pub(crate) name: &'static str,
    pub(crate) description: &'static str,
    /// JSON Schema of the arguments.
    pub(crate) schema: Value,
}

/// The tools there are.
pub(crate) fn specs() -> Vec<ToolSpec> {
    vec![
        ToolSpec {
            name: "list_issues",
            description: "Lists the person's issues in Ledgerline, newest first.",
            schema: json!({
                "type": "object",
                "properties": {
                    "state": {
                        "type": "string",
                        "enum": ["open", "closed", "all"],
                        "description": "Which issues; open when absent.",
                    },
                },
                "additionalProperties": false,
            }),
        },
        ToolSpec {
            name: "read_issue",
            description: "Reads one issue in Ledgerline by its key.",
            schema: json!({
                "type": "object",
                "properties": {
                    "key": { "type": "string", "description": "The issue's key, such as ALICE-1." },
                },
                "required": ["key"],
                "additionalProperties": false,
            }),
        },
        ToolSpec {
            name: "create_issue",
            description: "Creates an issue in Ledgerline. Only when the person asked for it.",
            schema: json!({
                "type": "object",
                "properties": {
                    "title": { "type": "string", "description": "One line, at most 200 characters." },
                    "description": { "type": "string", "description": "At most 4000 characters." },
                },
                "required": ["title"],
                "additionalProperties": false,
            }),
        },
    ]
}
