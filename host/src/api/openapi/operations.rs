//! The operations of the description. The two resources have the same
//! operations, with a few different words.

use std::time::Duration;

use axum::http::StatusCode;
use serde_json::Value;
use serde_json::json;

use super::examples;
use super::responses;
use super::responses::body;
use super::responses::problem;
use super::responses::response;
use crate::api::schema::reference;
use crate::api::schema::status;
use hoth_core::domain::JobKind;
use hoth_core::domain::request::NESTING_MAX;
use hoth_core::domain::request::shape;
use hoth_queue::BATCH_MAX;
use hoth_queue::LEASE_MAX;
use hoth_queue::WAIT_MAX;

/// The tag of the operation that reads the description.
const DESCRIPTION_TAG: &str = "description";

/// Returns the tags of all operations, each with its description.
pub fn tags() -> Value {
    json!([
        { "name": tag(JobKind::Provisioning), "description": "Provisioning jobs." },
        { "name": tag(JobKind::Cost), "description": "Cost requests." },
        { "name": DESCRIPTION_TAG, "description": "The description of this API." },
    ])
}

/// Returns the tag of a resource's operations.
fn tag(kind: JobKind) -> &'static str {
    match kind {
        JobKind::Provisioning => "provisioning",
        JobKind::Cost => "costs",
    }
}

/// Returns the part of an operation's id that names the outcomes of a kind.
fn outcomes(kind: JobKind) -> &'static str {
    match kind {
        JobKind::Provisioning => "ProvisioningOutcomes",
        JobKind::Cost => "CostOutcomes",
    }
}

/// Describes `POST` of a request.
pub fn accept(kind: JobKind) -> Value {
    let (id, summary, request) = match kind {
        JobKind::Provisioning => {
            ("startProvisioningJob", "Start a provisioning job", shape::PROVISIONING_REQUEST.name)
        }
        JobKind::Cost => ("requestCosts", "Request costs", shape::COST_REQUEST.name),
    };
    let echo = |status, description: &str| {
        let (status, mut echo) = response(status, description, Some(reference(request)));
        echo["headers"] = json!({
            "Hoth-Repeated": {
                "schema": { "type": "string", "enum": ["true"] },
                "description": "`true` if the request was accepted before with this id. Missing \
                                otherwise, and always if the queues are on SQS.",
            },
        });
        (status, echo)
    };
    let accepted = match kind {
        JobKind::Provisioning => vec![echo(
            StatusCode::CREATED,
            "Accepted. The body is the request exactly as it was posted, with its `jobId`.",
        )],
        JobKind::Cost => vec![
            echo(
                StatusCode::ACCEPTED,
                "Accepted. The body is the request exactly as it was posted.",
            ),
            echo(
                StatusCode::CREATED,
                "The same, from a host with `api.cost_accepted_status = 201`.",
            ),
        ],
    };
    let reused = problem(StatusCode::CONFLICT, "The id was used before with different content.");
    let mut content = body(reference(request), examples::requests(kind));
    content["description"] = format!(
        "The request. Types are not coerced, no key may occur twice, and nesting ends at \
         {NESTING_MAX} levels."
    )
    .into();
    json!({
        "tags": [tag(kind)],
        "operationId": id,
        "summary": summary,
        "description": "Responds when the request is stored durably, before the job has begun. \
                        Collect its outcome with `GET`. Requires role `write`.",
        "requestBody": content,
        "responses": responses::merge([accepted, vec![reused], responses::of_post()]),
    })
}

/// Describes `GET` of outcomes.
pub fn collect(kind: JobKind) -> Value {
    let (summary, message) = match kind {
        JobKind::Provisioning => {
            ("Collect outcomes of provisioning jobs", reference("ProvisioningOutcome"))
        }
        JobKind::Cost => ("Collect outcomes of cost requests", reference("CostOutcome")),
    };
    let list = json!({ "type": "array", "items": message });
    let description = "The outcomes; an empty list if there are none.";
    let mut outcomes_sent = response(StatusCode::OK, description, Some(list));
    outcomes_sent.1["headers"] = json!({
        "Hoth-Batch": {
            "schema": { "type": "string" },
            "description": "The name of the leased batch. Missing if nothing was leased.",
        },
    });
    let answers = [vec![outcomes_sent, responses::lease_expired()], responses::of_any()];
    json!({
        "tags": [tag(kind)],
        "operationId": format!("collect{}", outcomes(kind)),
        "summary": summary,
        "description": "Returns at most ten outcomes, oldest first within each portfolio, and at \
                        most `api.max_batch_bytes` (4 MiB) of them, but always one if there is \
                        one. Without `lease` they are consumed once the response has left; with it they are \
                        leased. Requires role `read`.",
        "parameters": [
            parameter(
                "wait",
                "Seconds to wait for a first outcome.",
                seconds(0, WAIT_MAX),
            ),
            parameter(
                "max",
                "The most outcomes to return.",
                json!({
                    "type": "integer",
                    "format": "int32",
                    "minimum": 1,
                    "maximum": BATCH_MAX,
                    "default": BATCH_MAX,
                }),
            ),
            parameter(
                "lease",
                "Seconds to lease the outcomes instead of consuming them.",
                seconds(1, LEASE_MAX),
            ),
            parameter(
                "ack",
                "A leased batch to acknowledge first. Requires `lease`.",
                json!({ "type": "string" }),
            ),
        ],
        "responses": responses::merge(answers),
    })
}

