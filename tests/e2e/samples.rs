//! Adapters in other languages, and for WASI: the same input gives the same
//! steps bit for bit, and a job runs through the real host.
//!
//! `cargo xtask adapters --samples` builds them; `cargo xtask test --samples`
//! does that and runs these tests, which plain `cargo xtask test` leaves out.

use bytes::Bytes;
use serde_json::Value;
use serde_json::json;
use tokio::net::TcpListener;

use hoth_core::domain::Event;
use hoth_core::domain::HttpResponse;
use hoth_core::domain::Step;
use hoth_core::domain::Timestamp;
use hoth_runtime::Adapter;
use hoth_runtime::Call;
use hoth_runtime::Config;
use hoth_runtime::Engine;
use hoth_runtime::EntryPoint;
use hoth_runtime::JobContext;

use crate::csp;
use crate::csp::Answer;
use crate::harness::Setup;
use crate::harness::compiled_adapters;
use crate::harness::component;
use crate::harness::job;
use crate::harness::sample;

const SAMPLES: [&str; 3] = ["rust", "python", "javascript"];

/// Far more than any of them needs: the compiler of this build is slow, and the
/// first call after it may be, too.
const DEADLINE_MS: u64 = 60_000;

/// The longest that may be configured: the tests beside these keep the
/// processors busy, too.
const COMPILE_TIMEOUT_MS: u64 = 3_600_000;

/// The time of every call in these tests: 2026-01-02T03:04:05.678Z.
const NOW: Timestamp = Timestamp::from_millis(1_767_323_045_678);

fn engine() -> Engine {
    let config = Config {
        cache_directory: Some(compiled_adapters()),
        deadline_ms: DEADLINE_MS,
        compile_timeout_ms: COMPILE_TIMEOUT_MS,
        ..Config::default()
    };
    Engine::new(&config).expect("the machine runs components")
}

fn facts(settings: &Value) -> JobContext {
    JobContext {
        id: "job-1".to_owned(),
        operation: "get-portfolio".to_owned(),
        input: json!({"jobId": "job-1", "userId": "u", "portfolioId": "p 1/ü", "payload": {}})
            .to_string(),
        settings: settings.to_string(),
        attempt: 1,
        context: Vec::new(),
    }
}

/// Runs a job that the CSP answers from this list, and returns each step of the
/// adapter as text.
async fn steps(adapter: &Adapter, settings: &Value, entropy: (u64, u64)) -> Vec<String> {
    let facts = facts(settings);
    let mut steps = Vec::new();
    let mut entry = EntryPoint::Begin;
    let mut kept;
    loop {
        let step = adapter.call(Call { facts: &facts, now: NOW, entropy, entry }).await;
        let step = step.expect("the sample works");
        steps.push(format!("{step:?}"));
        let Step::Send(send) = step else { return steps };
        kept = send.state;
        let body = r#"{"id":"p-1","name":"Käse","csos":[]}"#;
        let event = Event::Response(HttpResponse {
            url: "https://csp.example.com/portfolios/p-1".to_owned(),
            tries: 1,
            status: 200,
            headers: vec![("content-type".to_owned(), "application/json".to_owned())],
            body: Bytes::from_static(body.as_bytes()),
        });
        entry = EntryPoint::Resume { state: &kept, event };
    }
}

#[tokio::test]
async fn the_same_input_gives_the_same_steps_bit_for_bit() {
    let atat = std::fs::read(component("atat")).expect("the adapter can be read");
    let mut all = vec![("atat", atat), ("roams", sample("roams"))];
    all.extend(SAMPLES.map(|name| (name, sample(name))));
    for (name, wasm) in all {
        let engine = engine();
        let adapter = engine.load(name, wasm.clone()).await.expect("the sample loads");
        let settings = json!({});
        let first = steps(&adapter, &settings, (1, 2)).await;
        assert_eq!(first, steps(&adapter, &settings, (1, 2)).await, "{name}");
        // The steps do not depend on the process: another engine, loaded again.
        let again = self::engine().load(name, wasm).await.expect("the sample loads");
        assert_eq!(first, steps(&again, &settings, (1, 2)).await, "{name}");
        // Random numbers differ between jobs, though.
        let other = steps(&again, &settings, (3, 4)).await;
        assert_eq!(first == other, name == "atat", "{name}: {first:?}");
    }
}

