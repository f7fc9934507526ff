//! The CSPs of these tests: some follow the rules of the API, others a script.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use mock_csp::Call;
use mock_csp::Matching;
use mock_csp::MockCsp;
use mock_csp::Mode;
use mock_csp::Options;
use mock_csp::Refused;

pub use mock_csp::Answer;
pub use mock_csp::Gate;

use crate::harness::PATIENCE;

/// Starts a CSP that does everything at once.
pub async fn sync() -> MockCsp {
    start(Options::default()).await
}

/// Starts a CSP that does everything at once, with this version of the API.
pub async fn sync_of_version(version: &str) -> MockCsp {
    let api_version = version.parse().expect("a version");
    start(Options { api_version, ..Options::default() }).await
}

/// Starts a CSP that accepts work and is done after `polls` polls.
pub async fn asynchronous(polls: u32) -> MockCsp {
    start(Options { mode: Mode::Async { polls }, ..Options::default() }).await
}

/// Starts a CSP that delays every answer.
pub async fn slow(delay: Duration) -> MockCsp {
    start(Options { delay, ..Options::default() }).await
}

/// Starts a CSP that answers every call from this list; the last answer
/// repeats. Requests for tokens do not count.
pub async fn scripted(answers: impl IntoIterator<Item = Answer>) -> MockCsp {
    let csp = sync().await;
    csp.script(answers);
    csp
}

/// Starts a CSP that answers the calls for one portfolio from this list.
pub async fn scripted_for(portfolio: &str, answers: impl IntoIterator<Item = Answer>) -> MockCsp {
    let csp = sync().await;
    csp.script_for(Matching::path(&format!("/portfolios/{portfolio}")), answers);
    csp
}

/// Returns an address that refuses connections as long as it is kept.
pub fn nowhere() -> Refused {
    Refused::bind().expect("a port is free")
}

async fn start(options: Options) -> MockCsp {
    MockCsp::start(options).await.expect("a port is free")
}

/// Answers the requests for tokens from this list.
pub fn script_tokens(csp: &MockCsp, answers: impl IntoIterator<Item = Answer>) {
    csp.script_tokens(answers);
}

/// Returns the calls of the API so far, without requests for tokens.
pub fn calls(csp: &MockCsp) -> Vec<Arc<Call>> {
    csp.calls()
}

/// Returns the number of requests for tokens.
pub fn token_calls(csp: &MockCsp) -> usize {
    csp.token_call_count()
}

/// Returns the largest number of calls that the API answered at once.
pub fn most_at_once(csp: &MockCsp) -> usize {
    csp.most_at_once()
}

/// Returns scheme, host and port of the API.
pub fn origin(csp: &MockCsp) -> &str {
    csp.origin()
}

/// Returns method, path and query, as on the wire.
pub fn line(call: &Call) -> String {
    call.line()
}

/// Returns the body as JSON, or `null` if there is none.
pub fn body(call: &Call) -> Value {
    if call.body.is_empty() {
        return Value::Null;
    }
    serde_json::from_slice(&call.body).expect("the body is JSON")
}

/// Returns the first value of a header.
pub fn header(call: &Call, name: &str) -> Option<String> {
    call.header(name).map(str::to_owned)
}

/// Returns the time between two calls.
pub fn apart(first: &Call, second: &Call) -> Duration {
    second.arrived.duration_since(first.arrived)
}

/// Asserts that no call so far broke a rule of the API.
#[track_caller]
pub fn assert_no_violations(csp: &MockCsp) {
    let violations = csp.violations();
    assert!(violations.is_empty(), "{}", violations.join("\n"));
}

/// Waits until there have been `count` calls of the API.
pub async fn wait_for_calls(csp: &MockCsp, count: usize) {
    let waited = tokio::time::timeout(PATIENCE, csp.wait_for_calls(count)).await;
    assert!(waited.is_ok(), "{} calls of {count} after {PATIENCE:?}", csp.call_count());
}
