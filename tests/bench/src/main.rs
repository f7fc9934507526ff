//! The figures of HOTH, each beside its limit in the same run.
//!
//! `cargo xtask bench` builds everything for release and runs this. It measures
//! ratios and always succeeds, since a machine that is busy with something else
//! distorts the figures.

#![expect(clippy::print_stdout, reason = "figures are for a terminal")]
#![expect(clippy::print_stderr, reason = "warnings of the host are for a terminal")]

mod accepts;
mod calls;
mod client;
mod echo;
mod figure;
mod growth;
mod host;
mod jobs;
mod latency;
mod log_meter;
mod memory;
mod plain_sqlite;
mod swap;
mod sync_time;
mod throughput;
mod usage;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use clap::Parser;
use mock_csp::MockCsp;

use crate::echo::Work;
use crate::figure::Figure;
use crate::host::Built;

/// Measure HOTH and print each figure beside its limit
#[derive(Debug, Parser)]
struct Arguments {
    /// Path of the `hoth` program, built for release
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
    /// accepts, jobs, journals, swaps, memory, growth
    #[arg(long, default_value = "")]
    only: String,
}

fn main() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.context("starting the async runtime")?;
    if let Some(work) = Work::of_this_program() {
        return runtime.block_on(echo::serve(work));
    }
    runtime.block_on(measure(Arguments::parse()))
}

async fn measure(arguments: Arguments) -> anyhow::Result<()> {
    println!("{}", machine());
    let built = Built {
        program: std::path::absolute(arguments.program)?,
        adapter: arguments.adapter,
        small_adapter: arguments.small_adapter,
    };
    let csp = MockCsp::start(mock_csp::Options::default()).await.context("starting a CSP")?;
    csp.record(false);
    let time = Duration::from_secs(arguments.seconds);
    let wanted = |group: &str| group.contains(&arguments.only);
    let mut missed = 0;
    let mut show = |figures: Vec<Figure>| {
        for figure in figures {
            println!("{figure}");
            missed += u32::from(!figure.is_met());
        }
    };
    if wanted("calls") {
        show(calls::isolated(&built).await?);
        show(calls::loading(&built).await?);
    }
    if wanted("latency") {
        show(latency::post_to_message(&built, &csp, 500).await?);
    }
    if wanted("accepts") {
        show(accepts::accepts(&built, &csp, time).await?);
    }
    if wanted("jobs") {
        show(vec![throughput::end_to_end(&built, &csp, time).await?]);
    }
    if wanted("journals") {
        show(vec![throughput::journals(&built, &csp, time).await?]);
    }
    if wanted("swaps") {
        show(swap::swaps(&built, &csp).await?);
    }
    if wanted("memory") {
        show(vec![memory::waiting(&built, &csp).await?]);
    }
    if wanted("growth") {
        show(growth::backlog(time).await?);
        show(vec![growth::file().await?]);
    }
    match missed {
        0 => println!("Every target was met."),
        missed => println!("{missed} targets were missed."),
    }
    Ok(())
}

/// Describes the machine.
fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name"));
    let model =
        model.map_or("unknown processor", |model| model.trim_start_matches(['\t', ' ', ':']));
    format!("{cores} cores of {model}; client, CSP and host share them, over loopback")
}
