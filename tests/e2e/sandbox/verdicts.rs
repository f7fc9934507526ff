//! Each misbehavior fails its own job with a reason, and has no other effect.

use std::collections::BTreeMap;

use super::add_misbehaving_csp;
use super::asks;
use super::misbehaviors::Misbehavior;
use super::words;
use crate::csp;
use crate::csp::Answer;
use crate::harness::Outcome;
use crate::harness::Setup;
use crate::harness::TestHost;

/// The limit of the host's memory while guests misbehave in all ways at once:
/// the 512 MiB that large calls may have together, and the rest of the host.
pub const MEMORY_MAX: u64 = 768 << 20;

/// The bytes that a guest which logs a gigabyte may get into the log: 1 MiB at
/// once, and 16 KiB a second for a minute.
const LOG_BYTES_MAX: usize = 2 << 20;

/// The CSP of the guests that must reach a time limit, and the deadline of
/// their calls. [`Misbehavior::Dawdles`] sleeps for a fifth of it in each call,
/// so the run uses ten deadlines before it makes 64 requests, and no call uses
/// one.
const HASTY: &str = "HASTY";
const HASTY_DEADLINE_MS: u64 = 2_000;

/// The CSP of all other guests, and the deadline of their calls: so long that
/// each guest reaches its own limit first, however slow the machine is.
const PATIENT: &str = "PATIENT";
const PATIENT_DEADLINE_MS: u64 = 60_000;

/// Returns the CSP whose limits leave the misbehavior only its own limit to
/// reach.
fn csp_of(misbehavior: Misbehavior) -> &'static str {
    if matches!(misbehavior, Misbehavior::Spins | Misbehavior::Dawdles) { HASTY } else { PATIENT }
}

/// Returns the code and a part of the details in the outcome of a misbehavior.
const fn verdict(misbehavior: Misbehavior) -> (u16, &'static str) {
    match misbehavior {
        Misbehavior::Spins => (500, "the adapter did not answer within 2000 ms"),
        Misbehavior::Dawdles => (500, "the adapter computed for more than 20000 ms in one run"),
        Misbehavior::Hoards => {
            (500, "the adapter asked for more than its 67108864 bytes of memory")
        }
        Misbehavior::Traps => (500, "the adapter trapped: wasm `unreachable` instruction executed"),
        Misbehavior::Recurses => (500, "the adapter trapped: "),

        Misbehavior::AnswersVast | Misbehavior::AnswersAliased => {
            (500, "the adapter answered against its contract: too much data")
        }
        Misbehavior::LargeBody => {
            (500, "the body of the request has 1048577 bytes, more than 1048576")
        }
        Misbehavior::ManyHeaders => (500, "65 headers of the request, more than 64"),
        Misbehavior::LargeHeader => {
            (500, "the headers of the request have 16387 bytes, more than 16384")
        }
        Misbehavior::LongPath => (500, "the target of the request has 8193 bytes, more than 8192"),
        Misbehavior::ManyScopes => (500, "the request has 17 scopes, more than 16"),
        Misbehavior::LargeState => (500, "the state has 262145 bytes, more than 262144"),
        Misbehavior::OtherState => (500, "the state has version 7, and the adapter resumes 1 to 1"),
        Misbehavior::OtherStep => {
            (500, "it returned a step \"fan-out\", which this host does not know")
        }
        Misbehavior::OtherPurpose => (500, "this host knows no purpose of a wait \"nap\""),
        Misbehavior::OtherRetry => (500, "this host knows no retry of a request \"perhaps\""),
        Misbehavior::NoStatus => (500, "the outcome's code is 42, not 200 to 599"),
        Misbehavior::BrokenJson => (500, "the outcome's response is not JSON: EOF while parsing"),
        Misbehavior::ArrayJson => (500, "the outcome's response is not a JSON object"),
        Misbehavior::DeepJson => (500, "the outcome's response is nested deeper than 100 levels"),
        Misbehavior::HalfCharacter => (500, "has half of a surrogate pair, which is no character"),

        Misbehavior::SendsForEver => {
            (500, "the adapter asked for more than 64 requests in one run")
        }
        Misbehavior::ChecksForEver => (500, "the adapter made more than 256 checkpoints"),
        Misbehavior::WaitsForEver | Misbehavior::WaitsAnAge => {
            (504, "the CSP was still working on it after")
        }

        Misbehavior::ForeignLocation | Misbehavior::ForeignHost => {
            (502, "which is in none of `base_url`, `endpoints` and `allowed_origins`")
        }
        Misbehavior::ForeignPath => (502, "its path does not begin with `/`"),
        Misbehavior::ClimbsOut | Misbehavior::ClimbsEncoded => (502, "its path has a dot segment"),
        Misbehavior::CutsPath => (502, "its path has a character that must be percent-encoded"),
        Misbehavior::BreaksValue => (502, "the header `x-a` has an invalid value"),
        Misbehavior::BreaksName => (502, "a header has an invalid name"),
        Misbehavior::SetsHost => (502, "the header `host` is reserved for the host"),
        Misbehavior::SetsAuthorization => {
            (502, "the header `authorization` is reserved for the host")
        }
        Misbehavior::SetsCookie => (502, "the header `cookie` is reserved for the host"),
        Misbehavior::SetsLength => (502, "the header `content-length` is reserved for the host"),
        Misbehavior::OtherCredential => (502, "billing"),
        Misbehavior::OtherEndpoint => (502, "it asks for the endpoint \"billing\""),

        // These misbehaviors also complete the job.
        Misbehavior::LogsGigabyte | Misbehavior::LogsForged | Misbehavior::PausesAnAge => {
            (200, "{}")
        }
    }
}

