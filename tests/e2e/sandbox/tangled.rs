//! A component that takes minutes to compile, and jobs that do not wait for it.

use std::path::PathBuf;
use std::time::Instant;

use super::crowd::neighbours_job;
use crate::csp;
use crate::harness::PATIENCE;
use crate::harness::Setup;
use crate::harness::TestHost;
use crate::harness::client;
use crate::harness::eventually;

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

/// Returns the compiler processes of the host that still run.
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
