//! `cargo xtask test`: runs every test and counts them.

use std::io::BufRead as _;
use std::io::BufReader;
use std::process::Command;
use std::process::ExitCode;
use std::process::ExitStatus;
use std::process::Stdio;

use anyhow::Context as _;

use crate::adapters;
use crate::axe;
use crate::cargo;
use crate::clouds::Clouds;
use crate::debian;
use crate::process;
use crate::samples;
use crate::sqs;

/// Build everything and run every test
///
/// The queue on SQS is tested with a local server, which this command starts;
/// with HOTH_TEST_SQS=aws in the environment, on AWS. The local clouds of
/// tests/mock-aws and tests/mock-azure have tests of their own, in Python.
///
/// Prometheus checks the metrics, and Chromium opens the console's pages. If
/// they are missing, this command installs them on Debian as root, and fails
/// elsewhere.
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
    let mut clouds = None;
    if arguments.fast {
        command.args(["--lib", "--bins"]);
    } else {
        debian::ensure(&debian::TEST_PROGRAMS)?;
        server = local_sqs()?;
        clouds = Some(Clouds::install()?);
        command.env(axe::VARIABLE, axe::install()?);
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
    let mut failed = Vec::new();
    if let Some(clouds) = &clouds {
        command.envs(clouds.environment());
        for mut tests in clouds.tests(filter(&arguments.rest))? {
            // A program that ends early prints no result.
            if !count.run(&mut tests)?.success() {
                failed.push(process::shown(&tests));
            }
        }
    }
    let passed_before = count.passed;
    let ended = count.run(&mut command)?;
    anyhow::ensure!(ended.success(), "`cargo test` ended with {ended}");
    let all = arguments.rest.is_empty();
    anyhow::ensure!(!all || count.passed > passed_before, "no test was run");
    anyhow::ensure!(failed.is_empty(), "{} failed", failed.join(" and "));
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

/// Returns the part of names that selects tests: the last argument for cargo
/// that is no option. If that is the value of an option, it selects none.
fn filter(rest: &[String]) -> Option<&str> {
    let cargo = rest.iter().take_while(|argument| *argument != "--");
    cargo.map(String::as_str).filter(|argument| !argument.starts_with('-')).last()
}

impl Count {
    /// Runs a program to its end, prints its output, and adds its results.
    fn run(&mut self, command: &mut Command) -> anyhow::Result<ExitStatus> {
        let shown = process::shown(command);
        let running = || format!("running {shown}");
        let mut program = command.stdout(Stdio::piped()).spawn().with_context(running)?;
        let stdout = program.stdout.take().context("standard output is piped")?;
        for line in BufReader::new(stdout).split(b'\n') {
            let line = line.context("reading the output of the tests")?;
            let line = String::from_utf8_lossy(&line);
            println!("{line}");
            self.add(&line);
        }
        program.wait().with_context(running)
    }

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
    fn the_last_name_before_the_arguments_of_test_programs_selects_tests() {
        let filter = |rest: &[&str]| {
            let rest: Vec<_> = rest.iter().map(|argument| (*argument).to_owned()).collect();
            super::filter(&rest).map(str::to_owned)
        };
        assert_eq!(filter(&["-p", "xtask", "retry", "--", "b"]), Some("retry".to_owned()));
        assert_eq!(filter(&["--", "--nocapture"]), None);
        assert_eq!(filter(&[]), None);
    }

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
