//! `cargo xtask bench`: runs the benchmark on a release build.

use std::process::Command;

use crate::adapters;
use crate::cargo;
use crate::process;
use crate::workspace::target;

/// Measure HOTH and print each figure beside its limit
///
/// Builds for release first, which takes some minutes the first time.
/// Arguments after `--` go to the benchmark program; `-- --help` lists them.
///
/// Examples:
///   cargo xtask bench
///   cargo xtask bench -- --only jobs --seconds 20
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Arguments {
    /// Arguments for the benchmark program
    #[arg(last = true)]
    rest: Vec<String>,
}

/// Runs `cargo xtask bench`.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    adapters::build()?;
    println!("Building for release");
    process::run(cargo::native("build")?.args([
        "--release",
        "--bin",
        "hoth",
        "--bin",
        "hoth-bench",
    ]))?;
    let release = target()?.join("release");
    let mut command = Command::new(release.join("hoth-bench"));
    command.arg("--program").arg(release.join("hoth"));
    command.arg("--adapter").arg(target()?.join("adapters/atat.wasm"));
    command.arg("--small-adapter").arg(target()?.join("adapters/hello.wasm"));
    process::run(command.args(&arguments.rest))
}
