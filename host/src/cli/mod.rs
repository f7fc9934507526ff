//! The command line: parses the arguments, runs a command, returns an exit
//! code.

mod adapter;
mod adapters;
mod check;
mod csps;
mod host;
mod hosts;
mod job_acts;
mod job_journal;
mod jobs;
mod queues;
mod table;

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::Parser;
use clap::Subcommand;
use tokio::signal::unix::SignalKind;
use tokio::signal::unix::signal;
use tracing::info;

use crate::app::App;
use crate::app::Role;
use crate::config::Config;
use crate::telemetry;
use crate::telemetry::LogFormat;
use hoth_platform::descriptors::FILE_SIZE_SIGNAL;
use hoth_platform::failpoint;

/// The exit code of a command that failed.
const FAILURE: u8 = 1;

/// The exit code for invalid arguments or an invalid configuration. clap uses the
/// same one for invalid arguments.
const USAGE: u8 = 2;

/// The time that blocking calls have to end when the work is over.
const BLOCKING_GRACE: Duration = Duration::from_secs(5);

/// A durable host for WebAssembly adapters to cloud service providers (CSPs)
#[derive(Debug, Parser)]
#[command(
    name = "hoth",
    version,
    after_help = "\
Examples:
  hoth check --config hoth.toml
  hoth serve --config hoth.toml
  hoth serve --config hoth.toml --roles worker,watcher
  hoth adapter inspect adapters/atat.wasm
  hoth adapter run atat.wasm --job job.json --answers answers.json
  hoth adapter test atat.wasm journals/*.json
  hoth adapters list --admin http://127.0.0.1:8081
  hoth jobs show 0198c1f0-7c1e-7d6a-9d4e-1f2a3b4c5d6e
  hoth queues explain provisioning-requests-CSP_A

Exit codes: 0 success; 1 failure; 2 invalid usage or configuration."
)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the host until SIGTERM or SIGINT
    ///
    /// The signal starts a drain: the host receives no new jobs, and jobs in
    /// hand have the time `worker.drain_ms` to end.
    Serve(Serve),
    /// Validate a configuration, its secrets and the deployed adapters
    ///
    /// Starts nothing and connects to nothing.
    #[command(after_help = "\
Examples:
  hoth check --config hoth.toml
  hoth check --config hoth.toml --strict

Exit codes: 0 valid; 2 invalid, or valid with warnings and --strict.")]
    Check {
        /// Configuration file in TOML
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// Fail on warnings too
        #[arg(long)]
        strict: bool,
    },
    /// Compile the component on standard input; started by the host itself
    #[command(name = hoth_runtime::COMPILE_COMMAND, hide = true)]
    Compile {
        /// Limit on the memory of the process, in bytes
        #[arg(long)]
        memory_bytes: u64,
        /// Limit on the processor time of the process, in seconds
        #[arg(long)]
        seconds: u64,
    },
    /// Inspect an adapter file and run jobs on it, without a host
    #[command(subcommand)]
    Adapter(adapter::Command),
    /// List, deploy and roll back the adapters of a running host
    #[command(subcommand)]
    Adapters(adapters::Command),
    /// Inspect and repair queues: depths, blocked groups, dead letters
    #[command(subcommand)]
    Queues(queues::Command),
    /// Tell where jobs are and what happened to them; act on one of them
    #[command(subcommand)]
    Jobs(jobs::Command),
    /// Show CSP status; pause or resume a CSP
    #[command(subcommand)]
    Csps(csps::Command),
    /// Show a running host; drain and resume it
    #[command(subcommand)]
    Host(hosts::Command),
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  hoth serve --config hoth.toml
  HOTH__API__LISTEN=127.0.0.1:9000 hoth serve --config hoth.toml
  hoth serve --config hoth.toml --roles api --log-format json --log-filter hoth=debug")]
struct Serve {
    /// Configuration file in TOML; environment variables HOTH__SECTION__KEY
    /// override its keys
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Roles to run, separated by commas
    #[arg(
        long,
        value_enum,
        value_delimiter = ',',
        default_values_t = [Role::Api, Role::Worker, Role::Watcher],
    )]
    roles: Vec<Role>,
    /// Log format [default: text if standard error is a terminal, else json]
    #[arg(long, alias = "log", value_enum)]
    log_format: Option<LogFormat>,
    /// Log filter: a level, or levels by target
    #[arg(long, value_name = "FILTER", default_value = "info", env = "RUST_LOG")]
    log_filter: String,
}

/// Runs the command of a command line.
pub fn run(arguments: Arguments) -> ExitCode {
    let done = match arguments.command {
        Command::Serve(serve) => return run_serve(&serve),
        Command::Check { config, strict } => return check::run(&config, strict),
        Command::Compile { memory_bytes, seconds } => return compile(memory_bytes, seconds),
        Command::Adapter(command) => return adapter::run(command),
        Command::Adapters(command) => in_runtime(adapters::run(command)),
        Command::Queues(command) => in_runtime(queues::run(command)),
        Command::Jobs(command) => in_runtime(jobs::run(command)),
        Command::Csps(command) => in_runtime(csps::run(command)),
        Command::Host(command) => in_runtime(hosts::run(command)),
    };
    exit_code(done)
}

fn run_serve(serve: &Serve) -> ExitCode {
    let format = serve.log_format.unwrap_or_else(LogFormat::for_standard_error);
    let config = match Config::load(&serve.config) {
        Ok(config) => config,
        Err(error) => return refuse_start(format, &error.into()),
    };
    // Dropped at the end, which flushes the log.
    let _logs = match telemetry::start_logs(format, &serve.log_filter) {
        Ok(logs) => logs,
        Err(error) => return refuse_start(format, &error.into()),
    };
    if let Err(error) = failpoint::arm() {
        return refuse_start(format, &error.into());
    }
    let roles: BTreeSet<Role> = serve.roles.iter().copied().collect();
    let done = in_runtime(async move {
        // Installed before the listeners are bound: a supervisor may send SIGTERM
        // as soon as the host answers, and the default action would kill it
        // without a drain.
        let stop = stop_signal()?;
        App::build(config, roles).await?.run(stop).await
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Through the log: standard error may have a reader that stalls.
            telemetry::write_last(&format!("{error:#}"));
            ExitCode::from(FAILURE)
        }
    }
}

/// Compiles in this process. Standard output carries the machine code, so
/// messages go to standard error.
fn compile(memory_bytes: u64, seconds: u64) -> ExitCode {
    match hoth_runtime::compile_as_child(memory_bytes, seconds) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            print_error_text(&error);
            ExitCode::from(FAILURE)
        }
    }
}

/// Runs `work` to its end on a new async runtime.
fn in_runtime<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.context("starting the async runtime")?;
    let done = runtime.block_on(work);
    // Without a limit, one blocking read of a file system that hangs would keep
    // the process from its end.
    runtime.shutdown_timeout(BLOCKING_GRACE);
    done
}

/// Installs the signal handlers, and returns a future that completes at the
/// first SIGTERM or SIGINT. From then on, a SIGINT ends the process at once: an
/// operator at a terminal does not want to wait for the drain.
fn stop_signal() -> anyhow::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate()).context("listening for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("listening for SIGINT")?;
    // Operators send it to make a process read its files again, or by closing a
    // terminal. The default action would end the host without a drain.
    let mut hangup = signal(SignalKind::hangup()).context("listening for SIGHUP")?;
    // The handler stays when the stream is dropped, and keeps the signal from
    // ending the process.
    let file_size = SignalKind::from_raw(FILE_SIZE_SIGNAL);
    drop(signal(file_size).context("listening for SIGXFSZ")?);
    Ok(async move {
        loop {
            tokio::select! {
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
                _ = hangup.recv() => info!(
                    "SIGHUP: nothing to do; changed keys, certificates and adapters take effect \
                     by themselves"
                ),
            }
        }
        tokio::spawn(async move {
            interrupt.recv().await;
            telemetry::write_last("interrupted while draining; jobs in hand run again");
            std::process::exit(FAILURE.into());
        });
    })
}

/// Reports an error, and returns the exit code of a command.
fn exit_code(done: anyhow::Result<()>) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            print_error(&error);
            ExitCode::from(FAILURE)
        }
    }
}

/// Reports an error in the form of the log, which has not been started.
#[expect(clippy::print_stderr, reason = "the log goes there, too")]
fn refuse_start(format: LogFormat, error: &anyhow::Error) -> ExitCode {
    eprint!("{}", format.last_line(&format!("{error:#}")));
    ExitCode::from(USAGE)
}

/// Reports invalid arguments or an invalid configuration.
fn refuse(error: &anyhow::Error) -> ExitCode {
    print_error(error);
    ExitCode::from(USAGE)
}

/// Writes a line of a command's result to standard output. Errors are ignored: a
/// reader such as `head` may have closed the pipe.
fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

#[expect(
    clippy::print_stderr,
    reason = "the parent process reads the text and adds its own prefix"
)]
fn print_error_text(text: &str) {
    eprintln!("{text}");
}

#[expect(clippy::print_stderr, reason = "errors of commands go to standard error")]
fn print_error(error: &anyhow::Error) {
    eprintln!("hoth: {error:#}");
}
