//! Adapters that misbehave, and adapters that share a host with them.
//!
//! [`misbehaviors`] lists what a guest can do, and [`verdicts`] the expected
//! outcome of each. Components that no compiler would make are in [`forged`].

mod compilers;
mod crowd;
mod forged;
#[path = "../../guests/misbehaves/src/misbehaviors.rs"]
mod misbehaviors;
mod stopped;
mod tangled;
mod verdicts;

use serde_json::Value;

use mock_csp::MockCsp;

use crate::harness::Outcome;
use crate::harness::Setup;
use crate::harness::guest;
use crate::harness::job;
use misbehaviors::Misbehavior;

/// Returns the name of the adapter of the CSP `name`.
fn adapter_of(name: &str) -> String {
    name.to_lowercase().replace('_', "-")
}

/// Adds the CSP `name`, served by the guest `misbehaves` under its own adapter
/// name. Its requests must not reach `elsewhere`.
fn add_misbehaving_csp(setup: Setup, name: &str, csp: &MockCsp, elsewhere: &MockCsp) -> Setup {
    let adapter = adapter_of(name);
    let (base_url, elsewhere) = (csp.base_url(), elsewhere.base_url());
    let wasm = std::fs::read(guest("misbehaves")).expect("the guest can be read");
    setup.adapter(&adapter, wasm).with(&format!(
        r#"
[csp.{name}]
adapter = "{adapter}"
base_url = "{base_url}"
settings = {{ elsewhere = "{elsewhere}" }}
breaker = {{ enabled = false }}
"#
    ))
}

/// Returns a job that makes the guest show this misbehavior.
fn asks(csp: &str, misbehavior: Misbehavior, id: &str) -> Value {
    let mut job = job(id, csp, "ADD_PORTFOLIO");
    job["payload"]["name"] = misbehavior.name().into();
    job
}

/// Returns `details` of the response, or the response itself as text.
fn words(message: &Outcome) -> String {
    let response = message.response();
    response["details"].as_str().map_or_else(|| response.to_string(), str::to_owned)
}
