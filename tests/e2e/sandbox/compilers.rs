//! Compilers that the machine kills or stops, or that have no place.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use reqwest::StatusCode;
use serde_json::Value;
use tokio::task::JoinHandle;

use super::crowd::neighbours_job;
use super::tangled::HOUR_MS;
use super::tangled::active;
use super::tangled::another_atat;
use super::tangled::compilers;
use super::tangled::compilers_of;
use super::tangled::tangled;
use crate::csp;
use crate::harness::PATIENCE;
use crate::harness::Setup;
use crate::harness::TestHost;
use crate::harness::client;
use crate::harness::eventually;

/// Sends a signal to a compiler, which may have ended.
fn signal(compiler: &Path, signal: &str) {
    let id = compiler.file_name().expect("a process id");
    let sent = Command::new("kill").arg(signal).arg(id).status();
    sent.expect("`kill` can be started");
}

/// Waits for the first compiler of a host that starts in `directory`, and sends
/// it a signal.
fn signal_first(directory: &Path, name: &'static str) -> JoinHandle<()> {
    let (directory, started_at) = (directory.to_owned(), Instant::now());
    tokio::task::spawn_blocking(move || {
        loop {
            let compilers = hosts_in(&directory).into_iter().flat_map(compilers_of);
            if let Some(compiler) = compilers.into_iter().next() {
                return signal(&compiler, name);
            }
            assert!(started_at.elapsed() < PATIENCE, "no compiler was started");
        }
    })
}

/// Lets the next start of the stopped host find no compiled component.
fn use_empty_cache(host: &mut TestHost, name: &str) {
    let cache = host.directory().join(name);
    let cache = cache.to_str().expect("a path of text").to_owned();
    host.set_environment("HOTH__ADAPTERS__CACHE_DIRECTORY", &cache);
}

/// Returns the hosts that run in `directory`.
fn hosts_in(directory: &Path) -> Vec<u32> {
    let processes = std::fs::read_dir("/proc").expect("there are processes");
    let ids = processes.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let runs_there = |id: &u32| {
        std::fs::read_link(format!("/proc/{id}/cwd")).is_ok_and(|folder| folder == directory)
    };
    ids.filter(runs_there).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_compiler_is_no_verdict_about_the_component() {
    let csp = csp::sync().await;
    let mut host = Setup::new().csp("NEIGHBOUR", &csp).start().await;
    let url = format!("{}/adapters/atat", host.admin());
    let deploying = tokio::spawn(client().put(url).body(tangled()).send());
    let compiler =
        eventually("the compiler to be started", || async { compilers(&host).first().cloned() })
            .await;
    // As the kernel does when memory is short.
    signal(&compiler, "-KILL");
    let answer = deploying.await.expect("no panic").expect("HOTH answers");
    let answer = answer.text().await.expect("a text");
    assert!(answer.contains("the compiler was killed (signal 9)"), "{answer}");
    let listing = host.admin_json("/adapters/atat").await;
    assert_eq!(listing["refused"]["reason"], "no-compiler", "{listing}");

    // At a start without a compile cache, the active version is compiled again.
    let (before, directory) = (active(&host).await, host.directory().to_owned());
    for attempt in 0.. {
        host.kill().await;
        use_empty_cache(&mut host, &format!("cache-{attempt}"));
        let killing = signal_first(&directory, "-KILL");
        host.restart_at_once().await;
        killing.await.expect("no panic");
        // The compiler may have been faster than the signal.
        let killed = |line: &Value| line.to_string().contains("the compiler was killed");
        if host.log().iter().any(killed) {
            break;
        }
    }
    eventually("the version that was chosen last to serve", || async {
        (active(&host).await == before).then_some(())
    })
    .await;
    neighbours_job(&host.servicenow(), "job-1").await;
    host.emptied().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_does_not_wait_for_a_compiler_that_hangs() {
    let csp = csp::sync().await;
    let mut host = Setup::new()
        .csp("NEIGHBOUR", &csp)
        .environment("HOTH__ADAPTERS__COMPILE_TIMEOUT_MS", HOUR_MS)
        .start()
        .await;
    let before = active(&host).await;
    host.kill().await;
    use_empty_cache(&mut host, "cache");
    let stopping = signal_first(host.directory(), "-STOP");
    // The host listens, and another compiler is not stopped.
    host.restart_at_once().await;
    stopping.await.expect("no panic");
    eventually("the version that was active last to serve", || async {
        (active(&host).await == before).then_some(())
    })
    .await;
    neighbours_job(&host.servicenow(), "job-1").await;
    host.emptied().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rollback_that_has_to_compile_delays_no_deployment_of_another_adapter() {
    let csp = csp::sync().await;
    let mut host = Setup::new()
        .csp("NEIGHBOUR", &csp)
        .environment("HOTH__ADAPTERS__COMPILE_TIMEOUT_MS", HOUR_MS)
        .start()
        .await;
    let deploy = |host: &TestHost, name: &str, wasm: Vec<u8>| {
        client().put(format!("{}/adapters/{name}", host.admin())).body(wasm).send()
    };
    let deployed = deploy(&host, "atat", another_atat()).await.expect("HOTH answers");
    assert_eq!(deployed.status(), StatusCode::OK);
    host.kill().await;
    // From here on only the active version is compiled.
    use_empty_cache(&mut host, "cache");
    host.restart().await;

    // Every place for a compiler is taken, so the rollback waits for one.
    let busy = ["x", "y"].map(|name| tokio::spawn(deploy(&host, name, tangled())));
    eventually("the compilers to be started", || async {
        (compilers(&host).len() == busy.len()).then_some(())
    })
    .await;
    let url = format!("{}/adapters/atat/rollback", host.admin());
    let rollback = tokio::spawn(client().post(url).send());
    let deployed = deploy(&host, "other", another_atat()).await.expect("HOTH answers");
    let (status, text) = (deployed.status(), deployed.text().await.expect("a text"));
    assert_eq!(status, StatusCode::OK, "{text}");

    for compiler in compilers(&host) {
        signal(&compiler, "-KILL");
    }
    let rolled_back = rollback.await.expect("no panic").expect("HOTH answers");
    let (status, text) = (rolled_back.status(), rolled_back.text().await.expect("a text"));
    assert_eq!(status, StatusCode::OK, "{text}");
    neighbours_job(&host.servicenow(), "job-1").await;
    host.emptied().await;
}
