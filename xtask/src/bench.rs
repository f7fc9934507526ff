//! `cargo xtask bench`: builds for release and measures.

use std::process::Command;

use crate::adapters;
use crate::cargo;
use crate::process;
use crate::workspace::target;

/// Measures HOTH and prints each figure beside its limit in the same run.
///
/// Builds for release first, which takes some minutes the first time. What
/// follows `--` goes to the benchmark program; `-- --help` lists it.
///
/// Examples:
///   cargo xtask bench
///   cargo xtask bench -- --only jobs --seconds 20
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Arguments {
    /// For the benchmark program
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
