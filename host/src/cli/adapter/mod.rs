//! `hoth adapter`: inspects an adapter file and runs jobs on it, without a
//! host.

mod answers;
mod inputs;
mod job_run;
mod journals;
mod printer;

use std::collections::BTreeMap;
use std::path::Path;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use serde_json::Map;
use serde_json::Value;
use serde_json::json;

use super::FAILURE;
use super::exit_code;
use super::in_runtime;
use super::refuse;
use super::say;
use crate::telemetry;
use crate::telemetry::LogFormat;
use hoth_core::domain::Need;
use hoth_runtime::Adapter;
use hoth_runtime::Compiler;
use hoth_runtime::Config;
use hoth_runtime::Engine;

#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Validate a component and print its description
    #[command(after_help = "Example:\n  hoth adapter inspect adapters/atat.wasm")]
    Inspect {
        /// Component to inspect
        #[arg(value_name = "FILE.wasm")]
        file: PathBuf,
        /// Print the description as JSON
        #[arg(long)]
        json: bool,
    },
    /// Run one job on a component, step by step
    #[command(after_help = RUN_EXAMPLES)]
    Run(Box<RunArgs>),
    /// Replay the journals of jobs on a component, and compare its steps
    ///
    /// A component passes if it takes the steps of each journal: the method and
    /// target of every request, the purpose of every wait, the code of the end.
    /// With --against, every detail of its steps is compared with those of
    /// another component, as the replay gate of a host does. No CSP is called.
    #[command(after_help = TEST_EXAMPLES)]
    Test(TestArgs),
}

