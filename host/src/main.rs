//! The `hoth` program.

use std::process::ExitCode;

use clap::Parser;
use tikv_jemallocator::Jemalloc;

use hoth::cli;

/// The allocator of the program. Those of the C libraries keep the memory of
/// jobs that have ended; this one gives it back to the system within seconds.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn main() -> ExitCode {
    cli::run(cli::Arguments::parse())
}
