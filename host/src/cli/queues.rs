//! `hoth queues`: inspects and repairs the queues of a running host, through its
//! admin API.

use anyhow::Context as _;
use anyhow::ensure;
use serde_json::Value;
use serde_json::json;

use super::host::Host;
use super::say;
use super::table::Table;

#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// List queues with depth, leases, ages, dead letters, rates and waits
    ///
    /// OLDEST is the age of the oldest message, CLAIMABLE that of the oldest
    /// message that can be leased now, both in seconds. IN, OUT and WAIT are of
    /// the last hour, as this host has seen it since its start.
    #[command(after_help = "Example:\n  hoth queues list")]
    List {
        #[command(flatten)]
        host: Host,
    },
    /// Explain why messages of a queue are not processed
    #[command(after_help = "Example:\n  hoth queues explain provisioning-requests-CSP_A")]
    Explain {
        /// Queue name, as `hoth queues list` shows it
        queue: String,
        #[command(flatten)]
        host: Host,
    },
    /// List the dead letters of a queue: messages that could not be processed
    #[command(after_help = "Example:\n  hoth queues dead-letters provisioning-requests-CSP_A")]
    DeadLetters {
        /// Queue name, as `hoth queues list` shows it
        queue: String,
        /// Continue after this dead letter [default: start with the oldest]
        #[arg(long, value_name = "ID")]
        after: Option<String>,
        #[command(flatten)]
        host: Host,
    },
    /// Show a dead letter as JSON; with its body for the role `admin`
    ///
    /// The body holds business data.
    #[command(after_help = "Example:\n  hoth queues show provisioning-requests-CSP_A 42")]
    Show {
        /// Queue name, as `hoth queues list` shows it
        queue: String,
        /// Id of the dead letter, as `hoth queues dead-letters` shows it
        id: String,
        #[command(flatten)]
        host: Host,
    },
    /// Send dead letters back to their queue
    #[command(
        after_help = "Examples:\n  hoth queues redrive provisioning-requests-CSP_A --dry-run\n  \
                      hoth queues redrive provisioning-requests-CSP_A --reason unreadable --max 10"
    )]
    Redrive {
        /// Queue name, as `hoth queues list` shows it
        queue: String,
        #[command(flatten)]
        selection: Selection,
        #[command(flatten)]
        host: Host,
    },
    /// Delete dead letters permanently
    #[command(
        after_help = "Example:\n  hoth queues purge provisioning-requests-CSP_A --confirm provisioning-requests-CSP_A"
    )]
    Purge {
        /// Queue name, as `hoth queues list` shows it
        queue: String,
        #[command(flatten)]
        selection: Selection,
        /// Name of the queue again, to confirm; required unless --dry-run is
        /// given
        #[arg(long, value_name = "QUEUE")]
        confirm: Option<String>,
        #[command(flatten)]
        host: Host,
    },
}

/// A selection of dead letters; without any option all of a queue.
#[derive(Debug, clap::Args)]
pub struct Selection {
    /// Select the dead letters of this job; can be repeated
    #[arg(long = "job", value_name = "ID")]
    jobs: Vec<String>,
    /// Select dead letters whose reason contains this text
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Maximum number of dead letters, oldest first [default: no limit]
    #[arg(long, value_name = "NUMBER")]
    max: Option<u64>,
    /// Count the selected dead letters and change nothing
    #[arg(long)]
    dry_run: bool,
}

impl Selection {
    /// Fails if there are criteria, and no dead letter of the queue meets them.
    fn expect_matches(&self, queue: &str, done: &Value) -> anyhow::Result<()> {
        let has_criteria = !self.jobs.is_empty() || self.reason.is_some();
        ensure!(
            !has_criteria || done["matched"] != 0,
            "no dead letter of {queue} matches; `hoth queues dead-letters {queue}` lists them"
        );
        Ok(())
    }

