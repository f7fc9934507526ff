//! The acts of `hoth jobs` on one unfinished job: look now, cancel, settle by
//! hand.

use std::io::IsTerminal as _;
use std::io::Read as _;
use std::io::Write as _;
use std::path::Path;
use std::path::PathBuf;

use anyhow::Context as _;
use anyhow::bail;
use anyhow::ensure;
use serde::Serialize;
use serde_json::json;
use serde_json::value::RawValue;

use super::host::Host;
use super::host::job_path;
use super::queues::text;
use super::say;
use hoth_core::domain::printable;

/// The longest response in a file, in bytes: more than a message can hold, and
/// no file that was named by mistake fills the memory.
const RESPONSE_BYTES_MAX: u64 = 2 << 20;

#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Poll the CSP of a waiting job at once, and not at its next turn
    #[command(after_help = "Example:\n  hoth jobs look-now 0198c1f0-7c1e-7d6a-9d4e-1f2a3b4c5d6e")]
    LookNow {
        #[command(flatten)]
        job: Job,
        #[command(flatten)]
        host: Host,
    },
    /// End a job with a failure message for ServiceNow
    ///
    /// The CSP is not told: what it has begun goes on. A job that a worker has
    /// in hand cannot be cancelled; try again when it waits.
    #[command(
        after_help = "Example:\n  hoth jobs cancel 0198c1f0-7c1e-7d6a-9d4e-1f2a3b4c5d6e --reason \"posted twice, INC0012345\""
    )]
    Cancel {
        #[command(flatten)]
        job: Job,
        #[command(flatten)]
        confirmed: Confirmed,
        #[command(flatten)]
        host: Host,
    },
    /// End a job with an outcome that you give
    ///
    /// For work of which you know the end from elsewhere, because the CSP cannot
    /// tell. The CSP is asked no more.
    #[command(
        after_help = "Examples:\n  hoth jobs settle 0198c1f0-7c1e-7d6a-9d4e-1f2a3b4c5d6e --code 200 --response done.json --reason \"CSP_A confirmed by phone\"\n  \
                      echo '{\"details\": \"rejected by CSP_A\"}' | hoth jobs settle 0198c1f0-7c1e-7d6a-9d4e-1f2a3b4c5d6e --code 409 --response - --reason \"ticket 17\" --yes"
    )]
    Settle {
        #[command(flatten)]
        job: Job,
        /// Code of the outcome: 200 to 399 for a success, 400 to 599 for a
        /// failure
        #[arg(long, value_name = "CODE", value_parser = clap::value_parser!(u16).range(200..=599))]
        code: u16,
        /// File with the response, a JSON object; `-` for standard input
        #[arg(long, value_name = "FILE")]
        response: PathBuf,
        #[command(flatten)]
        confirmed: Confirmed,
        #[command(flatten)]
        host: Host,
    },
}

/// The job of an act.
#[derive(Debug, clap::Args)]
pub struct Job {
    /// Job id or request id
    id: String,
    /// Kind of the job; only needed if a job and a cost request have the same
    /// id
    #[arg(long, value_name = "KIND", value_parser = ["provisioning", "cost"])]
    kind: Option<String>,
}

/// The reason and the confirmation of an act that cannot be undone.
#[derive(Debug, clap::Args)]
pub struct Confirmed {
    /// Reason for the act, for the audit and the timeline of the job; up to 500
    /// bytes
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Do not ask for confirmation
    #[arg(long)]
    yes: bool,
}

/// The body of a settlement.
#[derive(Debug, Serialize)]
struct ByHand {
    reason: String,
    code: u16,
    response: Box<RawValue>,
}

impl Job {
    fn path(&self, act: &str) -> String {
        let kind = self.kind.as_deref().map(|kind| format!("?kind={kind}")).unwrap_or_default();
        format!("{}{act}{kind}", job_path(&self.id))
    }
}

/// Runs a command.
pub async fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::LookNow { job, host } => act(&host, &job, "look-now", &json!({})).await,
        Command::Cancel { job, confirmed, host } => {
            confirmed.ask(&host, &job, "Cancel it?").await?;
            act(&host, &job, "cancel", &json!({"reason": confirmed.reason})).await
        }
        Command::Settle { job, code, response, confirmed, host } => {
            ensure!(
                confirmed.yes || response != Path::new("-"),
                "a response from standard input leaves no way to ask: add `--yes`"
            );
            let response = read(&response)?;
            confirmed.ask(&host, &job, &format!("Settle it with code {code}?")).await?;
            let Confirmed { reason, .. } = confirmed;
            act(&host, &job, "settle", &ByHand { reason, code, response }).await
        }
    }
}

async fn act(host: &Host, job: &Job, act: &str, body: &impl Serialize) -> anyhow::Result<()> {
    let done = host.post(&job.path(&format!("/{act}")), body).await?;
    host.show(&done, |done| say(&printable(&format!("{}: {}", job.id, text(&done["detail"])))))
}

/// Reads a JSON object from a file, digit for digit.
fn read(file: &Path) -> anyhow::Result<Box<RawValue>> {
    let mut json = String::new();
    let shown = file.display();
    let reading = || format!("reading the response from {shown}");
    let limit = RESPONSE_BYTES_MAX + 1;
    let read = match file == Path::new("-") {
        true => std::io::stdin().take(limit).read_to_string(&mut json),
        false => {
            std::fs::File::open(file).and_then(|file| file.take(limit).read_to_string(&mut json))
        }
    };
    read.with_context(reading)?;
    ensure!(json.len() as u64 <= RESPONSE_BYTES_MAX, "{shown} has more than 2 MiB");
    let raw = RawValue::from_string(json).with_context(reading)?;
    ensure!(raw.get().starts_with('{'), "the response in {shown} is not a JSON object");
    Ok(raw)
}

impl Confirmed {
    /// Asks on the terminal, unless `--yes` was given.
    async fn ask(&self, host: &Host, job: &Job, question: &str) -> anyhow::Result<()> {
        if self.yes {
            return Ok(());
        }
        ensure!(
            std::io::stdin().is_terminal() && std::io::stderr().is_terminal(),
            "this cannot be undone, and there is no terminal to ask on: add `--yes`"
        );
        let found = host.get(&job.path("")).await?;
        let status = &found["status"];
        let state = format!("{}: {} {}", job.id, text(&status["state"]), text(&status["detail"]));
        let mut answer = String::new();
        // Standard output is for the result.
        write!(std::io::stderr(), "{}\n{question} [y/N] ", printable(&state))
            .and_then(|()| std::io::stdin().read_line(&mut answer))
            .context("asking on the terminal")?;
        match answer.trim() {
            "y" | "Y" | "yes" => Ok(()),
            _ => bail!("nothing was done"),
        }
    }
}
