//! The promises of one call, with real components.

mod loading;

use std::time::Duration;

use bytes::Bytes;

use super::testing::TestGuest;
use super::*;
use hoth_core::config::Names;
use hoth_core::config::Table as _;
use hoth_core::domain::AdapterState;
use hoth_core::domain::Event;
use hoth_core::domain::HttpResponse;
use hoth_core::domain::Step;
use hoth_core::domain::Timestamp;

const MIB: u64 = 1 << 20;

struct Fixture {
    engine: Engine,
    _directory: tempfile::TempDir,
}

/// A deadline that no well-behaved guest of these tests reaches, however slow
/// or busy the machine is: loading a guest is a call, too.
const FAR_MS: u64 = 60_000;

/// A deadline for guests that never end. It is long enough for a busy machine
/// to load them.
const NEAR_MS: u64 = 2_000;
const NEAR: Duration = Duration::from_millis(NEAR_MS);

fn fixture() -> Fixture {
    fixture_with_deadline(FAR_MS)
}

/// Makes a fixture whose guests may each use `deadline_ms` for one call.
fn fixture_with_deadline(deadline_ms: u64) -> Fixture {
    fixture_with(Config { max_memory_bytes: 16 * MIB, deadline_ms, ..Config::default() })
}

fn fixture_with(config: Config) -> Fixture {
    let directory = tempfile::tempdir().unwrap();
    let config = Config { directory: directory.path().to_owned(), ..config };
    Fixture { engine: Engine::new(&config).unwrap(), _directory: directory }
}

fn facts() -> JobContext {
    JobContext {
        id: "job-1".to_owned(),
        operation: "add-portfolio".to_owned(),
        input: r#"{"name":"käse"}"#.to_owned(),
        settings: r#"{"api_version":"1.3.1"}"#.to_owned(),
        attempt: 1,
        context: vec![("traceparent".to_owned(), "00-1-2-01".to_owned())],
    }
}

fn call<'a>(facts: &'a JobContext, entry: EntryPoint<'a>) -> Call<'a> {
    Call { facts, now: Timestamp::from_millis(1_700_000_000_123), entropy: (1, 2), entry }
}

/// Begins with a guest whose `begin` is `begin`.
async fn begin(fixture: &Fixture, begin: &'static str) -> Result<Step, CallError> {
    begin_guest(fixture, TestGuest { begin, ..TestGuest::default() }).await
}

async fn begin_guest(fixture: &Fixture, guest: TestGuest) -> Result<Step, CallError> {
    let adapter = fixture.engine.load("guest", guest.build()).await.unwrap();
    adapter.call(call(&facts(), EntryPoint::Begin)).await
}

#[track_caller]
fn check_done(step: Step, code: u16, request: &str, response: &str) {
    let Step::Done(outcome) = step else { panic!("{step:?}") };
    assert_eq!(
        (outcome.code, outcome.request.get(), outcome.response.get()),
        (code, request, response)
    );
}

fn assert_send<T: Send>(value: T) -> T {
    value
}

