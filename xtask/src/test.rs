//! `cargo xtask test`: runs every test and counts them.

use std::io::BufRead as _;
use std::io::BufReader;
use std::process::ExitCode;
use std::process::Stdio;

use anyhow::Context as _;

use crate::adapters;
use crate::cargo;
use crate::samples;
use crate::sqs;

/// Build everything and run every test
///
/// The queue on SQS is tested with a local server, which this command starts;
/// with HOTH_TEST_SQS=aws in the environment, on AWS.
///
/// The last line is `N passed, N failed`, behind the names of the tests that
/// failed. A build or a program that fails counts as one failure.
///
/// The samples in other languages (target/samples) need tools from PyPI and
/// npm. Their tests run only with --samples, which fetches these tools.
///
/// Examples:
///   cargo xtask test
///   cargo xtask test --samples
///   cargo xtask test --fast
///   cargo xtask test -- a_lease_that_ran_out
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Arguments {
    /// Run only unit tests, which need no components, no hosts and no SQS
    #[arg(long)]
    fast: bool,
    /// Also build and test the samples in Rust for WASI, Python and JavaScript
    #[arg(long, conflicts_with = "fast")]
    samples: bool,
    /// Arguments for `cargo test`, such as a part of a test's name
    #[arg(last = true)]
    rest: Vec<String>,
}

/// Tests that need the samples.
const SAMPLE_TESTS: &str = "samples::";

/// Unit tests that need SQS.
const SQS_TESTS: &str = "sqs::tests::";

/// Parts of the names of tests that need more than their own program.
pub const SLOW_TESTS: [&str; 2] = [SAMPLE_TESTS, SQS_TESTS];

/// Sum of the results of all test programs.
#[derive(Debug, Default, PartialEq)]
struct Count {
    passed: u64,
    failed: u64,
    ignored: u64,
    /// Names of the failed tests. A program that ends early names none.
    failures: Vec<String>,
}

/// Runs `cargo xtask test`.
pub fn run(arguments: &Arguments) -> ExitCode {
    let mut count = Count::default();
    if let Err(error) = test(arguments, &mut count) {
        eprintln!("error: {error:#}");
        // A build that fails runs no test, and must not count as a success.
        count.failed = count.failed.max(1);
    }
    if count.ignored > 0 {
        println!("{} tests were ignored and count as failed", count.ignored);
        count.failed += count.ignored;
    }
    for name in &count.failures {
        println!("failed: {name}");
    }
    println!("{} passed, {} failed", count.passed, count.failed);
    if count.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn test(arguments: &Arguments, count: &mut Count) -> anyhow::Result<()> {
    let mut command = cargo::native("test")?;
    command.arg("--no-fail-fast");
    let mut server = None;
    if arguments.fast {
        command.args(["--lib", "--bins"]);
    } else {
        server = local_sqs()?;
        adapters::build()?;
        adapters::build_guests()?;
    }
    command.args(&arguments.rest);
    if arguments.samples {
        samples::build()?;
    }
    let skipped = [(SAMPLE_TESTS, !arguments.samples), (SQS_TESTS, arguments.fast)];
    // Arguments after `--` go to the test programs. The caller may have given
    // some already.
    if !arguments.rest.iter().any(|argument| argument == "--") {
        command.arg("--");
    }
    for (tests, _) in skipped.into_iter().filter(|(_, skips)| *skips) {
        command.args(["--skip", tests]);
    }
    if let Some(server) = &mut server {
        server.ready()?;
        command.envs(server.environment());
    }
    let mut cargo = command.stdout(Stdio::piped()).spawn().context("running `cargo test`")?;
    let stdout = cargo.stdout.take().context("standard output is piped")?;
    for line in BufReader::new(stdout).split(b'\n') {
        let line = line.context("reading the output of the tests")?;
        let line = String::from_utf8_lossy(&line);
        println!("{line}");
        count.add(&line);
    }
    let ended = cargo.wait().context("waiting for `cargo test`")?;
    anyhow::ensure!(ended.success(), "`cargo test` ended with {ended}");
    let all = arguments.rest.is_empty();
    anyhow::ensure!(!all || count.passed > 0, "no test was run");
    if !arguments.samples {
        println!("not run: the samples in other languages (`cargo xtask test --samples`)");
    }
    Ok(())
}

/// Starts the local SQS early, so that it gets ready during the build. Returns
/// `None` if the tests use AWS.
fn local_sqs() -> anyhow::Result<Option<sqs::Server>> {
    let aws = std::env::var_os("HOTH_TEST_SQS").is_some_and(|chosen| chosen == "aws");
    if aws { Ok(None) } else { sqs::Server::start().map(Some) }
}

impl Count {
    /// Adds the numbers of a test program's last line, and the name of a test
    /// that failed. Ignores other lines.
    fn add(&mut self, line: &str) {
        let failed = line.strip_prefix("test ").and_then(|line| line.strip_suffix(" ... FAILED"));
        self.failures.extend(failed.map(str::to_owned));
        let Some(result) = line.strip_prefix("test result: ") else { return };
        let parts = result.split(['.', ';']).map(str::trim);
        for (number, state) in parts.filter_map(|part| part.split_once(' ')) {
            let Ok(number) = number.parse::<u64>() else { continue };
            match state {
                "passed" => self.passed += number,
                "failed" => self.failed += number,
                "ignored" => self.ignored += number,
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Count;

    #[test]
    fn counts_add_up_over_test_programs() {
        let mut count = Count::default();
        for line in [
            "running 3 tests",
            "test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.10s",
            "test a ... FAILED",
            "test result: FAILED. 5 passed; 2 failed; 1 ignored; 0 measured; 0 filtered out; finished in 1.00s",
        ] {
            count.add(line);
        }
        let failures = vec!["a".to_owned()];
        assert_eq!(count, Count { passed: 8, failed: 2, ignored: 1, failures });
    }
}
