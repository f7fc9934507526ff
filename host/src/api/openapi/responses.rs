//! The responses of the description, and the parts that operations are made
//! of.

use axum::http::StatusCode;
use serde_json::Map;
use serde_json::Value;
use serde_json::json;

use crate::api::schema::reference;

/// A status and the description of its response.
pub type Described = (StatusCode, Value);

/// Returns the responses of an operation, by status.
pub fn merge(parts: impl IntoIterator<Item = Vec<Described>>) -> Map<String, Value> {
    let described = parts.into_iter().flatten();
    described.map(|(status, response)| (status.as_str().to_owned(), response)).collect()
}

/// Describes a response whose body has this schema, or that has no body.
pub fn response(status: StatusCode, description: &str, schema: Option<Value>) -> Described {
    let mut response = json!({ "description": description });
    if let Some(schema) = schema {
        response["content"] = json!({ "application/json": { "schema": schema } });
    }
    (status, response)
}

/// Describes an error.
pub fn problem(status: StatusCode, description: &str) -> Described {
    response(status, description, Some(reference("Problem")))
}

fn problem_with(status: StatusCode, description: &str, header: (&str, Value)) -> Described {
    let (status, mut response) = problem(status, description);
    let (name, header) = header;
    response["headers"] = json!({ name: header });
    (status, response)
}

/// Describes the header `Retry-After`.
fn retry_after(description: &str) -> (&'static str, Value) {
    let schema = json!({ "type": "integer", "format": "int32", "minimum": 1 });
    ("Retry-After", json!({ "schema": schema, "description": description }))
}

fn www_authenticate() -> (&'static str, Value) {
    let description = "The authentication schemes.";
    let header = json!({ "schema": { "type": "string" }, "description": description });
    ("WWW-Authenticate", header)
}

/// Describes a required body.
pub fn body(schema: Value, examples: Value) -> Value {
    json!({
        "required": true,
        "content": { "application/json": { "schema": schema, "examples": examples } },
    })
}

/// Returns the errors that any request can have.
pub fn of_any() -> Vec<Described> {
    // Errors of a body are among them: a body may come with any method, and is
    // read if the request is signed.
    vec![
        problem(StatusCode::BAD_REQUEST, "The request is invalid."),
        problem_with(
            StatusCode::UNAUTHORIZED,
            "The credentials are missing or unknown.",
            www_authenticate(),
        ),
        problem(StatusCode::FORBIDDEN, "The credentials do not allow this request."),
        problem(StatusCode::REQUEST_TIMEOUT, "The body did not arrive in time."),
        problem(StatusCode::PAYLOAD_TOO_LARGE, "The body is larger than `api.max_body_bytes`."),
        problem_with(
            StatusCode::TOO_MANY_REQUESTS,
            "The key exceeds the rate that `limits` permits.",
            retry_after("Seconds until a retry is permitted."),
        ),
        problem(StatusCode::INTERNAL_SERVER_ERROR, "Internal error."),
        problem_with(
            StatusCode::SERVICE_UNAVAILABLE,
            "The queue is unreachable or full. Nothing was accepted.",
            retry_after("Seconds until a retry makes sense."),
        ),
    ]
}

/// Returns the errors that any request with a body can have.
pub fn of_post() -> Vec<Described> {
    let description = "The body is not `application/json` in UTF-8, or has a content coding. \
                       (Then `Accept-Encoding` says `identity`.)";
    let mut errors = of_any();
    errors.push(problem(StatusCode::UNSUPPORTED_MEDIA_TYPE, description));
    errors
}

/// Describes the error of a request that names a batch.
pub fn lease_expired() -> Described {
    problem(
        StatusCode::CONFLICT,
        "The lease has expired. Outcomes that were not acknowledged are on the queue again.",
    )
}