const TEST_EXAMPLES: &str = "Examples:
  hoth jobs journal 0198c1f0-7c1e-7d6a-9d4e-1f2a3b4c5d6e --save journals
  hoth adapter test atat.wasm journals/*.json
  hoth adapter test new.wasm journals/*.json --against atat.wasm

Exit codes: 0 every journal passed; 1 a step differs, or a journal cannot be compared;
2 invalid usage, or a file that is no journal.";

#[derive(Debug, clap::Args)]
pub struct TestArgs {
    /// Component to test
    #[arg(value_name = "FILE.wasm")]
    file: PathBuf,
    /// Journals, as `hoth jobs journal --save` writes them
    #[arg(value_name = "JOURNAL.json", required = true)]
    journals: Vec<PathBuf>,
    /// Compare with the steps of this component
    #[arg(long, value_name = "FILE.wasm")]
    against: Option<PathBuf>,
    /// Print one JSON object per line
    #[arg(long)]
    json: bool,
}

const RUN_EXAMPLES: &str = r#"Examples:
  hoth adapter run hello.wasm --job job.json --answers answers.json
  hoth adapter run hello.wasm --job job.json --base-url http://127.0.0.1:9000
  hoth adapter run atat.wasm --job job.json --config hoth.toml
  hoth adapter run atat.wasm --journal journals/job-1.json
  jq .jobs[0] jobs.json | hoth adapter run atat.wasm --job - --json

The job has the form that ServiceNow posts:
  {"userId": "me", "portfolioId": "p-1", "targetCspName": "CSP_A",
   "operationType": "GET_PORTFOLIO", "payload": {}}

The answers are a list with one entry per request:
  [{"status": 503, "headers": {"retry-after": "5"}, "body": "down"},
   {"status": 200, "body": {"id": "p-1"}},
   {"failure": "timeout", "sent": true},
   "timer"]
A failure is one of the codes of `transport-failure` in the WIT. Waits end at once;
a "timer" in the list stands for one. A request that a host refuses gets the refusal
and no answer, and answers that are left at the end are reported on standard error.

Exit codes: 0 the job succeeded; 1 it failed or did not finish, or the component is
invalid; 2 invalid usage, job, settings or answers."#;

#[derive(Debug, clap::Args)]
pub struct RunArgs {
    /// Component to run
    #[arg(value_name = "FILE.wasm")]
    file: PathBuf,
    /// Job as ServiceNow posts it, provisioning or cost; `-` reads standard
    /// input
    #[arg(long, value_name = "FILE", required_unless_present = "journal")]
    job: Option<PathBuf>,
    /// Repeat the job of this journal, which `hoth jobs journal --save` has
    /// written, with its responses, times and settings
    #[arg(long, value_name = "FILE",
          conflicts_with_all = ["job", "answers", "base_url", "config"])]
    journal: Option<PathBuf>,
    /// Settings of the CSP, as a JSON object or the name of a file with one
    /// [default: those of --config or --journal, else {}]
    #[arg(long, value_name = "JSON|FILE")]
    settings: Option<String>,
    /// Responses of the CSP [default: none; the run ends at the first request]
    #[arg(long, value_name = "FILE", conflicts_with_all = ["base_url", "config"])]
    answers: Option<PathBuf>,
    /// Send the requests to this URL, as a host would, without a credential
    #[arg(long, value_name = "URL", conflicts_with = "config")]
    base_url: Option<String>,
    /// Send the requests as this configuration says for the job's CSP, with its
    /// URL, settings and credentials
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print one JSON object per line
    #[arg(long)]
    json: bool,
    /// Filter of the log lines on standard error, including the adapter's
    #[arg(long, value_name = "FILTER", default_value = "info", env = "RUST_LOG")]
    log_filter: String,
}

/// Runs a command.
pub fn run(command: Command) -> ExitCode {
    match command {
        Command::Inspect { file, json } => exit_code(in_runtime(inspect(&file, json))),
        Command::Run(run) => run_job(&run),
        Command::Test(test) => journals::test(&test),
    }
}

async fn inspect(file: &Path, json: bool) -> anyhow::Result<()> {
    let adapter = load(file).await?;
    let info = adapter.info();
    if json {
        say(&serde_json::to_string_pretty(&description(&adapter)).context("writing JSON")?);
        return Ok(());
    }
    say(&format!("name        {} {}", info.name, info.version));
    say(&format!("sha256      {}", adapter.digest()));
    say(&format!("size        {} bytes", adapter.size_bytes()));
    say(&format!("operations  {}", info.operations.join(", ")));
    say(&format!("states      {} to {}", info.states.0, info.states.1));
    say(&format!("imports     {}", adapter.imports().join(", ")));
    for (what, needs) in
        [("endpoints", &info.manifest.endpoints), ("credentials", &info.manifest.credentials)]
    {
        let needs: Vec<String> = needs.iter().map(|(name, need)| described(name, need)).collect();
        if !needs.is_empty() {
            say(&format!("{what:<11} {}", needs.join(", ")));
        }
    }
    Ok(())
}

/// Returns the description of an adapter for programs.
fn description(adapter: &Adapter) -> Value {
    let info = adapter.info();
    let needs = |needs: &BTreeMap<String, Need>| -> Map<String, Value> {
        let need = |(name, need): (&String, &Need)| {
            let Need { parameters, optional, .. } = need;
            (name.clone(), json!({ "parameters": parameters, "optional": optional }))
        };
        needs.iter().map(need).collect()
    };
    json!({
        "name": info.name,
        "version": info.version,
        "sha256": adapter.digest().to_string(),
        "size": adapter.size_bytes(),
        "operations": info.operations.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "states": [info.states.0, info.states.1],
        "imports": adapter.imports(),
        "endpoints": needs(&info.manifest.endpoints),
        "credentials": needs(&info.manifest.credentials),
    })
}

/// Describes an endpoint or a credential of a manifest: `member (account)`.
fn described(name: &str, Need { parameters, optional, .. }: &Need) -> String {
    let mut notes = parameters.clone();
    if *optional {
        notes.push("optional".to_owned());
    }
    match notes.is_empty() {
        true => name.to_owned(),
        false => format!("{name} ({})", notes.join(", ")),
    }
}

fn run_job(run: &RunArgs) -> ExitCode {
    // Dropped at the end, which flushes the log.
    let _logs = match telemetry::start_logs(LogFormat::Text, &run.log_filter) {
        Ok(logs) => logs,
        Err(error) => return refuse(&error.into()),
    };
    let inputs = match inputs::read(run) {
        Ok(inputs) => inputs,
        Err(error) => return refuse(&error),
    };
    let printer = printer::Printer { json: run.json };
    let finished = in_runtime(async {
        let adapter = load(&run.file).await?;
        Ok(job_run::run(&adapter, inputs, &printer).await)
    });
    match finished {
        Ok(true) => ExitCode::SUCCESS,
        // The outcome of the job has been printed.
        Ok(false) => ExitCode::from(FAILURE),
        Err(error) => exit_code(Err(error)),
    }
}

/// Loads a component as a host would. Nothing is written to disk, because the
/// current directory does not belong to this command.
async fn load(file: &Path) -> anyhow::Result<Adapter> {
    let bytes = std::fs::read(file).with_context(|| format!("reading {}", file.display()))?;
    let name = file.file_stem().and_then(|stem| stem.to_str()).unwrap_or("adapter");
    let engine = Engine::without_cache(&Config::default(), Compiler::Subprocess);
    let engine = engine.context("setting up the adapter engine")?;
    engine
        .load(name, bytes)
        .await
        .with_context(|| format!("{} is not a valid adapter", file.display()))
}
