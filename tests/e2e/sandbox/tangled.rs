//! A component that takes minutes to compile, and those who do not wait for it.

use std::path::PathBuf;
use std::time::Duration;
use std::time::Instant;

use super::crowd::NEIGHBOUR_JOBS;
use super::crowd::bound;
use super::crowd::collect;
use super::crowd::p99;
use super::crowd::post_steadily;
use crate::csp;
use crate::harness::Setup;
use crate::harness::TestHost;
use crate::harness::client;
use crate::harness::eventually;

/// What the compiler may take of time here.
const COMPILE_MS: u64 = 2_000;

/// How much later than that the refusal may come on a busy machine.
const SLACK: Duration = Duration::from_secs(10);

/// Loops, each within the one before, and variables, which the innermost one
/// changes: so each loop may carry each variable round, and the compiler looks
/// at all of them again and again. It took 74 s of processor time for these 6 KB,
/// and 28 s for 200 of each.
const LOOPS: usize = 300;
const VARIABLES: usize = 300;

fn tangled() -> Vec<u8> {
    let variables = |each: fn(usize) -> String| (1..=VARIABLES).map(each).collect::<String>();
    let text = format!(
        "(component (core module (func (param i32) (result i64) (local {})
            {} {} {} (i64.const 0) {})))",
        "i64 ".repeat(VARIABLES),
        "loop ".repeat(LOOPS),
        variables(|n| format!("(local.set {n} (i64.add (local.get {n}) (i64.const {n})))")),
        "(br_if 0 (local.get 0)) end ".repeat(LOOPS),
        variables(|n| format!("(i64.add (local.get {n}))")),
    );
    wat::parse_str(text).expect("it is a component")
}

/// The compilers that the host has started and that still are there.
fn compilers(host: &TestHost) -> Vec<PathBuf> {
    let parent = format!("PPid:\t{}\n", host.process_id());
    let processes = std::fs::read_dir("/proc").expect("there are processes");
    let paths = processes.map(|entry| entry.expect("an entry can be read").path());
    let is_one = |path: &PathBuf| {
        let read = |file: &str| std::fs::read(path.join(file)).unwrap_or_default();
        String::from_utf8_lossy(&read("status")).contains(&parent)
            && String::from_utf8_lossy(&read("cmdline")).contains("compile-component")
    };
    paths.filter(is_one).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_component_that_compiles_for_minutes_is_refused_and_keeps_nobody_waiting() {
    let neighbour = csp::sync().await;
    // Compiles the adapter itself without such a limit, and keeps it.
    drop(Setup::new().csp("NEIGHBOUR", &neighbour).start().await);
    let host = Setup::new()
        .csp("NEIGHBOUR", &neighbour)
        .environment("HOTH__ADAPTERS__COMPILE_TIMEOUT_MS", &COMPILE_MS.to_string())
        .start()
        .await;
    let snow = host.servicenow();
    let (posted, messages) =
        tokio::join!(post_steadily(&snow, "alone"), collect(&snow, NEIGHBOUR_JOBS));
    let alone = p99(&posted, &messages);

    let wasm = tangled();
    let deploy = async {
        let (begun, url) = (Instant::now(), format!("{}/adapters/atat", host.admin()));
        let answer = client().put(url).body(wasm).send().await.expect("HOTH answers");
        (begun.elapsed(), answer.status().as_u16(), answer.text().await.expect("a text"))
    };
    let seen =
        eventually("the compiler to be started", || async { compilers(&host).first().cloned() });
    let ((took, status, answer), posted, messages, _) =
        tokio::join!(deploy, post_steadily(&snow, "beside"), collect(&snow, NEIGHBOUR_JOBS), seen);
    let beside = p99(&posted, &messages);
    println!("p99 alone {alone:?}, beside the compiler {beside:?}; refused after {took:?}");
    assert_eq!(status, 422, "{answer}");
    assert!(answer.contains("takes longer than 2000 ms"), "{answer}");
    assert!(took < Duration::from_millis(COMPILE_MS) + SLACK, "{took:?}");
    let listing = host.admin_json("/adapters/atat").await;
    assert_eq!(listing["refused"]["reason"], "compile-limit", "{listing}");
    assert!(beside < bound(alone), "the p99 went from {alone:?} to {beside:?}");
    eventually("the compiler to be gone", || async { compilers(&host).is_empty().then_some(()) })
        .await;
    host.emptied().await;
}
