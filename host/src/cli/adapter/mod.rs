//! `hoth adapter`: looks at an adapter file, and tries it out; no host is
//! needed.

mod answers;
mod inputs;
mod shown;
mod trial;

use std::path::Path;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;

use super::FAILURE;
use super::exit_code;
use super::in_runtime;
use super::refuse;
use super::say;
use crate::telemetry;
use crate::telemetry::LogFormat;
use hoth_runtime::Adapter;
use hoth_runtime::Compiler;
use hoth_runtime::Config;
use hoth_runtime::Engine;

#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Checks a component as a host would, and says what it is.
    #[command(after_help = "Example:\n  hoth adapter inspect adapters/atat.wasm")]
    Inspect {
        /// The component.
        #[arg(value_name = "FILE.wasm")]
        file: PathBuf,
    },
    /// Runs one job through a component, step by step.
    #[command(after_help = RUN_EXAMPLES)]
    Run(Box<Run>),
}

const RUN_EXAMPLES: &str = r#"Examples:
  hoth adapter run hello.wasm --job job.json --answers answers.json
  hoth adapter run hello.wasm --job job.json --base-url http://127.0.0.1:9000
  hoth adapter run atat.wasm --job job.json --config hoth.toml
  jq .jobs[0] jobs.json | hoth adapter run atat.wasm --job - --json

The job is what ServiceNow posts:
  {"userId": "me", "portfolioId": "p-1", "targetCspName": "CSP_A",
   "operationType": "GET_PORTFOLIO", "payload": {}}

The answers are a list, one for each request, as the adapter gets them:
  [{"status": 503, "headers": {"retry-after": "5"}, "body": "down"},
   {"status": 200, "body": {"id": "p-1"}},
   {"failure": "timeout", "sent": true},
   "timer"]
A failure has one of the codes of `transport-failure` in the WIT. Waits end by
themselves, and no time is spent on them; a "timer" in the list stands for one.

Exit codes: 0 the job is done, 1 it failed, did not end, or the component cannot
be used, 2 wrong usage, job, settings or answers."#;

#[derive(Debug, clap::Args)]
pub struct Run {
    /// The component.
    #[arg(value_name = "FILE.wasm")]
    file: PathBuf,
    /// The job, as ServiceNow posts it, provisioning or cost; `-` reads
    /// standard input.
    #[arg(long, value_name = "FILE")]
    job: PathBuf,
    /// The CSP's settings, as a JSON object, or the name of a file that holds
    /// one. [default: those of --config, else {}]
    #[arg(long, value_name = "JSON|FILE")]
    settings: Option<String>,
    /// What the CSP answers. [default: nothing; it ends at the first request]
    #[arg(long, value_name = "FILE", conflicts_with_all = ["base_url", "config"])]
    answers: Option<PathBuf>,
    /// Makes the requests at this URL, as a host would, without a credential.
    #[arg(long, value_name = "URL", conflicts_with = "config")]
    base_url: Option<String>,
    /// Makes the requests as this configuration says of the job's CSP, with its
    /// URL, settings and credentials.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Prints one JSON object per line, for programs.
    #[arg(long)]
    json: bool,
    /// Which log lines are written to standard error, the adapter's among them.
    #[arg(long, value_name = "FILTER", default_value = "info", env = "RUST_LOG")]
    log_filter: String,
}

/// Carries out a command.
pub fn run(command: Command) -> ExitCode {
    match command {
        Command::Inspect { file } => exit_code(in_runtime(inspect(&file))),
        Command::Run(run) => try_out(&run),
    }
}

async fn inspect(file: &Path) -> anyhow::Result<()> {
    let adapter = load(file).await?;
    let info = adapter.info();
    say(&format!("name        {} {}", info.name, info.version));
    say(&format!("sha256      {}", adapter.digest()));
    say(&format!("size        {} bytes", adapter.size_bytes()));
    say(&format!("operations  {}", info.operations.join(", ")));
    say(&format!("states      {} to {}", info.states.0, info.states.1));
    say(&format!("imports     {}", adapter.imports().join(", ")));
    if !info.credentials.is_empty() {
        say(&format!("credentials {}", info.credentials.join(", ")));
    }
    Ok(())
}

fn try_out(run: &Run) -> ExitCode {
    if let Err(error) = telemetry::start_logs(LogFormat::Text, &run.log_filter) {
        return refuse(&error.into());
    }
    let inputs = match inputs::read(run) {
        Ok(inputs) => inputs,
        Err(error) => return refuse(&error),
    };
    let shown = shown::Shown { json: run.json };
    let tried = in_runtime(async {
        let adapter = load(&run.file).await?;
        trial::run(&adapter, inputs, &shown).await
    });
    match tried {
        Ok(true) => ExitCode::SUCCESS,
        // What became of the job has been said.
        Ok(false) => ExitCode::from(FAILURE),
        Err(error) => exit_code(Err(error)),
    }
}

/// Loads a component as a host would. Nothing is kept on disk: the current
/// directory is not this command's to write in.
async fn load(file: &Path) -> anyhow::Result<Adapter> {
    let bytes = std::fs::read(file).with_context(|| format!("reading {}", file.display()))?;
    let name = file.file_stem().and_then(|stem| stem.to_str()).unwrap_or("adapter");
    let engine = Engine::without_cache(&Config::default(), Compiler::Apart);
    let engine = engine.context("setting up the adapter engine")?;
    engine
        .load(name, bytes)
        .await
        .with_context(|| format!("{} cannot serve as an adapter", file.display()))
}
