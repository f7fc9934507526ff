//! The ATAT API as a plain client sees it.

mod answers;
mod rules;
mod tokens;

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use serde_json::json;
use time::OffsetDateTime;
use time::macros::format_description;

use super::*;
use crate::client::TestRequest;
use crate::client::TestResponse;

impl TestRequest {
    /// Returns a request that breaks no rule, except that it has no token.
    fn new(method: &str, path: &str, body: &Value) -> Self {
        let asked = Self::bare(method, &format!("{BASE_PATH}{path}"), body)
            .with("user-agent", "ATAT CSP Api Client")
            .with("x-atat-api-version", "1.3.1")
            .with("authorization", "Bearer none");
        if body.is_null() { asked } else { asked.with("content-type", "application/json") }
    }
}

async fn start(options: Options) -> MockCsp {
    MockCsp::start(options).await.unwrap()
}

/// Returns a valid request for a token.
fn token_request(csp: &MockCsp, scope: &str) -> TestRequest {
    let credentials = STANDARD.encode(format!("{}:{}", csp.client_id(), csp.client_secret()));
    let form = format!(
        "grant_type=client_credentials&client_id={}&scope={}",
        csp.client_id(),
        scope.replace('/', "%2F")
    );
    TestRequest { body: form, ..TestRequest::bare("POST", TOKEN_PATH, &Value::Null) }
        .with("authorization", &format!("Basic {credentials}"))
        .with("content-type", "application/x-www-form-urlencoded")
}

/// Requests a token, and returns it as the value of a header.
async fn bearer(csp: &MockCsp, scope: &str) -> String {
    let answered = token_request(csp, scope).send(csp.identity().origin()).await;
    assert_eq!(answered.status, 200, "{answered:?}");
    format!("Bearer {}", answered.body["access_token"].as_str().unwrap())
}

/// Sends a request with a fresh token.
async fn ask(csp: &MockCsp, scope: &str, asked: &TestRequest) -> TestResponse {
    asked.clone().with("authorization", &bearer(csp, scope).await).send(csp.origin()).await
}

fn task_order() -> Value {
    json!({
        "task_order_number": "1234567890123", "pop_start_date": "2021-07-01", "pop_end_date": "2022-07",
        "clins": [{
            "clin_number": "9999", "type": "CLOUD", "classification_level": "UNCLASSIFIED",
            "pop_start_date": "2021-07-01", "pop_end_date": "2022-07-01"
        }]
    })
}

fn operators() -> Value {
    json!([{"email": "admin1@mail.mil", "dod_id": "1122334455", "needs_reset": false}])
}

fn environment() -> Value {
    json!({
        "name": "Sample Environment", "administrators": operators(), "classification_level": "UNCLASSIFIED"
    })
}

fn portfolio() -> Value {
    json!({"name": "Sample Portfolio", "task_orders": [task_order()]})
}

/// Formats the time in `hours` hours as the API expects it.
fn deadline(hours: i64) -> String {
    let at = OffsetDateTime::now_utc() + time::Duration::hours(hours);
    let shape =
        format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");
    at.format(shape).unwrap()
}
