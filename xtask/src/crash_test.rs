//! `cargo xtask crash-test`: kills a host under load and counts lost messages.

use std::process::Command;

use crate::adapters;
use crate::cargo;
use crate::process;
use crate::workspace::target;

/// Kill a host under load, again and again, and count lost messages
///
/// Further parts shut down the file system of the queue, cut the power of the
/// drive below it, let fsync fail, fill the disk, exceed a quota, start two
/// hosts on one file, do to the files and the process of a host what people do,
/// and overwrite the files.
///
/// Clients submit, consume, lease and acknowledge meanwhile. After each crash
/// the queue must hold everything that the host acknowledged, and at the end
/// the clients must have received it. The test fails if a message is lost, or
/// is delivered again without a reason.
///
/// Examples:
///   cargo xtask crash-test
///   cargo xtask crash-test --cycles 20
///   cargo xtask crash-test --only kill --seed 4711
///   cargo xtask crash-test --only drive --power-cuts 300
///   cargo xtask crash-test --only hands --rounds 5
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Arguments {
    /// Number of times that the host is killed
    #[arg(long, default_value_t = 300)]
    cycles: u32,
    /// Number of power cuts, in each of two ways; needs root
    #[arg(long, default_value_t = 100)]
    power_cuts: u32,
    /// Number of times that each act of the part `hands` is performed
    #[arg(long, default_value_t = 1)]
    rounds: u32,
    /// Repeat the choices of an earlier run
    #[arg(long)]
    seed: Option<u64>,
    /// Run only these parts, separated by commas; `--only help` lists them
    #[arg(long)]
    only: Option<String>,
}

/// Runs `cargo xtask crash-test`.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    adapters::build()?;
    cargo::build(&["hoth", "hoth-crash"])?;
    let debug = target()?.join("debug");
    let mut command = Command::new(debug.join("hoth-crash"));
    command.arg("--program").arg(debug.join("hoth"));
    command.arg("--adapter").arg(target()?.join("adapters/atat.wasm"));
    command.arg("--cycles").arg(arguments.cycles.to_string());
    command.arg("--power-cuts").arg(arguments.power_cuts.to_string());
    command.arg("--rounds").arg(arguments.rounds.to_string());
    if let Some(seed) = arguments.seed {
        command.arg("--seed").arg(seed.to_string());
    }
    if let Some(only) = &arguments.only {
        command.args(["--only", only]);
    }
    process::run(&mut command)
}