    /// Returns the body of a request to the admin API.
    fn to_json(&self) -> Value {
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

/// Runs a command.
pub async fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::List { host } => host.show(&host.get("queues").await?, list),
        Command::Explain { queue, host } => {
            let answer = host.get(&format!("queues/{queue}/explain")).await?;
            host.show(&answer, |answer| explain(&queue, answer))
        }
        Command::DeadLetters { queue, after, host } => {
            let after = after.map(|after| format!("?after={after}")).unwrap_or_default();
            let answer = host.get(&format!("queues/{queue}/dead-letters{after}")).await?;
            host.show(&answer, dead_letters)
        }
        Command::Show { queue, id, host } => {
            let letter = host.get(&format!("queues/{queue}/dead-letters/{id}")).await?;
            say(&serde_json::to_string_pretty(&letter).context("writing JSON")?);
            Ok(())
        }
        Command::Redrive { queue, selection, host } => {
            let path = format!("queues/{queue}/redrive");
            let done = host.post(&path, &selection.to_json()).await?;
            let counts = ["matched", "redriven", "unreadable"];
            host.show(&done, |done| say(&counted(done, &counts)))?;
            selection.expect_matches(&queue, &done)
        }
        Command::Purge { queue, selection, confirm, host } => {
            ensure!(
                selection.dry_run || confirm.as_ref() == Some(&queue),
                "purging is permanent: add `--confirm {queue}`, or `--dry-run` to count only"
            );
            let mut body = selection.to_json();
            body["confirm"] = json!(confirm);
            let done = host.post(&format!("queues/{queue}/purge"), &body).await?;
            host.show(&done, |done| say(&counted(done, &["matched", "purged"])))?;
            selection.expect_matches(&queue, &done)
        }
    }
}

/// Returns the counts of a response as text: `2 matched, 2 purged`.
fn counted(done: &Value, names: &[&str]) -> String {
    let counts: Vec<String> = names.iter().map(|name| format!("{} {name}", done[*name])).collect();
    counts.join(", ")
}

fn list(answer: &Value) {
    let mut table = Table::new([
        "QUEUE",
        "DEPTH",
        "LEASED",
        "OLDEST s",
        "CLAIMABLE s",
        "DEAD",
        "IN/min",
        "OUT/min",
        "WAIT p50 ms",
        "p99 ms",
    ]);
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
            of_hour(queue, "inPerMinute"),
            of_hour(queue, "outPerMinute"),
            of_hour(queue, "waitP50Ms"),
            of_hour(queue, "waitP99Ms"),
        ]);
    }
    table.lines().iter().for_each(|line| say(line));
}

/// Returns a number about the last hour, with one decimal.
fn of_hour(queue: &Value, name: &str) -> String {
    queue["lastHour"][name].as_f64().map_or_else(|| "-".to_owned(), |number| format!("{number:.1}"))
}

fn explain(queue: &str, answer: &Value) {
    say(&format!("{queue}: {} waiting, {} leased", answer["depth"], answer["inFlight"]));
    let reasons = answer["reasons"].as_array().map(Vec::as_slice).unwrap_or_default();
    if reasons.is_empty() {
        say("  no problem found");
    }
    reasons.iter().for_each(|reason| say(&format!("  {}", text(reason))));
    for group in answer["blocked"].as_array().into_iter().flatten() {
        say(&format!(
            "  group {} of {} messages: job {} is {}",
            text(&group["group"]),
            group["waiting"],
            text(&group["head"]),
            state_of_head(text(&group["why"]), text(&group["until"])),
        ));
    }
}

/// Describes the state of the job at the head of a group.
fn state_of_head(why: &str, until: &str) -> String {
    match why {
        "leased-to-worker" => format!("running (lease until {until})"),
        "leased-to-client" => format!("leased to an HTTP client until {until}"),
        "not-due" => format!("due at {until}"),
        // A later host may know further states.
        other => format!("{other} until {until}"),
    }
}

fn dead_letters(answer: &Value) {
    let mut table = Table::new(["ID", "JOB", "DIED", "TRIES", "REASON"]);
    for letter in answer["deadLetters"].as_array().into_iter().flatten() {
        table.row([
            text(&letter["id"]),
            text(&letter["key"]),
            &time(&letter["diedAt"]),
            &letter["receiveCount"].to_string(),
            text(&letter["reason"]),
        ]);
    }
    table.lines().iter().for_each(|line| say(line));
}

/// Returns a time to the second, so that the times of a column can be compared.
pub(super) fn time(value: &Value) -> String {
    let text = text(value);
    match text.split_once('.') {
        Some((seconds, _)) => format!("{seconds}Z"),
        None => text.to_owned(),
    }
}

pub(super) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
