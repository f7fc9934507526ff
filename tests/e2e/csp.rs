//! The CSPs of these tests: faithful ones, and such as follow a script.

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

/// A faithful CSP that does everything at once.
pub async fn sync() -> MockCsp {
    start(Options::default()).await
}

/// The same with this version of the API.
pub async fn sync_of_version(version: &str) -> MockCsp {
    let api_version = version.parse().expect("a version");
    start(Options { api_version, ..Options::default() }).await
}

/// A faithful CSP that accepts work and is done after so many polls.
pub async fn asynchronous(polls: u32) -> MockCsp {
    start(Options { mode: Mode::Async { polls }, ..Options::default() }).await
}

/// A faithful CSP that takes its time for each call.
pub async fn slow(delay: Duration) -> MockCsp {
    start(Options { delay, ..Options::default() }).await
}

/// A CSP that answers by this list, whatever it is asked; the last answer
/// repeats. Tokens are not part of it.
pub async fn scripted(answers: impl IntoIterator<Item = Answer>) -> MockCsp {
    let csp = sync().await;
    csp.script(answers);
    csp
}

/// A faithful CSP that answers by this list where one portfolio is concerned.
pub async fn scripted_for(portfolio: &str, answers: impl IntoIterator<Item = Answer>) -> MockCsp {
    let csp = sync().await;
    csp.script_for(Matching::path(&format!("/portfolios/{portfolio}")), answers);
    csp
}

/// Where nobody listens, as long as it is kept.
pub fn nowhere() -> Refused {
    Refused::bind().expect("a port is free")
}

async fn start(options: Options) -> MockCsp {
    MockCsp::start(options).await.expect("a port is free")
}

/// Answers the requests for tokens by this list.
pub fn script_tokens(csp: &MockCsp, answers: impl IntoIterator<Item = Answer>) {
    csp.script_tokens(answers);
}

/// The calls of the API so far; requests for tokens are none.
pub fn calls(csp: &MockCsp) -> Vec<Arc<Call>> {
    csp.calls()
}

/// How many tokens were asked for.
pub fn token_calls(csp: &MockCsp) -> usize {
    csp.token_call_count()
}

/// How many calls the API answered at once, at most.
pub fn most_at_once(csp: &MockCsp) -> usize {
    csp.most_at_once()
}

/// Scheme, host and port of the API.
pub fn origin(csp: &MockCsp) -> &str {
    csp.origin()
}

/// Method, path and query, as on the wire.
pub fn line(call: &Call) -> String {
    call.line()
}

/// The body as JSON; `null` without one.
pub fn body(call: &Call) -> Value {
    if call.body.is_empty() {
        return Value::Null;
    }
    serde_json::from_slice(&call.body).expect("the body is JSON")
}

/// The first value of a header.
pub fn header(call: &Call, name: &str) -> Option<String> {
    call.header(name).map(str::to_owned)
}

/// How much later `second` came than `first`.
pub fn apart(first: &Call, second: &Call) -> Duration {
    second.arrived.duration_since(first.arrived)
}

/// Holds every call so far to the rules of the API.
#[track_caller]
pub fn assert_lawful(csp: &MockCsp) {
    let violations = csp.violations();
    assert!(violations.is_empty(), "{}", violations.join("\n"));
}

/// Waits until there have been `count` calls of the API.
pub async fn wait_for_calls(csp: &MockCsp, count: usize) {
    let waited = tokio::time::timeout(PATIENCE, csp.wait_for_calls(count)).await;
    assert!(waited.is_ok(), "{} calls of {count} after {PATIENCE:?}", csp.call_count());
}
