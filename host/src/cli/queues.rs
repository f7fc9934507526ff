//! `hoth queues`: looks after the queues of a running host, through its admin
//! API.

use anyhow::Context as _;
use serde_json::Value;
use serde_json::json;

use super::adapters::Host;
use super::say;
use super::table::Table;

#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Shows depth, leases, ages and dead letters of every queue.
    #[command(after_help = "Example:\n  hoth queues list")]
    List {
        #[command(flatten)]
        host: Host,
    },
    /// Says why nothing comes out of a queue.
    #[command(after_help = "Example:\n  hoth queues explain provisioning-requests-CSP_A")]
    Explain {
        queue: String,
        #[command(flatten)]
        host: Host,
    },
    /// Lists the messages of a queue that could not be worked off.
    #[command(after_help = "Example:\n  hoth queues dead-letters provisioning-requests-CSP_A")]
    DeadLetters {
        queue: String,
        /// Goes on behind this one.
        #[arg(long, value_name = "ID")]
        after: Option<String>,
        #[command(flatten)]
        host: Host,
    },
    /// Shows one dead letter with its body, which holds business data.
    #[command(after_help = "Example:\n  hoth queues show provisioning-requests-CSP_A 42")]
    Show {
        queue: String,
        id: String,
        #[command(flatten)]
        host: Host,
    },
    /// Puts dead letters back onto their queue.
    #[command(
        after_help = "Examples:\n  hoth queues redrive provisioning-requests-CSP_A --dry-run\n  \
                      hoth queues redrive provisioning-requests-CSP_A --reason unreadable --max 10"
    )]
    Redrive {
        queue: String,
        #[command(flatten)]
        which: Which,
        #[command(flatten)]
        host: Host,
    },
    /// Forgets dead letters for good.
    #[command(
        after_help = "Example:\n  hoth queues purge provisioning-requests-CSP_A --confirm provisioning-requests-CSP_A"
    )]
    Purge {
        queue: String,
        #[command(flatten)]
        which: Which,
        /// The queue's name once more.
        #[arg(long, value_name = "QUEUE")]
        confirm: Option<String>,
        #[command(flatten)]
        host: Host,
    },
}

/// Which dead letters; all of them where nothing is said.
#[derive(Debug, clap::Args)]
pub struct Which {
    /// Only that of this job; may be given several times.
    #[arg(long = "job", value_name = "ID")]
    jobs: Vec<String>,
    /// Only those with this in their reason.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// At most so many, the oldest first.
    #[arg(long)]
    max: Option<u64>,
    /// Only counts them.
    #[arg(long)]
    dry_run: bool,
}

impl Which {
    fn selection(&self) -> Value {
        let mut selection = json!({"dryRun": self.dry_run});
        if !self.jobs.is_empty() {
            selection["keys"] = json!(self.jobs);
        }
        if let Some(reason) = &self.reason {
            selection["reasonContains"] = json!(reason);
        }
        if let Some(max) = self.max {
            selection["max"] = json!(max);
        }
        selection
    }
}

/// Carries out a command about queues.
pub async fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::List { host } => list(&host.get("queues").await?),
        Command::Explain { queue, host } => {
            explain(&queue, &host.get(&format!("queues/{queue}/explain")).await?);
        }
        Command::DeadLetters { queue, after, host } => {
            let after = after.map(|after| format!("?after={after}")).unwrap_or_default();
            dead_letters(&host.get(&format!("queues/{queue}/dead-letters{after}")).await?);
        }
        Command::Show { queue, id, host } => {
            let letter = host.get(&format!("queues/{queue}/dead-letters/{id}")).await?;
            say(&serde_json::to_string_pretty(&letter).context("writing JSON")?);
        }
        Command::Redrive { queue, which, host } => {
            let path = format!("queues/{queue}/redrive");
            let done = host.post(&path, &which.selection()).await?;
            say(&format!(
                "{} matched, {} redriven, {} unreadable",
                done["matched"], done["redriven"], done["unreadable"]
            ));
        }
        Command::Purge { queue, which, confirm, host } => {
            let mut selection = which.selection();
            selection["confirm"] = json!(confirm);
            let done = host.post(&format!("queues/{queue}/purge"), &selection).await?;
            say(&format!("{} matched, {} purged", done["matched"], done["purged"]));
        }
    }
    Ok(())
}

fn list(answer: &Value) {
    let mut table = Table::new(["QUEUE", "DEPTH", "LEASED", "OLDEST s", "CLAIMABLE s", "DEAD"]);
    for queue in answer["queues"].as_array().into_iter().flatten() {
        let age = |name: &str| match queue[name].as_f64() {
            Some(seconds) => format!("{seconds:.0}"),
            None => "-".to_owned(),
        };
        table.row([
            text(&queue["name"]).to_owned(),
            queue["depth"].to_string(),
            queue["inFlight"].to_string(),
            age("oldestAgeSeconds"),
            age("oldestClaimableAgeSeconds"),
            queue["deadLetters"].to_string(),
        ]);
    }
    table.lines().iter().for_each(|line| say(line));
}

fn explain(queue: &str, answer: &Value) {
    say(&format!("{queue}: {} waiting, {} leased", answer["depth"], answer["inFlight"]));
    let reasons = answer["reasons"].as_array().map(Vec::as_slice).unwrap_or_default();
    if reasons.is_empty() {
        say("  nothing holds it up");
    }
    reasons.iter().for_each(|reason| say(&format!("  {}", text(reason))));
    for group in answer["blocked"].as_array().into_iter().flatten() {
        say(&format!(
            "  group {} of {} messages: job {} is {} until {}",
            text(&group["group"]),
            group["waiting"],
            text(&group["head"]),
            text(&group["why"]),
            text(&group["until"]),
        ));
    }
}

fn dead_letters(answer: &Value) {
    let mut table = Table::new(["ID", "JOB", "DIED", "TRIES", "REASON"]);
    for letter in answer["deadLetters"].as_array().into_iter().flatten() {
        table.row([
            text(&letter["id"]),
            text(&letter["key"]),
            text(&letter["diedAt"]),
            &letter["receiveCount"].to_string(),
            text(&letter["reason"]),
        ]);
    }
    table.lines().iter().for_each(|line| say(line));
}

pub(super) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