#[tokio::test]
async fn wasi_gives_an_adapter_no_access_beyond_its_job() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    let address = listener.local_addr().expect("it has an address");
    let adapter = engine().load("roams", sample("roams")).await.expect("the sample loads");
    let facts = facts(&json!({"address": address.to_string()}));
    let call = Call { facts: &facts, now: NOW, entropy: (1, 2), entry: EntryPoint::Begin };
    let step = adapter.call(call).await.expect("it comes back");
    let Step::Done(outcome) = step else { panic!("{step:?}") };
    let response: Value = serde_json::from_str(outcome.response.get()).expect("JSON");
    let mut got = response["got"].clone();
    let random = got["random"].take();
    assert_eq!(random.as_str().map(str::len), Some(16), "{random}");
    assert_eq!(
        got,
        json!({
            "readsRoot": "nothing",
            "readsHere": "nothing",
            "readsFile": "nothing",
            "writesFile": "nothing",
            "makesFolder": "nothing",
            "readsInput": "0",
            "connects": "nothing",
            "listens": "nothing",
            "sendsDatagram": "nothing",
            "resolvesName": "nothing",
            "variables": "0",
            "arguments": "0",
            "startsThread": "nothing",
            "clockMs": "1767323045678",
            "elapsedNs": "0",
            "random": null
        })
    );
    assert!(!std::path::Path::new("/tmp/roams").exists(), "it wrote a file");
    let heard = tokio::time::timeout(std::time::Duration::ZERO, listener.accept()).await;
    assert!(heard.is_err(), "it reached the network");
}

#[tokio::test]
async fn a_job_runs_through_an_adapter_in_every_language() {
    let answer = json!({"id": "p-1", "name": "Sample Portfolio"});
    let csp = csp::scripted([Answer::json(200, &answer)]).await;
    let name = |language: &str| format!("CSP_{}", language.to_uppercase());
    let mut setup = Setup::new()
        .environment("HOTH__ADAPTERS__DEADLINE_MS", &DEADLINE_MS.to_string())
        .environment("HOTH__ADAPTERS__COMPILE_TIMEOUT_MS", &COMPILE_TIMEOUT_MS.to_string());
    for language in SAMPLES {
        setup = setup.adapter(language, sample(language)).with(&format!(
            "[csp.{}]\nadapter = \"{language}\"\nbase_url = \"{}\"",
            name(language),
            csp.base_url()
        ));
    }
    // Compiled beforehand, since it takes longer than the wait for a host's
    // start.
    let engine = engine();
    for language in SAMPLES {
        engine.load(language, sample(language)).await.expect("the sample loads");
    }
    let host = setup.start().await;
    let snow = host.servicenow();
    for language in SAMPLES {
        snow.provision(&job(language, &name(language), "GET_PORTFOLIO")).await;
        let message = snow.outcome().await;
        assert_eq!(message.code(), 200, "{language}: {message}");
        assert_eq!(*message.request(), json!({"portfolioId": "p-1"}), "{language}");
        assert_eq!(message.response()["portfolio"], answer, "{language}");
    }
    let calls = csp::calls(&csp);
    let mut ids = Vec::new();
    for call in &calls {
        assert_eq!(csp::line(call), "GET /atat/api/v1/portfolios/p-1");
        ids.push(csp::header(call, "x-request-id").expect("a random id"));
    }
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), SAMPLES.len(), "every job has its own random numbers");
    host.logged("a line that Python printed", |line| line["message"] == "asks for a portfolio")
        .await;
}
