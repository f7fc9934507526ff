//! `cargo xtask demo`: shows HOTH at work.
//!
//! Two mock CSPs, one that answers at once and one that accepts work for
//! later, and a host on the embedded queue in a temporary folder. The demo acts
//! as ServiceNow, over HTTP.

mod board;
pub mod deployment;
mod http;
mod jobs;
mod several;

use std::time::Duration;
use std::time::Instant;

use anyhow::Context as _;
use anyhow::ensure;
use serde_json::Value;

use board::Board;
use deployment::Deployment;

/// The longest time for the whole demo once everything is built.
const PATIENCE: Duration = Duration::from_secs(120);

/// Show HOTH at work.
///
/// Builds everything it needs, starts two mock CSPs and a host, submits a dozen
/// jobs and shows their progress and outcomes. Leaves nothing behind.
///
/// With --sqs, three hosts share queues on a local SQS, and one of them is
/// killed while it works.
///
/// Examples:
///   cargo xtask demo --keep
///   cargo xtask demo --sqs
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Arguments {
    /// Keep everything running until Ctrl-C, to go on with curl
    #[arg(long)]
    keep: bool,
    /// Run three hosts on a local SQS and kill one of them
    #[arg(long, conflicts_with = "keep")]
    sqs: bool,
}

/// Runs `cargo xtask demo`.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.context("starting the async runtime")?;
    if arguments.sqs {
        return several::run(&runtime);
    }
    runtime.block_on(play(arguments.keep))
}

async fn play(keep: bool) -> anyhow::Result<()> {
    let deployment = Deployment::start().await?;
    let jobs = jobs::all();
    let board = Board::new(&jobs);
    let watching = tokio::spawn(board.clone().follow("", deployment.log()));
    for job in &jobs {
        deployment.post(job).await.with_context(|| format!("submitting {}", job.id))?;
    }
    let messages = collect(&deployment, jobs.len()).await?;
    board.finish().await;
    watching.abort();
    show(&messages);
    check(&jobs, &messages)?;
    println!("\nEvery job ended in exactly one message.");
    if keep {
        deployment.stay_up().await?;
    } else {
        println!("`cargo xtask demo --keep` stays up, to go on with curl.");
    }
    deployment.stop().await
}

/// Collects until every job has its message.
async fn collect(deployment: &Deployment, expected: usize) -> anyhow::Result<Vec<Value>> {
    let started_at = Instant::now();
    let mut messages = Vec::new();
    while messages.len() < expected {
        ensure!(
            started_at.elapsed() < PATIENCE,
            "only {} of {expected} messages came within {PATIENCE:?}",
            messages.len()
        );
        let (provisioning, costs) = tokio::try_join!(
            deployment.get("/provisioning-jobs?wait=1"),
            deployment.get("/cost-jobs?wait=1")
        )?;
        messages.extend(provisioning);
        messages.extend(costs);
    }
    // One more request, which would find a surplus message.
    messages.extend(deployment.get("/provisioning-jobs").await?);
    messages.extend(deployment.get("/cost-jobs").await?);
    Ok(messages)
}

/// Returns the id of the job that a message is about.
fn job_of(message: &Value) -> &str {
    let provisioning = message["initialSnowRequest"]["jobId"].as_str();
    provisioning.or(message["content"]["request"]["requestId"].as_str()).unwrap_or("?")
}

fn show(messages: &[Value]) {
    println!("\nOutcomes that ServiceNow collected:");
    for message in messages {
        let response = message["content"]["response"].to_string();
        println!("  {} {:<22} {}", message["code"], job_of(message), shorten(&response, 110));
    }
}

fn shorten(text: &str, max: usize) -> String {
    match text.char_indices().nth(max) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

fn check(jobs: &[jobs::DemoJob], messages: &[Value]) -> anyhow::Result<()> {
    for job in jobs {
        let found: Vec<_> = messages.iter().filter(|m| job_of(m) == job.id).collect();
        ensure!(found.len() == 1, "{} ended in {} messages", job.id, found.len());
        let code = found[0]["code"].as_u64().unwrap_or_default();
        ensure!(code == job.expected_code, "{} ended with code {code}", job.id);
    }
    Ok(())
}
