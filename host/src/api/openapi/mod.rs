//! The description of this API: an OpenAPI 3.1 document.
//!
//! Its paths come from the routes of the API and its schemas from the
//! table that requests are checked against. `GET /openapi.json` needs no
//! credentials: the document holds nothing of this host's configuration or
//! content.

mod examples;
pub mod operations;
mod responses;

use axum::http::Method;
use axum::http::header;
use axum::response::IntoResponse;
use axum::response::Response;
use bytes::Bytes;
use serde_json::Map;
use serde_json::Value;
use serde_json::json;

use super::schema;
use super::state::State;

/// Returns the document as it is sent. Each operation comes with its path and
/// method.
pub fn document<'a>(
    operations: impl IntoIterator<Item = (&'a str, &'a Method, &'a Value)>,
) -> Bytes {
    // The methods of one path share an item of the document.
    let mut paths = Map::new();
    for (path, method, operation) in operations {
        let item = paths.entry(path).or_insert_with(|| json!({}));
        item[method.as_str().to_ascii_lowercase()] = operation.clone();
    }
    let document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": "HOTH",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Accepts provisioning and cost requests for Cloud Service Providers \
                            and returns their outcomes. Every accepted request ends in one \
                            outcome. A path that is not described here is answered with 404, \
                            another method with 405 and `Allow`; both have a `Problem` as body. \
                            `OPTIONS` on a path with `POST` answers a CORS preflight request.",
            "contact": { "name": "The operators of this host" },
            "license": { "name": "Apache License 2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": "/", "description": "This host." }],
        "tags": operations::tags(),
        "paths": paths,
        "components": {
            "schemas": schema::all(),
            "securitySchemes": {
                "bearer": { "type": "http", "scheme": "bearer" },
                "sigv4": {
                    "type": "apiKey",
                    "in": "header",
                    "name": "Authorization",
                    "description": "AWS Signature Version 4, service `execute-api`.",
                },
            },
        },
        "security": [{ "bearer": [] }, { "sigv4": [] }],
    });
    document.to_string().into()
}

/// Handles `GET /openapi.json`.
pub async fn read(axum::extract::State(api): axum::extract::State<State>) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], api.openapi.clone()).into_response()
}
