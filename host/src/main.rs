//! The `hoth` program.

use std::process::ExitCode;

use clap::Parser;
use hoth::cli;
use mimalloc::MiMalloc;

/// A message is made by one thread and dropped by another: queue, runtime and
/// trail each have their own. The system's allocator takes a lock for that.
/// SQLite uses this one, too (feature `override`): the system's allocator grows
/// the heap of a thread by one page at a time, with a system call for each.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    cli::run(cli::Arguments::parse())
}