#[tokio::test]
async fn a_call_passes_the_job_and_returns_a_step() {
    let fixture = fixture();
    let wasm = TestGuest { states: (1, 7), ..TestGuest::default() }.build();
    let adapter = fixture.engine.load("atat", wasm.clone()).await.unwrap();
    assert_eq!(adapter.name(), "atat");
    assert_eq!(adapter.digest(), hoth_core::domain::Digest::of(&wasm));
    assert_eq!(adapter.size_bytes(), wasm.len());
    assert_eq!(adapter.info().name, "echo");
    assert_eq!(adapter.info().operations, ["add-portfolio"]);
    assert!(adapter.resumes(7) && !adapter.resumes(8));
    assert_eq!(adapter.imports(), ["hoth:adapter/types@0.2.0"]);

    let facts = facts();
    let step = assert_send(adapter.call(call(&facts, EntryPoint::Begin))).await.unwrap();
    check_done(step, 200, &facts.settings, &facts.input);

    let state = AdapterState { version: 1, bytes: br#"{"step":2}"#.to_vec() };
    let event = Event::Response(HttpResponse {
        status: 404,
        url: "https://csp.example.com/x".to_owned(),
        tries: 1,
        headers: vec![("a".to_owned(), "b".to_owned())],
        body: Bytes::from_static(br#"{"no":1}"#),
    });
    let step =
        adapter.call(call(&facts, EntryPoint::Resume { state: &state, event })).await.unwrap();
    check_done(step, 404, r#"{"step":2}"#, r#"{"no":1}"#);
}

#[tokio::test]
async fn a_request_of_a_megabyte_fits() {
    let fixture = fixture();
    let adapter = fixture.engine.load("echo", TestGuest::default().build()).await.unwrap();
    let input = format!("{{\"a\":\"{}\"}}", "x".repeat((1 << 20) - 8));
    let facts = JobContext { input, ..facts() };
    let step = adapter.call(call(&facts, EntryPoint::Begin)).await.unwrap();
    check_done(step, 200, &facts.settings, &facts.input);
}

#[tokio::test(flavor = "current_thread")]
async fn a_guest_that_spins_is_stopped_and_lets_others_run_meanwhile() {
    let fixture = fixture_with_deadline(NEAR_MS);
    let spin = begin(&fixture, "(loop (br 0)) (unreachable)");
    tokio::pin!(spin);
    let mut turns = 0_u32;
    let error = loop {
        tokio::select! {
            biased;
            ended = &mut spin => break ended.unwrap_err(),
            () = tokio::task::yield_now() => turns += 1,
        }
    };
    assert_eq!(error, CallError::DeadlineExceeded { limit: NEAR });
    assert!(turns >= 3, "others had {turns} turns on the same thread");
}

#[tokio::test]
async fn a_failing_guest_fails_only_its_own_job() {
    let fixture = fixture();
    let trapped = |message: &str| CallError::Trapped { message: message.to_owned() };
    for (body, expected) in [
        ("(unreachable)", trapped("wasm `unreachable` instruction executed")),
        (
            "(drop (i32.load (i32.const -8))) (i32.const 512)",
            trapped("out of bounds memory access"),
        ),
        (
            "(drop (i32.div_u (i32.const 1) (i32.const 0))) (i32.const 512)",
            trapped("integer divide by zero"),
        ),
        (
            "(loop (if (i32.eq (memory.grow (i32.const 1)) (i32.const -1)) (then (unreachable))) \
             (br 0)) (unreachable)",
            CallError::MemoryExceeded { limit: 16 * MIB },
        ),
        // A pointer that leads out of memory.
        (
            "(i32.const -8)",
            CallError::InvalidStep { what: "pointer out of bounds of memory".to_owned() },
        ),
        // Code 0 of step 0: a request to nowhere.
        (
            "(i32.const 2048)",
            CallError::InvalidStep {
                what: "this host knows no retry of a request \"\"".to_owned(),
            },
        ),
        // A step of an extension that is not announced.
        (
            "(i32.store8 (i32.const 512) (i32.const 4))
            (i32.store (i32.const 520) (i32.const 1776)) (i32.store (i32.const 524) (i32.const 4))
            (i32.const 512)",
            CallError::InvalidStep {
                what: "it returned a step \"poll\", which this host does not know".to_owned(),
            },
        ),
    ] {
        assert_eq!(begin(&fixture, body).await.unwrap_err(), expected, "{body}");
    }
    assert!(begin(&fixture, testing::ECHO_BEGIN).await.is_ok());
}

#[tokio::test]
async fn a_guest_may_succeed_after_a_refusal_of_memory() {
    let fixture = fixture();
    let body = "(drop (memory.grow (i32.const 10000)))
        (i32.store8 (i32.const 512) (i32.const 2))
        (i32.store16 (i32.const 520) (i32.const 200))
        (i32.store (i32.const 524) (i32.const 1792)) (i32.store (i32.const 528) (i32.const 2))
        (i32.store (i32.const 532) (i32.const 1792)) (i32.store (i32.const 536) (i32.const 2))
        (i32.const 512)";
    check_done(begin(&fixture, body).await.unwrap(), 200, "{}", "{}");
}

#[tokio::test]
async fn data_of_a_guest_is_bounded_before_it_is_copied() {
    let fixture = fixture();
    // A state of 16 MiB less a page, which is all of memory.
    let body = "(drop (memory.grow (i32.const 192)))
        (i32.store8 (i32.const 512) (i32.const 1))
        (i32.store (i32.const 552) (i32.const 16711680))
        (i32.const 512)";
    let Err(CallError::InvalidStep { what }) = begin(&fixture, body).await else {
        panic!("a state of 16 MiB was taken");
    };
    assert!(what.contains("too much data"), "{what}");
}

#[tokio::test]
async fn a_call_sees_nothing_of_an_earlier_call() {
    let fixture = fixture();
    // Traps when the word it leaves behind is there already.
    let body = "(if (i32.load (i32.const 4096)) (then (unreachable)))
        (i32.store (i32.const 4096) (i32.const 1))
        (i32.store8 (i32.const 512) (i32.const 2))
        (i32.store16 (i32.const 520) (i32.const 200))
        (i32.store (i32.const 524) (i32.const 1792)) (i32.store (i32.const 528) (i32.const 2))
        (i32.store (i32.const 532) (i32.const 1792)) (i32.store (i32.const 536) (i32.const 2))
        (i32.const 512)";
    let wasm = TestGuest { begin: body, ..TestGuest::default() }.build();
    let adapter = fixture.engine.load("forgets", wasm).await.unwrap();
    for _ in 0..100 {
        adapter.call(call(&facts(), EntryPoint::Begin)).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_calls_than_instances_wait_for_one_another() {
    let fixture = fixture();
    let adapter = fixture.engine.load("echo", TestGuest::default().build()).await.unwrap();
    let calls: Vec<_> = (0..1_000)
        .map(|_| {
            let adapter = adapter.clone();
            tokio::spawn(async move { adapter.call(call(&facts(), EntryPoint::Begin)).await })
        })
        .collect();
    for call in calls {
        call.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_cancelled_call_returns_its_instance() {
    let fixture = fixture();
    let wasm = TestGuest { begin: "(loop (br 0)) (unreachable)", ..TestGuest::default() }.build();
    let adapter = fixture.engine.load("spins", wasm).await.unwrap();
    for _ in 0..300 {
        let facts = facts();
        let call = adapter.call(call(&facts, EntryPoint::Begin));
        // One poll, up to the first epoch; on a busy machine up to the
        // deadline.
        drop(futures_util::FutureExt::now_or_never(call));
    }
    assert!(begin(&fixture, testing::ECHO_BEGIN).await.is_ok());
}

const WASI: &[&str] = &[
    "package wasi:random@0.2.0; interface random { get-random-u64: func() -> u64; }",
    "package wasi:clocks@0.2.0; interface wall-clock {
        record datetime { seconds: u64, nanoseconds: u32 }
        now: func() -> datetime;
    }
    interface monotonic-clock { now: func() -> u64; }",
];

/// Makes a guest that puts the clocks and a random number into the bytes of its
/// state, and waits.
fn wasi_guest() -> TestGuest {
    TestGuest {
        imports: r#"
            (import "wasi:random/random@0.2.0" "get-random-u64" (func $random (result i64)))
            (import "wasi:clocks/monotonic-clock@0.2.0" "now" (func $ticks (result i64)))
            (import "wasi:clocks/wall-clock@0.2.0" "now" (func $now (param i32)))"#,
        world: "import wasi:random/random@0.2.0; import wasi:clocks/wall-clock@0.2.0;
                import wasi:clocks/monotonic-clock@0.2.0;",
        packages: WASI,
        begin: "(call $now (i32.const 3072))
            (i64.store (i32.const 3088) (call $ticks))
            (i64.store (i32.const 3096) (call $random))
            (i64.store (i32.const 3104) (call $random))
            (i32.store8 (i32.const 512) (i32.const 1))
            (i32.store (i32.const 536) (i32.const 1776)) (i32.store (i32.const 540) (i32.const 4))
            (i32.store (i32.const 544) (i32.const 1))
            (i32.store (i32.const 548) (i32.const 3072)) (i32.store (i32.const 552) (i32.const 40))
            (i32.store (i32.const 576) (i32.const 1792)) (i32.store (i32.const 580) (i32.const 2))
            (i32.const 512)",
        ..TestGuest::default()
    }
}

#[tokio::test]
async fn wasi_gives_the_same_values_in_every_call() {
    let fixture = fixture();
    let adapter = fixture.engine.load("wasi", wasi_guest().build()).await.unwrap();
    assert!(adapter.imports().contains(&"wasi:random/random@0.2.0".to_owned()));
    let facts = facts();
    let mut seen = Vec::new();
    for _ in 0..2 {
        let Ok(Step::Wait(wait)) = adapter.call(call(&facts, EntryPoint::Begin)).await else {
            panic!("the guest waits");
        };
        let word = |at: usize| u64::from_le_bytes(wait.state.bytes[at..at + 8].try_into().unwrap());
        assert_eq!(word(0), 1_700_000_000);
        assert_eq!(word(8) as u32, 123_000_000);
        assert_eq!(word(16), 1_700_000_000_123_000_000);
        assert_ne!(word(24), word(32));
        seen.push(wait.state.bytes);
    }
    assert_eq!(seen[0], seen[1]);
}

#[tokio::test]
async fn a_guest_that_sleeps_in_wasi_is_woken_at_the_deadline() {
    let fixture = fixture_with_deadline(NEAR_MS);
    let guest = TestGuest {
        imports: r#"
            (import "wasi:clocks/monotonic-clock@0.2.0" "subscribe-duration"
                (func $subscribe (param i64) (result i32)))
            (import "wasi:io/poll@0.2.0" "[method]pollable.block" (func $block (param i32)))"#,
        world: "import wasi:io/poll@0.2.0; import wasi:clocks/monotonic-clock@0.2.0;",
        packages: &[
            "package wasi:io@0.2.0; interface poll { resource pollable { block: func(); } }",
            "package wasi:clocks@0.2.0; interface monotonic-clock {
                use wasi:io/poll@0.2.0.{pollable};
                subscribe-duration: func(nanoseconds: u64) -> pollable;
            }",
        ],
        begin: "(call $block (call $subscribe (i64.const 3600000000000))) (unreachable)",
        ..TestGuest::default()
    };
    let error = begin_guest(&fixture, guest).await.unwrap_err();
    assert_eq!(error, CallError::DeadlineExceeded { limit: NEAR });
}
