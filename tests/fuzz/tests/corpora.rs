//! Every target over its corpus, and blind variations of it.

use std::time::Duration;

use hoth_fuzz::Target;
use hoth_fuzz::tour;

/// Enough to notice a corpus that no longer fits its target, in a second
/// or two. `cargo xtask fuzz` sets a time instead, where there is no
/// libFuzzer.
const VARIATIONS: u64 = 1_000;

#[track_caller]
fn tour(target: Target) {
    let seconds = std::env::var_os("HOTH_FUZZ_SECONDS");
    let until = match seconds.and_then(|text| text.to_str()?.parse().ok()) {
        Some(seconds) => tour::Until::Passed(Duration::from_secs(seconds)),
        None => tour::Until::Tried(VARIATIONS),
    };
    let tried = tour::run(target, until);
    assert!(tried.corpus >= 5, "{target} has a corpus of {}", tried.corpus);
}

#[test]
fn no_request_body_breaks_a_promise() {
    tour(Target::RequestBody);
}

#[test]
fn no_signature_breaks_a_promise() {
    tour(Target::Signature);
}

#[test]
fn no_adapter_step_breaks_a_promise() {
    tour(Target::AdapterStep);
}

#[test]
fn no_location_breaks_a_promise() {
    tour(Target::Location);
}

#[test]
fn no_queue_message_breaks_a_promise() {
    tour(Target::QueueMessage);
}