/// Returns the answer of the CSP to every call in these tests.
fn fine() -> Answer {
    Answer::json(200, &serde_json::json!({}))
}

/// Runs all of `misbehaviors` at once on one host, and returns it with the
/// outcomes.
async fn done(misbehaviors: &[Misbehavior]) -> (TestHost, BTreeMap<&'static str, Outcome>) {
    let (csp, elsewhere) = (csp::scripted([fine()]).await, csp::sync().await);
    // `deadline_hours` is 11 s.
    let mut setup = Setup::new().with(&format!(
        "[retry]
        initial_backoff_ms = 20
        max_backoff_ms = 100
        [polling]
        initial_ms = 20
        max_ms = 1000
        deadline_hours = 0.003
        [adapters.limits.hasty]
        deadline_ms = {HASTY_DEADLINE_MS}
        [adapters.limits.patient]
        deadline_ms = {PATIENT_DEADLINE_MS}"
    ));
    for name in [HASTY, PATIENT] {
        setup = add_misbehaving_csp(setup, name, &csp, &elsewhere);
    }
    let host = setup.start().await;
    let snow = host.servicenow();
    for misbehavior in misbehaviors {
        snow.provision(&asks(csp_of(*misbehavior), *misbehavior, misbehavior.name())).await;
    }
    let messages = snow.collect_all("/provisioning-jobs", misbehaviors.len()).await;
    let about = |message: Outcome| {
        let id = message.job_id().to_owned();
        let misbehavior =
            misbehaviors.iter().find(|misbehavior| misbehavior.name() == id).expect("one of these");
        (misbehavior.name(), message)
    };
    for call in csp::calls(&csp) {
        assert_eq!(csp::line(&call), "POST /atat/api/v1/portfolios", "it left the base URL");
        for (name, stolen) in [("authorization", "stolen"), ("cookie", "stolen"), ("host", "else")]
        {
            let value = csp::header(&call, name).unwrap_or_default();
            assert!(!value.contains(stolen), "{name}: {value}");
        }
    }
    assert!(csp::calls(&elsewhere).is_empty(), "a request went elsewhere");
    (host, messages.into_iter().map(about).collect())
}

#[tokio::test]
async fn every_misbehavior_fails_only_its_own_job_with_a_reason() {
    let (host, messages) = done(Misbehavior::ALL).await;
    let mut wrong = Vec::new();
    for misbehavior in Misbehavior::ALL {
        let (code, told) = verdict(*misbehavior);
        let message = &messages[misbehavior.name()];
        let words = words(message);
        // The details must be readable for people.
        let fits = message["code"] == code && words.contains(told) && words.len() < 400;
        if !fits {
            wrong.push(format!(
                "{misbehavior:?}: not {code} {told}, but {} {words}",
                message["code"]
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    host.emptied().await;

    let peak = host.memory_peak();
    assert!(peak < MEMORY_MAX, "the host held {peak} bytes");
    println!("the host held {} MiB at most", peak >> 20);

    host.logged_ends(Misbehavior::ALL.len()).await;
    let log = host.log();
    let said = log.iter().filter(|line| line["adapter"] == "patient");
    let said: Vec<_> = said.filter_map(|line| line["message"].as_str()).collect();
    let bytes: usize = said.iter().map(|message| message.len()).sum();
    assert!(bytes < LOG_BYTES_MAX, "the guests wrote {bytes} bytes");
    let forged = r#"one line {"level":"ERROR","message":"forged"}   [2Jgone"#;
    assert!(said.contains(&forged), "a forged line must stay part of the guest's own line");
    assert!(!log.iter().any(|line| line["message"] == "forged"), "a guest wrote a line");
}
