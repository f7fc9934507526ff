//! `cargo xtask demo --sqs`: three hosts on one set of queues, one of which is
//! killed while it works.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;
use std::time::Instant;

use anyhow::Context as _;
use anyhow::ensure;
use hoth_testkit::HostCommand;
use hoth_testkit::HostConfig;
use mock_csp::MockCsp;
use mock_csp::Options;
use serde_json::Value;
use serde_json::json;

use crate::board::Board;
use crate::deployment::Built;
use crate::deployment::stop;
use crate::http;
use crate::jobs::DemoJob;

const CSP: &str = "CSP_SLOW";

/// The time that the CSP takes for each call: long enough for a kill during
/// one.
const CALL: Duration = Duration::from_millis(1_500);

const JOBS: usize = 24;
const PORTFOLIOS: usize = 8;

/// The number of calls after which a worker is killed. By then both workers
/// have calls under way.
const KILL_AFTER: usize = 10;

/// The longest time for all jobs once everything is built.
const PATIENCE: Duration = Duration::from_secs(120);

/// Starts three hosts on the SQS at `endpoint`, kills one of them, and checks
/// the outcomes of all jobs.
pub async fn play(built: &Built, endpoint: &str) -> anyhow::Result<()> {
    let csp = MockCsp::start(Options { delay: CALL, ..Options::default() }).await;
    let csp = csp.context("starting a mock CSP")?;
    let directory = tempfile::tempdir().context("making a temporary folder")?;
    let command = prepare(built, directory.path(), &csp, endpoint)?;

    println!("Starting three hosts: one takes requests, two work");
    let (api, addresses) = command.clone().roles("api").start().await?;
    let worker = command.roles("worker,watcher");
    let (mut first, _) = worker.start().await?;
    let (second, _) = worker.start().await?;
    let jobs = jobs();
    let board = Board::new(&jobs);
    let watching = [
        tokio::spawn(board.clone().follow("worker 1: ", first.log().follow())),
        tokio::spawn(board.clone().follow("worker 2: ", second.log().follow())),
    ];
    let snow = addresses.api()?;
    for job in &jobs {
        http::post(snow, job.path, &job.body)
            .await
            .with_context(|| format!("submitting {}", job.id))?;
    }
    csp_called(&csp, KILL_AFTER).await?;
    first.kill().await?;
    let killed_at = Instant::now();
    let messages = collect(snow).await?;
    board.finish().await;
    watching.iter().for_each(tokio::task::JoinHandle::abort);
    println!("\nWorker 1 was killed at work; the rest took {:.1?}.", killed_at.elapsed());
    let calls = calls_by_job(&csp);
    show(&jobs, &messages, &calls);
    check(&jobs, &messages, &calls)?;
    stop(second).await?;
    stop(api).await
}

fn prepare(
    built: &Built,
    directory: &Path,
    csp: &MockCsp,
    endpoint: &str,
) -> anyhow::Result<HostCommand> {
    let queue = format!("backend = \"sqs\"\nregion = \"us-east-1\"\nendpoint_url = \"{endpoint}\"");
    let config = HostConfig::default()
        .queue(&queue)
        .table("[worker]\nlease_seconds = 10")
        .csp(CSP, csp, "max_concurrent = 4")
        .adapter_file("atat", &built.adapter);
    config.write(&built.program, directory)
}

/// Returns jobs with task orders, each with a number of its own, by which the
/// calls to the CSP are attributed.
fn jobs() -> Vec<DemoJob> {
    let job = |n: usize| {
        let id = format!("job-{n:02}");
        let body = json!({
            "jobId": id, "userId": "demo", "targetCspName": CSP,
            "operationType": "ADD_TASK_ORDER", "portfolioId": format!("p-{}", n % PORTFOLIOS),
            "payload": {"taskOrder": {
                "taskOrderNumber": id, "popStartDate": "2026-07", "popEndDate": "2027-07",
                "clins": []
            }}
        });
        let (path, what) = ("/provisioning-jobs", "ADD_TASK_ORDER");
        DemoJob { id, path, csp: CSP, what, body, expected_code: 200 }
    };
    (0..JOBS).map(job).collect()
}

