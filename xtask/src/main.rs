//! `cargo xtask`: what a working copy needs besides plain cargo.

#![expect(clippy::print_stdout, reason = "a tool at a terminal says what it does")]
#![expect(clippy::print_stderr, reason = "and what went wrong")]

mod adapters;
mod bench;
mod cargo;
mod crash_test;
mod demo;
mod fuzz;
mod process;
mod samples;
mod schemathesis;
mod setup;
mod sqs;
mod test;
mod toolchain;
mod workspace;

use std::process::ExitCode;

use clap::Parser;
use clap::Subcommand;

/// Builds, tests and shows HOTH from a working copy.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    Setup(setup::Arguments),
    Adapters(adapters::Arguments),
    Test(test::Arguments),
    Demo(demo::Arguments),
    Bench(bench::Arguments),
    CrashTest(crash_test::Arguments),
    Fuzz(fuzz::Arguments),
    Schemathesis(schemathesis::Arguments),
}

fn main() -> ExitCode {
    if fuzz::is_rustc() {
        return fuzz::rustc();
    }
    let done = match Arguments::parse().task {
        Task::Setup(arguments) => setup::run(&arguments),
        Task::Adapters(arguments) => adapters::run(&arguments),
        Task::Demo(arguments) => demo::run(&arguments),
        Task::Bench(arguments) => bench::run(&arguments),
        Task::CrashTest(arguments) => crash_test::run(&arguments),
        Task::Fuzz(arguments) => fuzz::run(&arguments),
        Task::Schemathesis(arguments) => schemathesis::run(&arguments),
        // Its last line is the count, whatever happens.
        Task::Test(arguments) => return test::run(&arguments),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
