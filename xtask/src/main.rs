//! `cargo xtask`: tasks of a working copy that plain cargo does not cover.
//!
//! This crate is compiled before anything else, so it has few dependencies:
//! programs with an async runtime or an HTTP client live in `tests/`.

#![expect(clippy::print_stdout, reason = "a command-line tool reports its progress")]
#![expect(clippy::print_stderr, reason = "a command-line tool reports its errors")]

mod adapters;
mod axe;
mod bench;
mod cargo;
mod check;
mod clouds;
mod crash_test;
mod debian;
mod demo;
mod fuzz;
mod openapi;
mod peers;
mod process;
mod profile;
mod python;
mod release;
mod samples;
mod schemathesis;
mod screenshots;
mod setup;
mod sqs;
mod test;
mod toolchain;
mod workspace;

use std::process::ExitCode;

use clap::Parser;
use clap::Subcommand;

/// Build, test and demonstrate HOTH from a working copy
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
    Check(check::Arguments),
    Test(test::Arguments),
    Demo(demo::Arguments),
    Bench(bench::Arguments),
    Release(release::Arguments),
    Profile(profile::Arguments),
    CrashTest(crash_test::Arguments),
    Fuzz(fuzz::Arguments),
    Screenshots(screenshots::Arguments),
    Openapi(openapi::Arguments),
    Schemathesis(schemathesis::Arguments),
}

fn main() -> ExitCode {
    // Comes before the parsing of arguments: `cargo xtask fuzz` has cargo call
    // this program in place of rustc, with rustc's arguments.
    if fuzz::is_rustc() {
        return fuzz::rustc();
    }
    let result = match Arguments::parse().task {
        Task::Setup(arguments) => setup::run(&arguments),
        Task::Adapters(arguments) => adapters::run(&arguments),
        Task::Check(arguments) => check::run(&arguments),
        Task::Demo(arguments) => demo::run(&arguments),
        Task::Bench(arguments) => bench::run(&arguments),
        Task::Release(arguments) => release::run(&arguments),
        Task::Profile(arguments) => profile::run(&arguments),
        Task::CrashTest(arguments) => crash_test::run(&arguments),
        Task::Fuzz(arguments) => fuzz::run(&arguments),
        Task::Screenshots(arguments) => screenshots::run(&arguments),
        Task::Openapi(arguments) => openapi::run(&arguments),
        Task::Schemathesis(arguments) => schemathesis::run(&arguments),
        // Prints its own errors, so that the count is the last line.
        Task::Test(arguments) => return test::run(&arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
