//! Adapters that misbehave, and those who share a host with them.
//!
//! What a guest can do is [`deeds`], and what its job is told stands in
//! [`verdicts`]. Components that no compiler would make are in [`forged`].

mod crowd;
#[path = "../../guests/rogue/src/deeds.rs"]
mod deeds;
mod forged;
mod tangled;
mod verdicts;

use serde_json::Value;

use mock_csp::MockCsp;

use crate::harness::Outcome;
use crate::harness::Setup;
use crate::harness::guest;
use crate::harness::job;
use deeds::Deed;

/// Adds the CSP `name`, served by the rogue under a name of its own; `elsewhere`
/// is where its requests must not go.
fn rogue(setup: Setup, name: &str, csp: &MockCsp, elsewhere: &MockCsp) -> Setup {
    let adapter = name.to_lowercase().replace('_', "-");
    let (base_url, elsewhere) = (csp.base_url(), elsewhere.base_url());
    let wasm = std::fs::read(guest("rogue")).expect("the guest can be read");
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

/// A job that makes the rogue do this; its id tells which.
fn asks(csp: &str, deed: Deed, id: &str) -> Value {
    let mut job = job(id, csp, "ADD_PORTFOLIO");
    job["payload"]["name"] = deed.name().into();
    job
}

/// `details` of the message's response, or the response itself.
fn words(message: &Outcome) -> String {
    let response = message.response();
    response["details"].as_str().map_or_else(|| response.to_string(), str::to_owned)
}
