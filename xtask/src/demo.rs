//! `cargo xtask demo`: shows HOTH at work.
//!
//! The demo is a program of its own, `tests/demo`, because xtask is compiled
//! before anything else and does without an async runtime and an HTTP client.

use std::process::Command;

use crate::adapters;
use crate::cargo;
use crate::clouds::Clouds;
use crate::process;
use crate::sqs;
use crate::workspace::target;

/// Show HOTH at work
///
/// Builds everything it needs, starts mock CSPs and a host, submits a dozen jobs
/// and shows their progress and outcomes. Then deploys another version of the
/// adapter while jobs run, rolls back, and deploys one that the host refuses.
/// Leaves nothing behind.
///
/// With --keep, the host runs on until Ctrl-C, with something of everything to
/// look at in its console, whose address is printed: jobs in every state, a
/// paused CSP, a dead letter, two versions of an adapter and a refused one.
///
/// With --sqs, three hosts share queues on a local SQS, and one of them is
/// killed while it works.
///
/// With --aws, a host provisions at a local AWS, which verifies every signature,
/// and whose organizations are then read with boto3.
///
/// With --azure, a host provisions at a local Azure, whose tenant is then read
/// with Microsoft's SDK.
///
/// Examples:
///   cargo xtask demo
///   cargo xtask demo --keep
///   cargo xtask demo --sqs
///   cargo xtask demo --aws
///   cargo xtask demo --azure
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Arguments {
    /// Leave something of everything, and keep running until Ctrl-C
    #[arg(long)]
    keep: bool,
    /// Run three hosts on a local SQS and kill one of them
    #[arg(long, conflicts_with = "keep")]
    sqs: bool,
    /// Provision at a local AWS, and show its organizations
    #[arg(long, conflicts_with_all = ["keep", "sqs"])]
    aws: bool,
    /// Provision at a local Azure, and show its tenant
    #[arg(long, conflicts_with_all = ["keep", "sqs", "aws"])]
    azure: bool,
}

/// Runs `cargo xtask demo`.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let clouds = [(arguments.aws, "aws"), (arguments.azure, "azure")];
    if let Some((_, cloud)) = clouds.into_iter().find(|(is_asked_for, _)| *is_asked_for) {
        let clouds = Clouds::install()?;
        let mut command = build()?;
        return process::run(command.arg(cloud).envs(clouds.environment()));
    }
    if !arguments.sqs {
        let mut command = build()?;
        adapters::build_guests()?;
        command.arg("one").args(arguments.keep.then_some("--keep"));
        command.arg("--candidate").arg(target()?.join("guests/varies.wasm"));
        return process::run(&mut command);
    }
    // Started first, because it gets ready while the rest is built.
    let mut server = sqs::Server::start()?;
    let mut command = build()?;
    println!("Waiting for the local SQS");
    server.ready()?;
    command.args(["several", "--endpoint", &server.endpoint()]).envs(server.environment());
    process::run(&mut command)
}

/// Builds the demo and everything that it starts. Returns its command, which
/// lacks the subcommand.
pub fn build() -> anyhow::Result<Command> {
    adapters::build()?;
    println!("Building the host and the demo");
    cargo::build(&["hoth", "hoth-demo"])?;
    let debug = target()?.join("debug");
    let mut command = Command::new(debug.join("hoth-demo"));
    command.arg("--program").arg(debug.join("hoth"));
    command.arg("--adapter").arg(target()?.join("adapters/atat.wasm"));
    Ok(command)
}
