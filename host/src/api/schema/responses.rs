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

/// Returns the schemas of all responses, by name.
pub fn schemas() -> Map<String, Value> {
    let schemas = [
        ("ProvisioningMessage", provisioning_message()),
        ("CostMessage", cost_message()),
        ("Content", content()),
        ("Done", json!({ "type": "object", "description": "Success." })),
        ("Redelivered", redelivered()),
        ("Problem", problem()),
        ("Code", code()),
        ("Reason", reason()),
    ];
    schemas.into_iter().map(|(name, schema)| (name.to_owned(), schema)).collect()
}

fn provisioning_message() -> Value {
    let portfolio = "b02e77d1-234d-4e3d-bc85-b57ca5a93952";
    json!({
        "type": "object",
        "description": "The outcome of a provisioning job.",
        "required": ["code", "content", "initialSnowRequest"],
        "properties": {
            "code": message_code(),
            "content": reference("Content"),
            "initialSnowRequest": {
                "type": "object",
                "description": "The request exactly as it was posted, with its `jobId`.",
            },
        },
        "examples": [{
            "code": 200,
            "content": {
                "request": { "portfolioId": portfolio },
                "response": {
                    "portfolio": { "id": portfolio, "name": "Sample Portfolio" },
                    "$metadata": {
                        "status": 200,
                        "request": { "method": "GET", "path": format!("/portfolios/{portfolio}") },
                    },
                },
            },
            "initialSnowRequest": {
                "jobId": "81b31a89-e3e5-46ee-acfe-75436bd14577",
                "portfolioId": portfolio,
                "operationType": "GET_PORTFOLIO",
                "targetCspName": "CSP_A",
                "payload": {},
            },
        }],
    })
}

fn cost_message() -> Value {
    json!({
        "type": "object",
        "description": "The outcome of a cost request.",
        "required": ["code", "content"],
        "properties": {
            "code": message_code(),
            "content": {
                "description": "`request` is the cost request exactly as it was posted, \
                                `response` the costs.",
                "$ref": reference("Content")["$ref"],
            },
        },
        "examples": [{
            "code": 200,
            "content": {
                "request": {
                    "requestId": "81b31a89-e3e5-46ee-acfe-75436bd14577",
                    "portfolioId": "b02e77d1-234d-4e3d-bc85-b57ca5a93952",
                    "targetCspName": "CSP_A",
                    "startDate": "2026-01",
                    "endDate": "2026-12",
                },
                "response": {
                    "taskOrders": [{ "taskOrderNumber": "1234567890123", "clins": [] }],
                },
            },
        }],
    })
}

fn message_code() -> Value {
    json!({
        "type": "integer",
        "format": "int32",
        "minimum": 200,
        "maximum": 599,
        "description": "200: success. From 400: the CSP refused the request with this status. \
                        From 500: the job failed, or HOTH got no response.",
    })
}

fn content() -> Value {
    json!({
        "type": "object",
        "description": "The request to the CSP and its response.",
        "required": ["request", "response"],
        "properties": {
            "request": { "type": "object" },
            "response": {
                "type": "object",
                "description": "The CSP's response in camelCase. If the job failed, `details` \
                                states the reason.",
            },
        },
    })
}

fn redelivered() -> Value {
    json!({
        "type": "object",
        "description": "The number of outcomes that are back on their queue.",
        "required": ["redelivered"],
        "properties": { "redelivered": { "type": "integer", "format": "int64", "minimum": 0 } },
    })
}

fn problem() -> Value {
    json!({
        "type": "object",
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
    json!({
        "type": "string",
        "description": "The reason for programs. It says more than the status where one status \
                        has several reasons.",
        "enum": Reason::ALL,
    })
}
