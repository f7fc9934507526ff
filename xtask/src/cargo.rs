//! Cargo, run from within a program that cargo runs.

use std::process::Command;

use crate::adapters;
use crate::process;
use crate::workspace::workspace;

/// What `cargo run` sets for this program only. Build scripts that watch these
/// variables would run again, and all that depends on them would be built
/// again, each time that cargo is called from here and from a shell in turn.
const OURS: [&str; 3] = ["CARGO_MANIFEST_DIR", "CARGO_MANIFEST_PATH", "CARGO_PKG_"];

/// Cargo, with the environment that a shell would give it.
pub fn command() -> Command {
    let mut command = Command::new("cargo");
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| OURS.iter().any(|ours| name.starts_with(ours))) {
            command.env_remove(name);
        }
    }
    command
}

/// Cargo's `task` for all that is built for this machine, which is all but the
/// guests.
///
/// Features are unified over what one command names. So whoever builds some of
/// it names all of it, or the largest dependencies are built once more.
pub fn native(task: &str) -> anyhow::Result<Command> {
    let mut command = command();
    command.current_dir(&workspace()?.root).args([task, "--workspace"]);
    for guest in adapters::guests()? {
        command.args(["--exclude", &guest.name]);
    }
    Ok(command)
}

/// Builds `programs` as the tests would have them.
pub fn build(programs: &[&str]) -> anyhow::Result<()> {
    let mut command = native("build")?;
    command.args(programs.iter().flat_map(|program| ["--bin", program]));
    // Dependencies of tests count for features only where a test is built, so
    // the smallest one is.
    process::run(command.args(["--test", "layers"]))
}
