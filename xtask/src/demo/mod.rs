//! `cargo xtask demo`: HOTH's main job, before your eyes.
//!
//! Two mock CSPs, one that answers at once and one that accepts work for
//! later, and a host on the embedded queue in a temporary folder. ServiceNow's
//! part is played here, over HTTP.

mod board;
mod host;
mod http;
mod jobs;
mod several;
pub mod stage;

use std::time::Duration;
use std::time::Instant;

use anyhow::Context as _;
use anyhow::ensure;
use serde_json::Value;

use board::Board;
use stage::Stage;

/// How long the whole demo may take once everything is built.
const PATIENCE: Duration = Duration::from_secs(120);

/// Does HOTH's main job before your eyes.
///
/// Builds what it needs, starts two mock CSPs and a host, submits a dozen jobs
/// and shows what becomes of them. Nothing is left behind.
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
    /// Stay up afterwards, to go on with curl, until Ctrl-C
    #[arg(long)]
    keep: bool,
    /// Three hosts on a local SQS, one of which is killed
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
    let mut stage = Stage::set().await?;
    let jobs = jobs::all();
    let board = Board::new(&jobs);
    let watching = tokio::spawn(board.clone().follow("", stage.take_log()));
    for job in &jobs {
        stage.post(job).await.with_context(|| format!("submitting {}", job.id))?;
    }
    let messages = collect(&stage, jobs.len()).await?;
    board.finish().await;
    watching.abort();
    show(&messages);
    check(&jobs, &messages)?;
    println!("\nEvery job ended in exactly one message.");
    if keep {
        stage.stay_up().await?;
    } else {
        println!("`cargo xtask demo --keep` stays up, to go on with curl.");
    }
    stage.strike().await
}

/// Collects until every job has its message.
async fn collect(stage: &Stage, expected: usize) -> anyhow::Result<Vec<Value>> {
    let begun = Instant::now();
    let mut messages = Vec::new();
    while messages.len() < expected {
        ensure!(
            begun.elapsed() < PATIENCE,
            "only {} of {expected} messages came within {PATIENCE:?}",
            messages.len()
        );
        let (provisioning, costs) = tokio::try_join!(
            stage.get("/provisioning-jobs?wait=1"),
            stage.get("/cost-jobs?wait=1")
        )?;
        messages.extend(provisioning);
        messages.extend(costs);
    }
    // One more look, for a message that should not be.
    messages.extend(stage.get("/provisioning-jobs").await?);
    messages.extend(stage.get("/cost-jobs").await?);
    Ok(messages)
}

/// The id of the job that a message is about.
fn job_of(message: &Value) -> &str {
    let provisioning = message["initialSnowRequest"]["jobId"].as_str();
    provisioning.or(message["content"]["request"]["requestId"].as_str()).unwrap_or("?")
}

fn show(messages: &[Value]) {
    println!("\nWhat ServiceNow gets:");
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
