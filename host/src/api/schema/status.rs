//! The schemas of the status of a job.

use serde_json::Map;
use serde_json::Value;
use serde_json::json;

use super::reference;
use crate::job_status::StatusWord;
use hoth_core::domain::JobKind;
use hoth_core::domain::Operation;

/// Returns the schemas by name.
pub fn schemas() -> Map<String, Value> {
    let schemas = [
        (name(JobKind::Provisioning), status(JobKind::Provisioning)),
        (name(JobKind::Cost), status(JobKind::Cost)),
        ("JobState", state()),
        ("JobProgress", progress()),
        ("JobOutcome", outcome()),
    ];
    schemas.into_iter().map(|(name, schema)| (name.to_owned(), schema)).collect()
}

/// Returns the name of the schema of a kind's status.
pub fn name(kind: JobKind) -> &'static str {
    match kind {
        JobKind::Provisioning => "ProvisioningJobStatus",
        JobKind::Cost => "CostJobStatus",
    }
}

fn status(kind: JobKind) -> Value {
    let id = match kind {
        JobKind::Provisioning => "jobId",
        JobKind::Cost => "requestId",
    };
    let mut schema = json!({
        "type": "object",
        "additionalProperties": true,
        "description": "Where a job is. Later versions may add keys.",
        "required": [id, "state", "since", "detail", "requests"],
        "properties": {
            id: { "type": "string" },
            "targetCspName": { "type": "string" },
            "portfolioId": { "type": "string" },
            "state": reference("JobState"),
            "since": time("The time at which the state began."),
            "acceptedAt": time("The time at which the job was accepted."),
            "detail": {
                "type": "string",
                "description": "A sentence for a person. It may change; programs read `state`.",
                "examples": ["CSP_A accepted it at 10:02 UTC and reports IN_PROGRESS; next look \
                              at 10:31 UTC, given up on 2026-12-08."],
            },
            "requests": {
                "type": "integer", "format": "int32", "minimum": 0,
                "description": "The requests to the CSP so far.",
            },
            "progress": reference("JobProgress"),
            "nextLookAt": time("The time at which HOTH asks the CSP next."),
            "deadlineAt": time("The time at which HOTH gives the job up."),
            "outcome": reference("JobOutcome"),
            "observedBy": {
                "type": "array", "items": { "type": "string" },
                "description": "The hosts that have seen the job. Only if the queues are on SQS: \
                                the status is then what these hosts know.",
            },
        },
    });
    if kind == JobKind::Provisioning {
        let types: Vec<&str> = Operation::ALL
            .into_iter()
            .map(Operation::api_name)
            .filter(|name| Operation::OPERATION_TYPES.contains(name))
            .collect();
        schema["properties"]["operationType"] = json!({ "type": "string", "enum": types });
    }
    schema
}

fn state() -> Value {
    json!({
        "type": "string",
        "description": "\
    - `QUEUED`: accepted; it runs next.\n\
    - `HELD`: its CSP is paused or down, a secret or an adapter is missing, or an earlier job of its \
    portfolio is unfinished. `detail` says which.\n\
    - `RUNNING`: HOTH works on it now.\n\
    - `WAITING`: the CSP works on it.\n\
    - `SUCCEEDED`, `FAILED`: its outcome is ready and not collected.\n\
    - `COLLECTED`: its outcome was collected.\n\
    - `DEAD`: HOTH could not process it; operators can send it again. Its failure message is an outcome \
    like others.",
        "enum": StatusWord::ALL,
    })
}

fn progress() -> Value {
    json!({
        "type": "object",
        "additionalProperties": true,
        "description": "The last report of the CSP.",
        "required": ["note"],
        "properties": {
            "reference": { "type": "string", "description": "The CSP's name for its work." },
            "note": { "type": "string" },
            "details": { "description": "Any JSON that the adapter reports." },
        },
    })
}

fn outcome() -> Value {
    json!({
        "type": "object",
        "additionalProperties": true,
        "description": "The outcome of an ended job.",
        "required": ["code"],
        "properties": {
            "code": {
                "type": ["integer", "null"], "format": "int32",
                "description": "The code of the outcome; `null` if this host does not know it.",
            },
            "at": time("The time at which the job ended."),
            "collectedAt": time("The time at which the outcome was collected."),
        },
    })
}

fn time(description: &str) -> Value {
    json!({ "type": "string", "format": "date-time", "description": description })
}
