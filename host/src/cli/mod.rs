//! The command line: arguments in, an exit code out.

mod adapter;
mod adapters;
mod csps;
mod queues;
mod table;

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::Path;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use anyhow::ensure;
use clap::Parser;
use clap::Subcommand;
use tokio::signal::unix::SignalKind;
use tokio::signal::unix::signal;

use crate::app::App;
use crate::app::Role;
use crate::config::Config;
use crate::registry;
use crate::telemetry;
use crate::telemetry::LogFormat;
use hoth_platform::failpoint;
use hoth_runtime::Compiler;
use hoth_runtime::Engine;

/// It did not work.
const FAILURE: u8 = 1;

/// It was called wrongly, or the configuration is wrong. (clap's own code for
/// usage errors is the same.)
const USAGE: u8 = 2;

/// HOTH: a durable host for WebAssembly adapters to Cloud Service Providers.
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
  hoth adapters list --admin http://127.0.0.1:8081
  hoth queues explain provisioning-requests-CSP_A

Exit codes: 0 success, 1 failure, 2 wrong usage or configuration."
)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs the host until SIGTERM or SIGINT, then drains.
    Serve(Serve),
    /// Checks a configuration, with the secrets that it names and the adapters
    /// that are there; starts nothing.
    Check {
        /// The configuration file.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Compiles what is on standard input; the host starts it for itself.
    #[command(name = hoth_runtime::COMPILE_COMMAND, hide = true)]
    Compile {
        /// What it may take of memory.
        #[arg(long)]
        memory_bytes: u64,
        /// What it may take of each processor.
        #[arg(long)]
        seconds: u64,
    },
    /// Inspect an adapter file and run jobs on it, without a host
    #[command(subcommand)]
    Adapter(adapter::Command),
    /// List, deploy and roll back the adapters of a running host
    #[command(subcommand)]
    Adapters(adapters::Command),
    /// Looks after the queues of a running host: depths, dead letters, blocks.
    #[command(subcommand)]
    Queues(queues::Command),
    /// Shows how CSPs stand, holds the jobs of one back, or lets them go on.
    #[command(subcommand)]
    Csps(csps::Command),
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  hoth serve --config hoth.toml
  HOTH__API__LISTEN=127.0.0.1:9000 hoth serve --config hoth.toml
  hoth serve --config hoth.toml --roles api --log json --log-filter hoth=debug")]
struct Serve {
    /// The configuration file; its keys can be overridden by
    /// HOTH__SECTION__KEY.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// What this process does.
    #[arg(
        long,
        value_enum,
        value_delimiter = ',',
        default_values_t = [Role::Api, Role::Worker, Role::Watcher],
    )]
    roles: Vec<Role>,
    /// How log lines look.
    #[arg(long, value_enum, default_value_t = LogFormat::Text)]
    log: LogFormat,
    /// Which log lines are written, as for RUST_LOG.
    #[arg(long, value_name = "FILTER", default_value = "info", env = "RUST_LOG")]
    log_filter: String,
}

/// Carries out a command line.
pub fn run(arguments: Arguments) -> ExitCode {
    let done = match arguments.command {
        Command::Serve(serve) => return run_serve(&serve),
        Command::Check { config } => return run_check(&config),
        Command::Compile { memory_bytes, seconds } => return compile(memory_bytes, seconds),
        Command::Adapter(command) => return adapter::run(command),
        Command::Adapters(command) => in_runtime(adapters::run(command)),
        Command::Queues(command) => in_runtime(queues::run(command)),
        Command::Csps(command) => in_runtime(csps::run(command)),
    };
    exit_code(done)
}

fn run_serve(serve: &Serve) -> ExitCode {
    let config = match Config::load(&serve.config) {
        Ok(config) => config,
        Err(error) => return refuse(&error.into()),
    };
    if let Err(error) = telemetry::start_logs(serve.log, &serve.log_filter) {
        return refuse(&error.into());
    }
    if let Err(error) = failpoint::arm() {
        return refuse(&error.into());
    }
    let roles: BTreeSet<Role> = serve.roles.iter().copied().collect();
    exit_code(in_runtime(async move {
        // Before anybody is told that the host listens: whoever stops it then is
        // heard.
        let stop = stop_signal()?;
        App::build(config, roles).await?.run(stop).await
    }))
}

fn run_check(path: &Path) -> ExitCode {
    let config = match Config::load(path) {
        Ok(config) => config,
        Err(error) => return refuse(&error.into()),
    };
    if let Some(Err(error)) = config.api.batch_key.as_ref().map(|source| source.read()) {
        return refuse(&anyhow::Error::from(error).context("api.batch_key"));
    }
    for (name, settings) in &config.csp {
        let checked = hoth_egress::Client::build(name, settings)
            .map_err(anyhow::Error::from)
            .and_then(|_| match settings.missing_secrets().into_iter().next() {
                Some(missing) => Err(missing.into()),
                None => Ok(()),
            })
            .with_context(|| format!("csp.{name}"));
        if let Err(error) = checked {
            return refuse(&error);
        }
        let file = config.adapters.directory.join(format!("{}.wasm", settings.adapter));
        if !file.is_file() {
            say(&format!("note: jobs for {name} wait for an adapter: no {}", file.display()));
        }
    }
    if let Err(error) = in_runtime(check_adapters(&config)) {
        return refuse(&error);
    }
    say(&format!("{}: good, {} CSPs", path.display(), config.csp.len()));
    ExitCode::SUCCESS
}

/// Validates the adapters in the drop directory.
async fn check_adapters(config: &Config) -> anyhow::Result<()> {
    let engine = Engine::without_cache(&config.adapters, Compiler::Subprocess)
        .context("setting up the adapter engine")?;
    let trust = config.trust().context("reading adapters.trusted_keys")?;
    let directory = &config.adapters.directory;
    let refused =
        registry::check_drop_dir(&engine, &trust, directory, config.csp_requirements()).await;
    let refused = refused.context("checking the adapters")?;
    let said: Vec<_> = refused
        .iter()
        .map(|(name, why)| {
            format!("{name}.wasm in {} would be refused: {why}", directory.display())
        })
        .collect();
    ensure!(said.is_empty(), "{}", said.join("\n"));
    Ok(())
}

/// Standard output is for the code, so nothing else is said there.
fn compile(memory_bytes: u64, seconds: u64) -> ExitCode {
    match hoth_runtime::compile_as_child(memory_bytes, seconds) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            complain_plainly(&why);
            ExitCode::from(FAILURE)
        }
    }
}

fn in_runtime<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.context("starting the async runtime")?.block_on(work)
}

/// Ends at the first SIGTERM or SIGINT.
fn stop_signal() -> anyhow::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate()).context("listening for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("listening for SIGINT")?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

fn exit_code(done: anyhow::Result<()>) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error);
            ExitCode::from(FAILURE)
        }
    }
}

fn refuse(error: &anyhow::Error) -> ExitCode {
    complain(error);
    ExitCode::from(USAGE)
}

/// What a command answers goes to standard output. Whoever reads may have
/// left, as `head` does, and then there is nobody to tell.
fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

#[expect(clippy::print_stderr, reason = "the parent reads it and says it in its own words")]
fn complain_plainly(why: &str) {
    eprintln!("{why}");
}

#[expect(clippy::print_stderr, reason = "why a command failed goes to standard error")]
fn complain(error: &anyhow::Error) {
    eprintln!("hoth: {error:#}");
}