fn parameter(name: &str, description: &str, schema: Value) -> Value {
    json!({
        "name": name,
        "in": "query",
        "required": false,
        "description": description,
        "schema": schema,
    })
}

fn seconds(min: u64, max: Duration) -> Value {
    json!({ "type": "integer", "format": "int32", "minimum": min, "maximum": max.as_secs() })
}

/// Describes `GET` of one job.
pub fn read_status(kind: JobKind) -> Value {
    let (operation, summary, id) = match kind {
        JobKind::Provisioning => {
            ("readProvisioningJobStatus", "Ask where a provisioning job is", "jobId")
        }
        JobKind::Cost => ("readCostJobStatus", "Ask where a cost request is", "requestId"),
    };
    let mut status = response(StatusCode::OK, "The status.", Some(reference(status::name(kind))));
    status.1["headers"] = json!({
        "Cache-Control": { "schema": { "type": "string" }, "description": "`no-store`." },
    });
    let unknown = problem(
        StatusCode::NOT_FOUND,
        "The id was never accepted, or is forgotten (`trail.max_age_hours`).",
    );
    json!({
        "tags": [tag(kind)],
        "operationId": operation,
        "summary": summary,
        "description": "Returns the state of one job. Consumes nothing and changes nothing, so it \
                        is safe to repeat. An id that is the name of an action (`ack`, `release`, \
                        `redeliver`) cannot be asked for. Requires role `read`.",
        "parameters": [{
            "name": id,
            "in": "path",
            "required": true,
            "description": "The id of the job.",
            "schema": { "type": "string" },
        }],
        "responses": responses::merge([vec![status, unknown], responses::of_any()]),
    })
}

/// Describes `POST …/ack`.
pub fn ack(kind: JobKind) -> Value {
    let done = response(StatusCode::OK, "The outcomes are deleted.", Some(reference("Done")));
    let answers = [vec![done, responses::lease_expired()], responses::of_post()];
    json!({
        "tags": [tag(kind)],
        "operationId": format!("acknowledge{}", outcomes(kind)),
        "summary": "Acknowledge a leased batch",
        "description": "Deletes its outcomes. Repeating the request is harmless. Requires role \
                        `read`.",
        "requestBody": body(reference(shape::BATCH.name), examples::batch()),
        "responses": responses::merge(answers),
    })
}

/// Describes `POST …/release`.
pub fn release(kind: JobKind) -> Value {
    let description = "The outcomes are on the queue again.";
    let done = response(StatusCode::OK, description, Some(reference("Done")));
    let answers = [vec![done, responses::lease_expired()], responses::of_post()];
    json!({
        "tags": [tag(kind)],
        "operationId": format!("release{}", outcomes(kind)),
        "summary": "Release a leased batch",
        "description": "Puts its outcomes back on the queue, in their order. Requires role `read`.",
        "requestBody": body(reference(shape::BATCH.name), examples::batch()),
        "responses": responses::merge(answers),
    })
}

/// Describes `POST …/redeliver`.
pub fn redeliver(kind: JobKind) -> Value {
    let description = "The outcomes are on the queue again.";
    let done = response(StatusCode::OK, description, Some(reference("Redelivered")));
    let no_archive = problem(
        StatusCode::NOT_IMPLEMENTED,
        "The queue backend of this host keeps no archive. Use leases instead.",
    );
    let answers = [vec![done, no_archive], responses::of_post()];
    json!({
        "tags": [tag(kind)],
        "operationId": format!("redeliver{}", outcomes(kind)),
        "summary": "Redeliver consumed outcomes",
        "description": "Puts outcomes that were consumed or acknowledged in the last 24 hours \
                        (`api.redelivery_hours`) back on the queue, each in its old place. \
                        Requires role `write`.",
        "requestBody": body(
            reference(shape::redelivery(kind).name),
            examples::redeliveries(kind),
        ),
        "responses": responses::merge(answers),
    })
}

/// Describes `GET /openapi.json`.
pub fn read_description() -> Value {
    let description = "This description.";
    let document = response(StatusCode::OK, description, Some(open_object()));
    let unclear = problem(StatusCode::BAD_REQUEST, "The framing of the request is ambiguous.");
    json!({
        "tags": [DESCRIPTION_TAG],
        "operationId": "readDescription",
        "summary": "Read this description",
        "description": "Returns this document. Requires no credentials.",
        "security": [{}],
        "responses": responses::merge([vec![document, unclear]]),
    })
}

fn open_object() -> Value {
    json!({ "type": "object", "additionalProperties": true })
}
