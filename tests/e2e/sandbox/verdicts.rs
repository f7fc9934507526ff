//! Each deed alone: its job is told why, and nothing else comes of it.

use std::collections::BTreeMap;

use super::asks;
use super::deeds::Deed;
use super::rogue;
use super::words;
use crate::csp;
use crate::csp::Answer;
use crate::harness::Outcome;
use crate::harness::Setup;
use crate::harness::TestHost;

/// What the host may hold at most while guests do all their deeds at once: the
/// 512 MiB that large calls may have together, and what it holds besides.
pub const MEMORY_MAX: u64 = 768 << 20;

/// The bytes that a guest which logs a gigabyte may get into the log: 1 MiB at once, and
/// 16 KiB a second for a minute.
const LOG_BYTES_MAX: usize = 2 << 20;

/// The CSP of the guests that are to meet a bound on time, and what one of
/// their calls may use. [`Deed::Dawdles`] sleeps for a fifth of it in each call,
/// so the run meets ten deadlines before 64 requests, and no call meets one.
const HASTY: &str = "HASTY";
const HASTY_DEADLINE_MS: u64 = 2_000;

/// The CSP of all other guests. Their calls may use so much time that each
/// guest meets its own bound first, however slow the machine is.
const PATIENT: &str = "PATIENT";
const PATIENT_DEADLINE_MS: u64 = 60_000;

/// The CSP whose limits leave the deed no other bound than its own.
fn csp_of(deed: Deed) -> &'static str {
    if matches!(deed, Deed::Spins | Deed::Dawdles) { HASTY } else { PATIENT }
}

/// The code of the message about a deed, and what its details contain.
const fn verdict(deed: Deed) -> (u16, &'static str) {
    match deed {
        Deed::Spins => (500, "the adapter did not answer within 2000 ms"),
        Deed::Dawdles => (500, "the adapter computed for more than 20000 ms in one run"),
        Deed::Hoards => (500, "the adapter asked for more than its 67108864 bytes of memory"),
        Deed::Traps => (500, "the adapter trapped: wasm `unreachable` instruction executed"),
        Deed::Recurses => (500, "the adapter trapped: "),

        Deed::AnswersVast | Deed::AnswersAliased => {
            (500, "the adapter answered against its contract: too much data")
        }
        Deed::LargeBody => (500, "the body of the request has 1048577 bytes, more than 1048576"),
        Deed::ManyHeaders => (500, "the request has 65 headers, more than 64"),
        Deed::LargeHeader => (500, "the headers of the request have 16387 bytes, more than 16384"),
        Deed::LongPath => (500, "the target of the request has 8193 bytes, more than 8192"),
        Deed::ManyScopes => (500, "the request has 17 scopes, more than 16"),
        Deed::LargeState => (500, "the state has 65537 bytes, more than 65536"),
        Deed::OtherState => (500, "the state has version 7, and the adapter resumes 1 to 1"),
        Deed::NoStatus => (500, "the outcome's code is 42, not 200 to 599"),
        Deed::BrokenJson => (500, "the outcome's response is not JSON: EOF while parsing"),
        Deed::ArrayJson => (500, "the outcome's response is not a JSON object"),
        Deed::DeepJson => (500, "the outcome's response is nested deeper than 100 levels"),
        Deed::HalfCharacter => (500, "has half of a surrogate pair, which is no character"),

        Deed::SendsForEver => (500, "the adapter asked for more than 64 requests in one run"),
        Deed::ChecksForEver => (500, "the adapter made more than 256 checkpoints"),
        Deed::WaitsForEver | Deed::WaitsAnAge => (504, "the CSP was still working on it after"),

        Deed::ForeignLocation | Deed::ForeignHost => {
            (502, "which is neither in `base_url` nor in `allowed_origins`")
        }
        Deed::ForeignPath => (502, "its path does not begin with `/`"),
        Deed::ClimbsOut | Deed::ClimbsEncoded => (502, "its path has a dot segment"),
        Deed::CutsPath => (502, "its path has a character that must be percent-encoded"),
        Deed::BreaksValue => (502, "the header `x-a` has a value that cannot be sent"),
        Deed::BreaksName => (502, "a header has a name that cannot be sent"),
        Deed::SetsHost => (502, "the header `host` is the host's to set"),
        Deed::SetsAuthorization => (502, "the header `authorization` is the host's to set"),
        Deed::SetsCookie => (502, "the header `cookie` is the host's to set"),
        Deed::SetsLength => (502, "the header `content-length` is the host's to set"),
        Deed::OtherCredential => (502, "billing"),

        // They do their work, too.
        Deed::LogsGigabyte | Deed::LogsForged => (200, "{}"),
    }
}

/// Returns the answer of the CSP to every call in these tests.
fn fine() -> Answer {
    Answer::json(200, &serde_json::json!({}))
}

/// Has a host do all of `deeds` at once, and returns it with the messages.
async fn done(deeds: &[Deed]) -> (TestHost, BTreeMap<&'static str, Outcome>) {
    let (csp, elsewhere) = (csp::scripted([fine()]).await, csp::sync().await);
    // `deadline_hours` is 11 s.
    let mut setup = Setup::new().with(&format!(
        "[polling]
        initial_ms = 20
        max_ms = 1000
        deadline_hours = 0.003
        [adapters.limits.hasty]
        deadline_ms = {HASTY_DEADLINE_MS}
        [adapters.limits.patient]
        deadline_ms = {PATIENT_DEADLINE_MS}"
    ));
    for name in [HASTY, PATIENT] {
        setup = rogue(setup, name, &csp, &elsewhere);
    }
    let host = setup.start().await;
    let snow = host.servicenow();
    for deed in deeds {
        snow.provision(&asks(csp_of(*deed), *deed, deed.name())).await;
    }
    let messages = snow.collect_all("/provisioning-jobs", deeds.len()).await;
    let about = |message: Outcome| {
        let id = message.job_id().to_owned();
        let deed = deeds.iter().find(|deed| deed.name() == id).expect("one of these");
        (deed.name(), message)
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
    let (host, messages) = done(Deed::ALL).await;
    let mut wrong = Vec::new();
    for deed in Deed::ALL {
        let (code, told) = verdict(*deed);
        let message = &messages[deed.name()];
        let words = words(message);
        // What is told must be for people to read.
        let fits = message["code"] == code && words.contains(told) && words.len() < 400;
        if !fits {
            wrong.push(format!("{deed:?}: not {code} {told}, but {} {words}", message["code"]));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    host.emptied().await;

    let peak = host.memory_peak();
    assert!(peak < MEMORY_MAX, "the host held {peak} bytes");
    println!("the host held {} MiB at most", peak >> 20);

    host.logged_ends(Deed::ALL.len()).await;
    let log = host.log();
    let said = log.iter().filter(|line| line["adapter"] == "patient");
    let said: Vec<_> = said.filter_map(|line| line["message"].as_str()).collect();
    let bytes: usize = said.iter().map(|message| message.len()).sum();
    assert!(bytes < LOG_BYTES_MAX, "the guests wrote {bytes} bytes");
    let forged = r#"one line {"level":"ERROR","message":"forged"}   [2Jgone"#;
    assert!(said.contains(&forged), "what was to look like another line is part of its own");
    assert!(!log.iter().any(|line| line["message"] == "forged"), "a guest wrote a line");
}
