//! The bodies of responses, and their schemas.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Map;
use serde_json::Value;
use serde_json::json;

use super::reference;
use crate::http::Reason;

/// The body of a success without a result.
#[derive(Debug, Serialize)]
pub struct Done {}

/// The number of outcomes that are back on their queue.
#[derive(Debug, Serialize)]
pub struct Redelivered {
    pub redelivered: u64,
}

/// An error, for programs and for people.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    pub code: Code,
    pub reason: Reason,
    pub message: String,
    /// Every wrong field or parameter by its path, with its problem.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_map: Option<BTreeMap<String, String>>,
}

/// The two kinds of errors that clients tell apart.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Code {
    /// `errorMap` names fields to correct.
    InvalidInput,
    Other,
}

/// Returns the schemas of all responses but outcomes, by name.
pub fn schemas() -> Map<String, Value> {
    let schemas = [
        ("Done", done()),
        ("Redelivered", redelivered()),
        ("Problem", problem()),
        ("Code", code()),
        ("Reason", reason()),
    ];
    schemas.into_iter().map(|(name, schema)| (name.to_owned(), schema)).collect()
}

fn done() -> Value {
    json!({ "type": "object", "additionalProperties": true, "description": "Success." })
}

fn redelivered() -> Value {
    json!({
        "type": "object",
        "additionalProperties": true,
        "description": "The number of outcomes that are back on their queue.",
        "required": ["redelivered"],
        "properties": { "redelivered": { "type": "integer", "format": "int64", "minimum": 0 } },
    })
}

fn problem() -> Value {
    json!({
        "type": "object",
        "additionalProperties": true,
        "description": "An error, for programs and for people.",
        "required": ["code", "reason", "message"],
        "properties": {
            "code": reference("Code"),
            "reason": reference("Reason"),
            "message": { "type": "string" },
            "errorMap": {
                "type": "object",
                "description": "Every wrong field or parameter by its path, with its problem. \
                                `body` stands for the whole body: a syntax error has its line, \
                                column and field.",
                "propertyNames": { "type": "string" },
                "additionalProperties": { "type": "string" },
                "examples": [{ "payload.administrators[0].dodId": "is required" }],
            },
        },
    })
}

fn code() -> Value {
    json!({
        "type": "string",
        "description": "`INVALID_INPUT` if `errorMap` names fields to correct, `OTHER` otherwise.",
        "enum": [Code::InvalidInput, Code::Other],
    })
}

fn reason() -> Value {
    let meaning = |reason: &Reason| {
        let word = json!(reason);
        format!("\n- `{}`: {}", word.as_str().unwrap_or_default(), reason.meaning())
    };
    let meanings: String = Reason::ALL.iter().map(meaning).collect();
    json!({
        "type": "string",
        "description": format!(
            "The reason for programs. It says more than the status where one status has several \
             reasons. Later versions may add words.\n{meanings}"
        ),
        "enum": Reason::ALL,
    })
}
