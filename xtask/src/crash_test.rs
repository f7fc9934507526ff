//! `cargo xtask crash-test`: kills a host under load and counts what is lost.

use std::process::Command;

use crate::adapters;
use crate::cargo;
use crate::process;
use crate::workspace::target;

/// Kills a host under load, again and again, and counts what is lost.
///
/// Then it shuts the queue's file system down, cuts the power of the drive
/// below it, has fsync fail and the disk be full, and has two hosts want one
/// file.
///
/// Clients submit, consume, lease and acknowledge all the while; what they were
/// told is held against the host's queue after each death, and in the end
/// against what they got. It fails when anything is lost, or comes again
/// without an excuse.
///
/// Examples:
///   cargo xtask crash-test
///   cargo xtask crash-test --cycles 20
///   cargo xtask crash-test --only kill --seed 4711
///   cargo xtask crash-test --only drive --power-cuts 300
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Arguments {
    /// How often the host is killed
    #[arg(long, default_value_t = 300)]
    cycles: u32,
    /// How often the power is cut, in each of two ways; as root only
    #[arg(long, default_value_t = 100)]
    power_cuts: u32,
    /// Repeats the choices of an earlier run
    #[arg(long)]
    seed: Option<u64>,
    /// Only these parts, separated by commas; `--only help` lists them
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
    if let Some(seed) = arguments.seed {
        command.arg("--seed").arg(seed.to_string());
    }
    if let Some(only) = &arguments.only {
        command.args(["--only", only]);
    }
    process::run(&mut command)
}
