//! The promises of one call, with real components.

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
    assert_eq!(adapter.imports(), ["hoth:adapter/types@0.1.0"]);

    let facts = facts();
    let step = assert_send(adapter.call(call(&facts, EntryPoint::Begin))).await.unwrap();
    check_done(step, 200, &facts.settings, &facts.input);

    let state = AdapterState { version: 1, bytes: br#"{"step":2}"#.to_vec() };
    let event = Event::Response(HttpResponse {
        status: 404,
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
        // Code 0 of step 0: a request to nowhere in a state of version 0.
        (
            "(i32.const 2048)",
            CallError::InvalidStep {
                what: "the state has version 0, and the adapter resumes 1 to 1".to_owned(),
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
        (i32.store (i32.const 536) (i32.const 1))
        (i32.store (i32.const 544) (i32.const 16711680))
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
            (i32.store (i32.const 536) (i32.const 1))
            (i32.store (i32.const 540) (i32.const 3072)) (i32.store (i32.const 544) (i32.const 40))
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

#[tokio::test]
async fn a_component_that_is_no_adapter_is_refused_with_the_reason() {
    let fixture = fixture();
    let good = TestGuest::default().build();
    let compiled = wasmtime::Engine::default().precompile_component(&good).unwrap();
    let unknown = TestGuest {
        imports: r#"(import "acme:net/sockets@1.0.0" "open" (func $open))"#,
        world: "import acme:net/sockets@1.0.0;",
        packages: &["package acme:net@1.0.0; interface sockets { open: func(); }"],
        begin: "(call $open) (unreachable)",
        ..TestGuest::default()
    };
    let http = TestGuest {
        imports: r#"(import "wasi:http/types@0.2.0" "open" (func $open))"#,
        world: "import wasi:http/types@0.2.0;",
        packages: &["package wasi:http@0.2.0; interface types { open: func(); }"],
        begin: "(call $open) (unreachable)",
        ..TestGuest::default()
    };
    let wat = |text: &str| wat::parse_str(text).unwrap();
    for (wasm, expected) in [
        (vec![], "not a WebAssembly component: it does not begin like one"),
        (b"# Adapters".to_vec(), "not a WebAssembly component: it does not begin like one"),
        (wat("(module)"), "this is a core module; wrap it"),
        (compiled, "this is compiled machine code"),
        (b"\x7fELF and more".to_vec(), "this is compiled machine code"),
        (good[..good.len() / 2].to_vec(), "the component does not compile: "),
        (wat("(component)"), "it must export `hoth:adapter/adapter@0.1.0`, and exports nothing"),
        (
            wat(r#"(component (instance $i) (export "hoth:adapter/adapter@0.2.0" (instance $i)))"#),
            "and exports `hoth:adapter/adapter@0.2.0`",
        ),
        (
            wat(r#"(component (instance $i) (export "hoth:adapter/adapter@0.1.0" (instance $i)))"#),
            "describe",
        ),
        (unknown.build(), "imports `acme:net/sockets@1.0.0`, which the host does not offer"),
        (http.build(), "wasi:http/types@0.2.0"),
        (
            TestGuest { version: "", ..TestGuest::default() }.build(),
            "the component describes itself wrongly: its version is empty",
        ),
    ] {
        let error = fixture.engine.load("bad", wasm).await.unwrap_err().to_string();
        assert!(error.contains(expected), "{error}\nshould contain\n{expected}");
    }
}

#[tokio::test]
async fn a_component_of_the_asynchronous_abi_is_refused_with_the_reason() {
    let fixture = fixture();
    let wasm = wat::parse_str(
        r#"(component
            (core module $m (func (export "f") (result i32) (i32.const 0))
                (func (export "cb") (param i32 i32 i32) (result i32) (i32.const 0)))
            (core instance $i (instantiate $m))
            (func (export "f") async
                (canon lift (core func $i "f") async (callback (func $i "cb")))))"#,
    )
    .unwrap();
    let error = fixture.engine.load("bad", wasm).await.unwrap_err().to_string();
    assert!(error.contains("the host supports the synchronous ABI only"), "{error}");
}

#[tokio::test]
async fn a_guest_that_needs_too_much_memory_to_start_is_refused() {
    let fixture = fixture_with(Config {
        max_memory_bytes: 2 * MIB,
        deadline_ms: FAR_MS,
        ..Config::default()
    });
    let error = fixture.engine.load("big", TestGuest::default().build()).await.unwrap_err();
    // 64 pages are 4 MiB.
    let error = error.to_string();
    assert!(error.contains("memory"), "{error}");
}

fn with_limits(limits: Limits) -> Config {
    let limits = [("echo".to_owned(), limits)].into();
    Config { limits, deadline_ms: FAR_MS, ..Config::default() }
}

#[tokio::test]
async fn limits_are_selected_by_the_name_of_an_adapter() {
    let own = Limits { max_memory_bytes: Some(2 * MIB), deadline_ms: Some(NEAR_MS) };
    let fixture = fixture_with(with_limits(own));
    // 64 pages are 4 MiB.
    let wasm = TestGuest { begin: "(loop (br 0)) (unreachable)", ..TestGuest::default() }.build();
    let refused = fixture.engine.load("echo", wasm.clone()).await.unwrap_err().to_string();
    assert!(refused.contains(&format!("more than its {} bytes", 2 * MIB)), "{refused}");
    fixture.engine.load("other", wasm.clone()).await.unwrap();

    // The own limit may also be higher than the common one.
    let own = Limits { max_memory_bytes: Some(128 * MIB), deadline_ms: Some(NEAR_MS) };
    let config = Config { max_memory_bytes: 2 * MIB, ..with_limits(own) };
    let fixture = fixture_with(config);
    fixture.engine.load("other", wasm.clone()).await.unwrap_err();
    let adapter = fixture.engine.load("echo", wasm).await.unwrap();
    let error = adapter.call(call(&facts(), EntryPoint::Begin)).await.unwrap_err();
    assert_eq!(error, CallError::DeadlineExceeded { limit: NEAR });
}

#[test]
fn limits_out_of_bounds_are_refused() {
    for (config, expected) in [
        (Config { deadline_ms: 0, ..Config::default() }, "deadline_ms: must be 1 to 60000, not 0"),
        (
            Config { max_memory_bytes: 5, ..Config::default() },
            "max_memory_bytes: must be 1048576 to 4294967296, not 5",
        ),
        (
            with_limits(Limits { deadline_ms: Some(0), ..Limits::default() }),
            "limits.echo.deadline_ms: must be 1 to 60000, not 0",
        ),
        (
            Config { compile_max_memory_bytes: 1, ..Config::default() },
            "compile_max_memory_bytes: must be 67108864 to 68719476736, not 1",
        ),
    ] {
        let problems: Vec<_> =
            config.check(&Names::default()).iter().map(ToString::to_string).collect();
        assert_eq!(problems, [expected]);
    }
}

/// Loads the same component with a new engine, as a restart does.
async fn load_again(config: &Config) -> Adapter {
    let engine = Engine::new(config).unwrap();
    let adapter = engine.load("echo", TestGuest::default().build()).await.unwrap();
    adapter.call(call(&facts(), EntryPoint::Begin)).await.unwrap();
    adapter
}

#[tokio::test]
async fn compiled_components_are_kept_privately_and_damage_is_noticed() {
    use std::os::unix::fs::MetadataExt as _;
    use std::os::unix::fs::PermissionsExt as _;

    let directory = tempfile::tempdir().unwrap();
    let directory_path = directory.path().to_owned();
    let config = Config { directory: directory_path, deadline_ms: FAR_MS, ..Config::default() };
    let cache = config.cache_directory();
    let files = || -> Vec<_> {
        std::fs::read_dir(&cache).unwrap().map(|entry| entry.unwrap().path()).collect()
    };

    load_again(&config).await;
    let [file] = files().try_into().unwrap();
    assert_eq!(std::fs::metadata(&cache).unwrap().mode() & 0o777, 0o700);
    assert_eq!(std::fs::metadata(&file).unwrap().mode() & 0o777, 0o600);
    let written = std::fs::metadata(&file).unwrap();

    // Read, and not written again.
    load_again(&config).await;
    let read = std::fs::metadata(&file).unwrap();
    assert_eq!((written.ino(), written.mtime_nsec()), (read.ino(), read.mtime_nsec()));

    // One bit of code, or half a file, and it is made anew.
    let mut damaged = std::fs::read(&file).unwrap();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    for contents in [&damaged[..], &damaged[..middle], &[]] {
        std::fs::write(&file, contents).unwrap();
        load_again(&config).await;
        assert_eq!(std::fs::metadata(&file).unwrap().len(), written.len());
        assert_ne!(std::fs::read(&file).unwrap(), damaged);
    }

    // A directory that other users can write is not trusted, and not needed.
    std::fs::set_permissions(&cache, std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::remove_file(&file).unwrap();
    load_again(&config).await;
    assert_eq!(files(), Vec::<std::path::PathBuf>::new());
}