async fn csp_called(csp: &MockCsp, count: usize) -> anyhow::Result<()> {
    let waited = tokio::time::timeout(PATIENCE, csp.wait_for_calls(count)).await;
    waited.with_context(|| format!("the CSP saw no {count} calls within {PATIENCE:?}"))
}

/// Collects until every job has its message and nothing more comes.
async fn collect(api: std::net::SocketAddr) -> anyhow::Result<Vec<Value>> {
    let started_at = Instant::now();
    let mut messages: Vec<Value> = Vec::new();
    loop {
        let got = http::get(api, "/provisioning-jobs?wait=3").await?;
        let got: Vec<Value> = serde_json::from_value(got).context("the host answered no array")?;
        let done = messages.len() >= JOBS;
        if got.is_empty() && done {
            return Ok(messages);
        }
        messages.extend(got);
        ensure!(
            done || started_at.elapsed() < PATIENCE,
            "only {} of {JOBS} messages came within {PATIENCE:?}",
            messages.len()
        );
    }
}

/// Returns the idempotency keys of the calls that were made for each job.
fn calls_by_job(csp: &MockCsp) -> BTreeMap<String, Vec<String>> {
    let mut calls: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for call in csp.calls() {
        let Ok(body) = serde_json::from_slice::<Value>(&call.body) else { continue };
        let Some(job) = body["task_order_number"].as_str() else { continue };
        let key = call.header("idempotency-key").unwrap_or("none").to_owned();
        calls.entry(job.to_owned()).or_default().push(key);
    }
    calls
}

fn job_of(message: &Value) -> &str {
    message["initialSnowRequest"]["jobId"].as_str().unwrap_or("?")
}

fn show(jobs: &[DemoJob], messages: &[Value], calls: &BTreeMap<String, Vec<String>>) {
    println!(
        "\n  {:<8} {:<10} {:>5} {:>9}  idempotency keys",
        "job", "portfolio", "calls", "messages"
    );
    for job in jobs {
        let keys = calls.get(&job.id).map_or(&[][..], Vec::as_slice);
        let found = messages.iter().filter(|message| job_of(message) == job.id).count();
        let portfolio = job.body["portfolioId"].as_str().unwrap_or_default();
        let short: Vec<&str> = keys.iter().map(|key| key.get(..8).unwrap_or(key)).collect();
        println!(
            "  {:<8} {portfolio:<10} {:>5} {found:>9}  {}",
            job.id,
            keys.len(),
            short.join(" ")
        );
    }
}

fn check(
    jobs: &[DemoJob],
    messages: &[Value],
    calls: &BTreeMap<String, Vec<String>>,
) -> anyhow::Result<()> {
    let ended: BTreeSet<&str> = messages.iter().map(job_of).collect();
    let lost = jobs.iter().filter(|job| !ended.contains(job.id.as_str())).count();
    ensure!(lost == 0, "{lost} jobs were lost");
    for message in messages {
        ensure!(message["code"] == 200, "{} ended with code {}", job_of(message), message["code"]);
    }
    let repeated: Vec<_> = calls.iter().filter(|(_, keys)| keys.len() > 1).collect();
    for (job, keys) in &repeated {
        let same = keys.iter().all(|key| key == &keys[0] && key != "none");
        ensure!(same, "{job} was called for with different keys: {}", keys.join(", "));
    }
    ensure!(!repeated.is_empty(), "the worker that was killed had no call under way");
    println!(
        "\n{} jobs, {lost} lost, {} outcomes; {} calls were made twice, each with the same key.",
        jobs.len(),
        messages.len(),
        repeated.len()
    );
    Ok(())
}
