//! A component that takes minutes to compile: jobs, other adapters and the start
//! of a host do not wait for it.

use std::path::PathBuf;
use std::time::Instant;

use hoth_core::domain::Digest;

use super::crowd::neighbours_job;
use crate::csp;
use crate::harness::PATIENCE;
use crate::harness::Setup;
use crate::harness::TestHost;
use crate::harness::client;
use crate::harness::component;
use crate::harness::eventually;

/// A limit so long that no compilation ends by it in a run of a test.
pub(super) const HOUR_MS: &str = "3600000";

/// The compiler's time limit in these tests.
const COMPILE_MS: u64 = 3_000;

/// Jobs that must begin and end while a compiler is at work. Where the machine
/// is slow, the component is deployed once more.
const JOBS_MEANWHILE: usize = 10;

/// The number of nested loops, and of variables that the innermost one changes.
/// Each loop may carry each variable, so the compiler visits all of them again
/// and again. It took 74 s of processor time for these 6 KB, and 28 s for 200
/// of each.
const LOOPS: usize = 300;
const VARIABLES: usize = 300;

pub(super) fn tangled() -> Vec<u8> {
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

/// Returns the compiler processes of the host that still run.
pub(super) fn compilers(host: &TestHost) -> Vec<PathBuf> {
    compilers_of(host.process_id())
}

pub(super) fn compilers_of(host: u32) -> Vec<PathBuf> {
    let parent = format!("PPid:\t{host}\n");
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
async fn a_component_that_compiles_for_minutes_is_refused_and_jobs_end_meanwhile() {
    let neighbour = csp::sync().await;
    // Compiles the adapter itself without such a limit, and fills the cache.
    drop(Setup::new().csp("NEIGHBOUR", &neighbour).start().await);
    let host = Setup::new()
        .csp("NEIGHBOUR", &neighbour)
        .environment("HOTH__ADAPTERS__COMPILE_TIMEOUT_MS", &COMPILE_MS.to_string())
        .start()
        .await;
    let snow = host.servicenow();
    let (wasm, started_at) = (tangled(), Instant::now());
    let (mut jobs, mut meanwhile) = (0, 0);
    while meanwhile < JOBS_MEANWHILE {
        assert!(started_at.elapsed() < PATIENCE, "{meanwhile} jobs ended beside a compiler");
        let url = format!("{}/adapters/atat", host.admin());
        let deploying = tokio::spawn(client().put(url).body(wasm.clone()).send());
        let compiler = eventually("the compiler to be started", || async {
            compilers(&host).first().cloned()
        })
        .await;
        loop {
            neighbours_job(&snow, &format!("job-{jobs}")).await;
            jobs += 1;
            if !compiler.exists() {
                break;
            }
            // It has begun and ended while the compiler was at work.
            meanwhile += 1;
        }
        let answer = deploying.await.expect("no panic").expect("HOTH answers");
        let (status, answer) = (answer.status().as_u16(), answer.text().await.expect("a text"));
        assert_eq!(status, 422, "{answer}");
        assert!(answer.contains("takes longer than 3000 ms"), "{answer}");
        let listing = host.admin_json("/adapters/atat").await;
        assert_eq!(listing["refused"]["reason"], "compile-limit", "{listing}");
        eventually("the compiler to be gone", || async {
            compilers(&host).is_empty().then_some(())
        })
        .await;
    }
    println!("{meanwhile} of {jobs} jobs ended while a compiler was at work");
    host.emptied().await;
}

/// Renames a component into the drop directory.
fn put(host: &TestHost, name: &str, wasm: &[u8]) {
    let folder = host.directory().join("adapters");
    std::fs::write(folder.join(".upload"), wasm).expect("a file can be written");
    std::fs::rename(folder.join(".upload"), folder.join(name)).expect("and renamed");
}

/// Returns the `atat` adapter with another digest: it has one more custom
/// section.
pub(super) fn another_atat() -> Vec<u8> {
    let mut wasm = std::fs::read(component("atat")).expect("the adapter can be read");
    wasm.extend([0, 4, 3, b'n', b'e', b'w']);
    wasm
}

pub(super) async fn active(host: &TestHost) -> String {
    let listing = host.admin_json("/adapters/atat").await;
    let first = &listing["versions"][0];
    if first["active"] == true {
        first["sha256"].as_str().unwrap_or_default().to_owned()
    } else {
        String::new()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_component_that_compiles_for_minutes_delays_no_other_file_and_no_start() {
    let csp = csp::sync().await;
    let mut host = Setup::new()
        .csp("NEIGHBOUR", &csp)
        .environment("HOTH__ADAPTERS__COMPILE_TIMEOUT_MS", HOUR_MS)
        // Not the cache of all tests: with the component in it, they would find
        // no compiler at work.
        .environment("HOTH__ADAPTERS__CACHE_DIRECTORY", "cache")
        .start()
        .await;
    put(&host, "a.wasm", &tangled());
    let slow =
        eventually("the compiler to be started", || async { compilers(&host).first().cloned() })
            .await;

    let other = another_atat();
    put(&host, "atat.wasm", &other);
    let digest = Digest::of(&other).to_string();
    eventually("the other adapter to serve", || async {
        (active(&host).await == digest).then_some(())
    })
    .await;
    assert!(slow.exists(), "the first compilation is over");

    host.kill().await;
    host.restart_at_once().await;
    eventually("the version that was active last to serve", || async {
        (active(&host).await == digest).then_some(())
    })
    .await;
    neighbours_job(&host.servicenow(), "job-1").await;
    let compiling = eventually("the compiler to be started again", || async {
        compilers(&host).first().cloned()
    })
    .await;
    neighbours_job(&host.servicenow(), "job-2").await;
    assert!(compiling.exists(), "the first compilation is over");
    host.emptied().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_replaces_a_component_that_compiles_for_minutes() {
    let csp = csp::sync().await;
    let host = Setup::new()
        .csp("NEIGHBOUR", &csp)
        .environment("HOTH__ADAPTERS__COMPILE_TIMEOUT_MS", HOUR_MS)
        .start()
        .await;
    put(&host, "atat.wasm", &tangled());
    let slow =
        eventually("the compiler to be started", || async { compilers(&host).first().cloned() })
            .await;
    let remedy = another_atat();
    put(&host, "atat.wasm", &remedy);
    let digest = Digest::of(&remedy).to_string();
    eventually("the replacement to serve", || async {
        (active(&host).await == digest).then_some(())
    })
    .await;
    eventually("the replaced compilation to end", || async {
        (!slow.exists() && compilers(&host).is_empty()).then_some(())
    })
    .await;
    neighbours_job(&host.servicenow(), "job-1").await;
    host.emptied().await;
}
