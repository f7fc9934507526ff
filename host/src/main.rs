//! The `hoth` program.

use std::process::ExitCode;

use clap::Parser;
use hoth::cli;

fn main() -> ExitCode {
    cli::run(cli::Arguments::parse())
}
