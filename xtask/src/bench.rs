//! `cargo xtask bench`: runs the benchmark on the program as operators run it.

use std::path::Path;
use std::process::Command;

use anyhow::Context as _;

use crate::adapters;
use crate::peers;
use crate::process;
use crate::release;
use crate::workspace::target;

/// Measure HOTH and print each figure beside its limit
///
/// Builds the program as `cargo xtask release` does first, which takes some
/// minutes the first time. The last lines are a table in Markdown.
///
/// With --peers, installs BullMQ, Redis and Restate, gives HOTH and each of
/// them the same load in turn, and prints the ratios. A peer that cannot be
/// installed is left out. Needs Node.js 20 and npm; installs Redis with apt-get
/// as root.
///
/// Examples:
///   cargo xtask bench
///   cargo xtask bench --only jobs --seconds 20
///   cargo xtask bench --peers
///   cargo xtask bench --peers --only bullmq --rounds 9
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Arguments {
    /// Compare with BullMQ on Redis and with Restate
    #[arg(long)]
    peers: bool,
    /// Measure only figures whose group contains this text, or only this peer
    #[arg(long)]
    only: Option<String>,
    /// Length of each load, in seconds
    #[arg(long)]
    seconds: Option<u64>,
    /// Rounds of the comparison with peers
    #[arg(long, requires = "peers")]
    rounds: Option<u32>,
    /// Arguments for the benchmark program
    #[arg(last = true)]
    rest: Vec<String>,
}

/// Runs `cargo xtask bench`.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    adapters::build()?;
    let program = release::build("hoth")?;
    let bench = release::build("hoth-bench")?;
    // On the disk of the working copy: `/tmp` may be in memory, where a sync
    // costs nothing.
    let folder = target()?.join("bench");
    std::fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
    let mut command = command(&bench, &program)?;
    command.env("TMPDIR", folder);
    if arguments.peers {
        command.arg("--peers").arg(peers::install()?);
    }
    if let Some(only) = &arguments.only {
        command.args(["--only", only]);
    }
    if let Some(seconds) = arguments.seconds {
        command.arg("--seconds").arg(seconds.to_string());
    }
    if let Some(rounds) = arguments.rounds {
        command.arg("--rounds").arg(rounds.to_string());
    }
    process::run(command.args(&arguments.rest))
}

/// Returns a call of the benchmark `bench` of `program`, with the adapters of
/// the target directory.
pub fn command(bench: &Path, program: &Path) -> anyhow::Result<Command> {
    let adapters = target()?.join("adapters");
    let mut command = Command::new(bench);
    command.arg("--program").arg(program);
    command.arg("--adapter").arg(adapters.join("atat.wasm"));
    command.arg("--small-adapter").arg(adapters.join("hello.wasm"));
    Ok(command)
}
