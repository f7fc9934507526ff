//! Parts of a host that die or get stuck, and a reader of the log that stalls.

use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;

use hoth_platform::failpoint;

use crate::csp;
use crate::harness::PATIENCE;
use crate::harness::Setup;
use crate::harness::TestHost;
use crate::harness::eventually;
use crate::harness::job;

/// Jobs behind a log that no reader takes: their lines exceed the buffer.
const JOBS: usize = 2_000;

/// Starts a host that accepts a job and then fails at `point`. Waits until it
/// has ended with exit code 1 and a last line that contains `sentence`.
/// Restarts it without the fail point, and expects the job's outcome.
pub async fn ends_and_loses_nothing(
    point: &str,
    setup: impl FnOnce(Setup) -> Setup,
    sentence: &str,
) {
    let csp = csp::sync().await;
    // The job is on disk before the part fails.
    let mut host = setup(Setup::new().csp("CSP_TEST", &csp)).roles("api").start().await;
    host.servicenow().provision(&job("job-1", "CSP_TEST", "ADD_PORTFOLIO")).await;
    host.kill().await;
    host.set_environment(failpoint::VARIABLE, point);
    let text = host.fails("api,worker,watcher").await;
    assert!(text.contains(sentence), "{text}");
    host.restart().await;
    assert_eq!(host.servicenow().outcome().await.code(), 200);
}

#[tokio::test]
async fn a_consumer_that_panics_ends_the_process_and_loses_no_job() {
    let sentence = "-CSP_TEST panicked: fail point consumer-loop";
    ends_and_loses_nothing("consumer-loop:panic", |setup| setup, sentence).await;
}

#[tokio::test]
async fn a_watcher_that_panics_ends_the_process_and_loses_no_job() {
    let sentence = "the watcher of the adapters directory panicked: fail point watcher-pass";
    ends_and_loses_nothing("watcher-pass:panic", |setup| setup, sentence).await;
}

#[tokio::test]
async fn a_panic_of_the_thread_that_interrupts_adapters_ends_the_process_and_loses_no_job() {
    let sentence = "the thread that interrupts adapters ended without a request to stop";
    ends_and_loses_nothing("epoch-tick:panic", |setup| setup, sentence).await;
}

#[tokio::test]
async fn a_panic_of_the_thread_that_writes_the_log_ends_the_process_and_loses_no_job() {
    let sentence = "the thread that writes the log panicked: fail point log-writer";
    ends_and_loses_nothing("log-writer:panic", |setup| setup, sentence).await;
}

#[tokio::test]
async fn a_panic_of_the_queue_writer_ends_the_process_and_loses_no_job() {
    let sentence = "the thread that writes the queue has ended by itself; the log has the reason";
    ends_and_loses_nothing("before-commit:panic", |setup| setup, sentence).await;
}

#[tokio::test]
async fn a_stuck_queue_writer_ends_the_process_and_loses_no_job() {
    let setup = |setup: Setup| setup.with("[worker]\nstuck_after_ms = 2000");
    ends_and_loses_nothing("before-commit:hang", setup, "the queue writer is stuck").await;
}

#[tokio::test]
async fn a_panic_of_the_thread_that_syncs_the_queue_ends_the_process_and_loses_no_job() {
    let sentence = "the thread that syncs the queue has ended by itself; the log has the reason";
    ends_and_loses_nothing("before-sync:panic", |setup| setup, sentence).await;
}

#[tokio::test]
async fn a_stuck_sync_of_the_queue_ends_the_process_and_loses_no_job() {
    let setup = |setup: Setup| setup.with("[worker]\nstuck_after_ms = 2000");
    ends_and_loses_nothing("before-sync:hang", setup, "the queue writer is stuck").await;
}

#[tokio::test]
async fn a_stuck_runtime_ends_the_process_and_loses_no_job() {
    // One thread, so that one part can block them all.
    let setup = |setup: Setup| {
        setup.with("[worker]\nstuck_after_ms = 2000").environment("TOKIO_WORKER_THREADS", "1")
    };
    ends_and_loses_nothing("consumer-loop:hang", setup, "the async runtime is stuck").await;
}

#[tokio::test]
async fn a_stuck_watcher_of_adapters_ends_the_process_and_loses_no_job() {
    // Several threads, so that the watcher blocks only one.
    let setup = |setup: Setup| {
        setup.with("[worker]\nstuck_after_ms = 1000").environment("TOKIO_WORKER_THREADS", "4")
    };
    let sentence = "the watcher of the adapters directory is stuck";
    ends_and_loses_nothing("watcher-pass:hang", setup, sentence).await;
}

#[tokio::test]
async fn a_suspended_host_is_not_taken_for_a_stuck_one() {
    let csp = csp::sync().await;
    let setup = Setup::new().csp("CSP_TEST", &csp).with("[worker]\nstuck_after_ms = 1000");
    let host = setup.start().await;
    host.suspend_for(Duration::from_secs(3)).await;
    host.servicenow().provision(&job("job-1", "CSP_TEST", "ADD_PORTFOLIO")).await;
    assert_eq!(host.servicenow().outcome().await.code(), 200);
}

/// Starts `hoth serve` in the directory of a stopped host, with a pipe as its
/// standard error that is read only when the test asks.
fn serve_unread(host: &TestHost, csp: &mock_csp::MockCsp, api: u16) -> tokio::process::Child {
    tokio::process::Command::new(env!("CARGO_BIN_EXE_hoth"))
        .args(["serve", "--config", "hoth.toml"])
        .current_dir(host.directory())
        .env("CSP_TEST_CLIENT_SECRET", csp.client_secret())
        .env("HOTH__API__LISTEN", format!("127.0.0.1:{api}"))
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("the program can be started")
}

#[tokio::test]
async fn a_reader_of_the_log_that_stalls_stops_no_job() {
    let csp = csp::sync().await;
    csp.record(false);
    let mut host = Setup::new().csp("CSP_TEST", &csp).start().await;
    host.leaves_work("another process serves its queue");
    assert_eq!(host.terminate().await, Some(0));
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = free.local_addr().expect("its address").port();
    drop(free);
    let mut unread = serve_unread(&host, &csp, port);
    let snow = host.servicenow_at(&format!("http://127.0.0.1:{port}"));
    let first = job("job-0", "CSP_TEST", "ADD_PORTFOLIO");
    eventually("the host to serve", || async {
        let answer = snow.try_send(reqwest::Method::POST, "/provisioning-jobs", Some(&first)).await;
        answer.is_ok().then_some(())
    })
    .await;
    for number in 1..JOBS {
        snow.provision(&job(&format!("job-{number}"), "CSP_TEST", "ADD_PORTFOLIO")).await;
    }
    let outcomes: Vec<Value> =
        snow.collect_all("/provisioning-jobs", JOBS).await.iter().map(|o| (**o).clone()).collect();
    assert!(outcomes.iter().all(|outcome| outcome["code"] == 200));

    // A reader that comes back learns how many lines it has missed, and a
    // stalled one does not delay the end.
    let mut stderr = unread.stderr.take().expect("it is a pipe");
    let reading = tokio::spawn(async move {
        let mut text = Vec::new();
        tokio::io::AsyncReadExt::read_to_end(&mut stderr, &mut text).await.expect("it is read");
        String::from_utf8_lossy(&text).into_owned()
    });
    unread.start_kill().expect("it can be killed");
    tokio::time::timeout(PATIENCE, unread.wait()).await.expect("it ends").expect("it has run");
    assert!(reading.await.expect("no panic").contains("Job accepted"));
}
