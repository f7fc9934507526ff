//! Calls of cargo from within a program that cargo runs.

use std::process::Command;

use crate::adapters;
use crate::process;
use crate::workspace::workspace;

/// Prefixes of the variables that `cargo run` sets for this program only.
///
/// Build scripts that watch these variables would run again, and their
/// dependents would be built again, each time that cargo is called from here
/// and from a shell in turn.
const SET_BY_CARGO_RUN: [&str; 3] = ["CARGO_MANIFEST_DIR", "CARGO_MANIFEST_PATH", "CARGO_PKG_"];

/// Returns a call of cargo with the environment that a shell would give it.
pub fn command() -> Command {
    let mut command = Command::new("cargo");
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(is_set_by_cargo_run) {
            command.env_remove(name);
        }
    }
    command
}

fn is_set_by_cargo_run(name: &str) -> bool {
    SET_BY_CARGO_RUN.iter().any(|prefix| name.starts_with(prefix))
}

/// Returns a call of cargo's `task` for the packages that are built for this
/// machine: the workspace without the guests.
///
/// Cargo unifies features over the packages that one call names. Each call
/// therefore names all of them, even for a single program; otherwise cargo
/// would build the largest dependencies once more, with fewer features.
pub fn native(task: &str) -> anyhow::Result<Command> {
    let mut command = command();
    command.current_dir(&workspace()?.root).args([task, "--workspace"]);
    for guest in adapters::guests()? {
        command.args(["--exclude", &guest.name]);
    }
    Ok(command)
}

/// Builds `programs` with the features that the tests use.
pub fn build(programs: &[&str]) -> anyhow::Result<()> {
    let mut command = native("build")?;
    command.args(programs.iter().flat_map(|program| ["--bin", program]));
    // Cargo counts the features of dev-dependencies only when it builds a test.
    // `layers` is the smallest one.
    process::run(command.args(["--test", "layers"]))
}
