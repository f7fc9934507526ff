//! The figures of HOTH, each beside its limit in the same run.
//!
//! `cargo xtask bench` builds everything for operators and runs this. It measures
//! ratios and always succeeds, since a machine that is busy with something else
//! distorts the figures.

#![expect(clippy::print_stdout, reason = "figures are for a terminal")]
#![expect(clippy::print_stderr, reason = "warnings of the host are for a terminal")]

mod accepts;
mod calls;
mod client;
mod echo;
mod figure;
mod filled_queue;
mod growth;
mod host;
mod jobs;
mod latency;
mod log_meter;
mod memory;
mod peers;
mod plain_sqlite;
mod redelivery;
mod report;
mod slow_calls;
mod stored;
mod swap;
mod sync_time;
mod system;
mod throughput;
mod usage;
mod versions;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use clap::Parser;
use mimalloc::MiMalloc;
use mock_csp::MockCsp;

use crate::echo::Work;
use crate::host::Built;
use crate::peers::Load;
use crate::report::Report;

/// The allocator of the host: its runtime is measured within this program, and
/// the limits must not lose by another one.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// Measure HOTH and print each figure beside its limit
#[derive(Debug, Parser)]
struct Arguments {
    /// Path of the `hoth` program, an optimised build
    #[arg(long)]
    program: PathBuf,
    /// Path of the bundled adapter, as a component
    #[arg(long)]
    adapter: PathBuf,
    /// Path of an adapter that makes a single call
    #[arg(long)]
    small_adapter: PathBuf,
    /// Length of each load, in seconds
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Measure only figures whose group contains this text: calls, latency,
    /// accepts, stored, jobs, journals, trail, slow, swaps, memory, redelivery,
    /// growth, metrics. With --peers, only this peer: bullmq, restate
    #[arg(long, default_value = "")]
    only: String,
    /// Compare HOTH with the systems whose packages and scripts are in this
    /// folder, in place of all other figures
    #[arg(long)]
    peers: Option<PathBuf>,
    /// Rounds of the comparison
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
}

fn main() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.context("starting the async runtime")?;
    if let Some(work) = Work::of_this_program() {
        return runtime.block_on(echo::serve(work));
    }
    runtime.block_on(measure(&Arguments::parse()))
}

async fn measure(arguments: &Arguments) -> anyhow::Result<()> {
    let mut report = Report::begin()?;
    let built = Built {
        program: std::path::absolute(&arguments.program)?,
        adapter: arguments.adapter.clone(),
        small_adapter: arguments.small_adapter.clone(),
    };
    match &arguments.peers {
        Some(folder) => {
            let load = Load {
                seconds: arguments.seconds,
                rounds: arguments.rounds,
                only: arguments.only.to_lowercase(),
            };
            peers::compare(&built, folder, &load, &mut report).await?;
        }
        None => figures(arguments, &built, &mut report).await?,
    }
    report.end();
    Ok(())
}

/// Measures every wanted figure of HOTH.
async fn figures(arguments: &Arguments, built: &Built, report: &mut Report) -> anyhow::Result<()> {
    let csp = MockCsp::start(mock_csp::Options::default()).await.context("starting a CSP")?;
    csp.record(false);
    let time = Duration::from_secs(arguments.seconds);
    let wanted = |group: &str| group.contains(&arguments.only);
    if wanted("calls") {
        report.add("calls", calls::isolated(built).await);
        report.add("calls", calls::loading(built).await);
    }
    if wanted("latency") {
        report.add("latency", latency::post_to_message(built, &csp, 500).await);
    }
    if wanted("accepts") {
        report.add("accepts", accepts::accepts(built, &csp, time).await);
    }
    if wanted("stored") {
        report.add("stored", stored::stored(built, &csp, arguments.seconds).await);
    }
    if wanted("jobs") {
        report.add("jobs", throughput::end_to_end(built, &csp, time).await);
    }
    if wanted("journals") {
        report.add("journals", throughput::journals(built, &csp, time).await);
    }
    if wanted("trail") {
        report.add("trail", throughput::trail(built, &csp, time).await);
    }
    if wanted("slow") {
        report.add("slow", slow_calls::slow_calls(built, &csp).await);
    }
    if wanted("swaps") {
        report.add("swaps", swap::swaps(built, &csp).await);
    }
    if wanted("memory") {
        report.add("memory", memory::waiting(built, &csp).await);
    }
    if wanted("redelivery") {
        report.add("redelivery", redelivery::redelivery(built, &csp).await);
    }
    if wanted("growth") {
        report.add("growth", growth::backlog(built, &csp, time).await);
        report.add("growth", growth::file().await);
    } else if wanted("metrics") {
        report.add("metrics", growth::metrics(built, &csp).await);
    }
    Ok(())
}
