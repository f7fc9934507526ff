//! `cargo xtask check`: checks formatting, lints and fast tests.

use std::process::Command;
use std::time::Instant;

use anyhow::ensure;

use crate::cargo;
use crate::process;
use crate::test::SLOW_TESTS;
use crate::workspace::Member;
use crate::workspace::workspace;

/// Test programs that need components, a host or minutes.
const SLOW_PROGRAMS: [&str; 2] = ["corpora", "e2e"];

/// Check formatting and lints, and run the fast tests
///
/// Runs `cargo fmt --check`, clippy with warnings as errors, and the tests that
/// need no components, no hosts and no SQS: unit tests, and the tests of layers
/// and language. Stops at the first failure.
///
/// With --package, covers only that package and compiles only its dependencies.
///
/// Examples:
///   cargo xtask check
///   cargo xtask check --package hoth-core
///   cargo xtask check --package hoth-core decide
///   cargo xtask check layers
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Arguments {
    /// Check only this package; can be given more than once
    #[arg(short, long = "package", value_name = "PACKAGE")]
    packages: Vec<String>,
    /// Run only the tests whose names contain this text
    filter: Option<String>,
}

/// Runs `cargo xtask check`.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let mut passed = Vec::new();
    for (name, mut command) in [
        ("fmt", format(&arguments.packages)?),
        ("clippy", lint(&arguments.packages)?),
        ("tests", test(arguments)?),
    ] {
        println!("Running {}", process::shown(&command));
        let started_at = Instant::now();
        process::run(&mut command)?;
        passed.push(format!("{name} in {:.1} s", started_at.elapsed().as_secs_f64()));
    }
    println!("Passed: {}", passed.join(", "));
    Ok(())
}

fn format(packages: &[String]) -> anyhow::Result<Command> {
    let mut command = cargo_at_root("fmt")?;
    match packages {
        [] => command.arg("--all"),
        packages => command.args(selection(packages)),
    };
    command.arg("--check");
    Ok(command)
}

fn lint(packages: &[String]) -> anyhow::Result<Command> {
    let mut command = cargo_at_root("clippy")?;
    match packages {
        [] => command.arg("--workspace"),
        packages => command.args(selection(packages)),
    };
    command.args(["--all-targets", "--", "-D", "warnings"]);
    Ok(command)
}

fn test(arguments: &Arguments) -> anyhow::Result<Command> {
    let members = &workspace()?.members;
    let (mut command, covered): (_, Vec<&Member>) = match arguments.packages.as_slice() {
        // Cargo unifies features over the workspace, so that this shares its
        // dependencies with `cargo xtask test`.
        [] => (cargo::native("test")?, members.iter().collect()),
        packages => {
            let mut command = cargo_at_root("test")?;
            command.args(selection(packages));
            let named = |member: &&Member| packages.contains(&member.name);
            (command, members.iter().filter(named).collect())
        }
    };
    ensure!(
        arguments.packages.iter().all(|name| covered.iter().any(|member| member.name == *name)),
        "no package of this workspace has the name {}",
        arguments.packages.join(" or ")
    );
    // Cargo rejects `--lib` for a package without a library.
    if covered.iter().any(|member| member.has("lib") || member.has("rlib")) {
        command.arg("--lib");
    }
    if covered.iter().any(|member| member.has("bin")) {
        command.arg("--bins");
    }
    let programs = covered.iter().flat_map(|member| member.test_programs());
    for program in programs.filter(|program| !SLOW_PROGRAMS.contains(program)) {
        command.args(["--test", program]);
    }
    command.args(&arguments.filter).arg("--");
    for prefix in SLOW_TESTS {
        command.args(["--skip", prefix]);
    }
    Ok(command)
}

fn cargo_at_root(task: &str) -> anyhow::Result<Command> {
    let mut command = cargo::command();
    command.current_dir(&workspace()?.root).arg(task);
    Ok(command)
}

/// Returns cargo's arguments that select `packages`.
fn selection(packages: &[String]) -> impl Iterator<Item = &str> {
    packages.iter().flat_map(|package| ["--package", package])
}
