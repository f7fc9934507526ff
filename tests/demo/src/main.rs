//! Demo of HOTH at work.
//!
//! `cargo xtask demo` builds everything and runs this program. It starts mock
//! CSPs, one that answers at once and one that accepts work for later, and a
//! host on the embedded queue in a temporary folder. The demo acts as
//! ServiceNow and as an operator, over HTTP.

#![expect(clippy::print_stdout, reason = "the demo is for a terminal")]
#![expect(clippy::print_stderr, reason = "a program at a terminal reports its errors")]

mod aws;
mod azure;
mod board;
mod cloud;
mod csps;
mod deployment;
mod http;
mod jobs;
mod keep;
mod serve;
mod several;
mod swap;

use std::path::Path;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use anyhow::ensure;
use clap::Parser;
use clap::Subcommand;
use hoth_testkit::HostConfig;
use serde_json::Value;

use crate::board::Board;
use crate::deployment::Built;
use crate::deployment::Deployment;

/// The longest wait for anything in the demo once everything is built.
const PATIENCE: Duration = Duration::from_secs(120);

/// Versions that behave differently on past jobs do not serve. The machine may
/// have other work while versions are timed, so that nothing counts as slower.
const REPLAY: &str = "[replay]\npolicy = \"block\"\nmax_ms = 60000\nslower_ratio = 1000.0";

/// Show HOTH at work
#[derive(Parser)]
struct Arguments {
    /// Path of the `hoth` program
    #[arg(long)]
    program: PathBuf,
    /// Path of the bundled adapter, as a component
    #[arg(long)]
    adapter: PathBuf,
    #[command(subcommand)]
    scene: Scene,
}

#[derive(Subcommand)]
enum Scene {
    /// Run one host on the embedded queue, and swap its adapter
    One {
        /// Path of the guest `varies`, of which the other versions are made
        #[arg(long)]
        candidate: PathBuf,
        /// Leave something of everything, and keep running until Ctrl-C
        #[arg(long)]
        keep: bool,
    },
    /// Run three hosts on SQS and kill one of them
    Several {
        /// URL of SQS; credentials come from the environment
        #[arg(long)]
        endpoint: String,
    },
    /// Provision at a local AWS, and show its organizations with boto3
    Aws,
    /// Provision at a local Azure, and show its tenant with Microsoft's SDK
    Azure,
    /// Run one host without jobs, for another program: print its address as
    /// JSON, and stop when standard input ends
    Serve {
        /// Further tables of the host's configuration, as TOML
        #[arg(long, default_value = "")]
        tables: String,
    },
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let built = Built { program: arguments.program, adapter: arguments.adapter };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.context("starting the async runtime")?.block_on(async {
        match arguments.scene {
            Scene::One { candidate, keep } => play(&built, &candidate, keep).await,
            Scene::Several { endpoint } => several::play(&built, &endpoint).await,
            Scene::Aws => aws::play(&built).await,
            Scene::Azure => azure::play(&built).await,
            Scene::Serve { tables } => serve::serve(&built, &tables).await,
        }
    })
}

async fn play(built: &Built, candidate: &Path, keep: bool) -> anyhow::Result<()> {
    let mut config = HostConfig::default().table(REPLAY);
    if keep {
        config = keep::prepare(config);
    }
    let deployment = Deployment::start_with(built, config).await?;
    println!(
        "The host serves ServiceNow at http://{}, and operators at http://{}/console",
        deployment.api(),
        deployment.admin()
    );
    if keep {
        keep::dead_letter(&deployment).await?;
    }
    let jobs = jobs::all();
    let board = Board::new(&jobs);
    let watching = tokio::spawn(board.clone().follow("", deployment.log()));
    for job in &jobs {
        deployment.post(job).await?;
    }
    let messages = deployment.collect(jobs.len()).await?;
    board.finish().await;
    watching.abort();
    show(&messages);
    check(&jobs, &messages)?;
    println!("\nEvery job ended in exactly one message.");
    swap::play(&deployment, candidate).await?;
    deployment.csps().check()?;
    if keep {
        keep::stay_up(&deployment).await?;
    } else {
        println!(
            "\n`cargo xtask demo --keep` keeps everything running, for the console and for curl."
        );
    }
    deployment.stop().await
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
