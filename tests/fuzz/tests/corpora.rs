//! Every target over its corpus and random variations of it.

use std::time::Duration;

use hoth_fuzz::Target;
use hoth_fuzz::corpus_run;

/// Enough to notice a corpus that no longer fits its target, in a second
/// or two. `cargo xtask fuzz` sets a time instead, where there is no
/// libFuzzer.
const VARIATIONS: u64 = 1_000;

#[track_caller]
fn run_corpus(target: Target) {
    let seconds = std::env::var_os("HOTH_FUZZ_SECONDS");
    let until = match seconds.and_then(|text| text.to_str()?.parse().ok()) {
        Some(seconds) => corpus_run::Until::Passed(Duration::from_secs(seconds)),
        None => corpus_run::Until::Tried(VARIATIONS),
    };
    let tried = corpus_run::run(target, until);
    assert!(tried.corpus >= 5, "{target} has a corpus of {}", tried.corpus);
}

#[test]
fn no_request_body_breaks_an_invariant() {
    run_corpus(Target::RequestBody);
}

#[test]
fn no_signature_breaks_an_invariant() {
    run_corpus(Target::Signature);
}

#[test]
fn no_adapter_step_breaks_an_invariant() {
    run_corpus(Target::AdapterStep);
}

#[test]
fn no_location_breaks_an_invariant() {
    run_corpus(Target::Location);
}

#[test]
fn no_queue_message_breaks_an_invariant() {
    run_corpus(Target::QueueMessage);
}
