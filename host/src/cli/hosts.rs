//! `hoth host`: shows, drains and resumes a running host, through its admin API.

use serde_json::Value;
use serde_json::json;

use super::host::Host;
use super::queues::text;
use super::queues::time;
use super::say;
use super::table::Table;

#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Show the host: version, roles, readiness, jobs in hand, drain
    #[command(after_help = "Example:\n  hoth host show --json")]
    Show {
        #[command(flatten)]
        host: Host,
    },
    /// Take no more jobs, as before maintenance
    ///
    /// Jobs in hand continue; IN HAND of `hoth host show` counts them. The API
    /// still accepts requests, which wait on their queues, and delivers
    /// outcomes. A restart ends the drain.
    #[command(after_help = "Example:\n  hoth host drain && hoth host show")]
    Drain {
        #[command(flatten)]
        host: Host,
    },
    /// Take jobs again
    #[command(after_help = "Example:\n  hoth host resume")]
    Resume {
        #[command(flatten)]
        host: Host,
    },
}

/// Runs a command.
pub async fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Show { host } => host.show(&host.get("host").await?, list),
        Command::Drain { host } => act(&host, "drain", "drained").await,
        Command::Resume { host } => act(&host, "resume", "resumed").await,
    }
}

/// Sends the action `drain` or `resume`, and prints that it is done.
async fn act(host: &Host, action: &str, done: &str) -> anyhow::Result<()> {
    let view = host.post(&format!("host/{action}"), &json!({})).await?;
    host.show(&view, |view| {
        let in_hand = view["jobsInHand"].as_u64().unwrap_or_default();
        say(&format!("{} {done}; jobs in hand: {in_hand}", text(&view["name"])));
    })
}

fn list(view: &Value) {
    let mut table =
        Table::new(["HOST", "VERSION", "ROLES", "STARTED", "READY", "JOBS", "SINCE", "IN HAND"]);
    let roles: Vec<&str> = view["roles"].as_array().into_iter().flatten().map(text).collect();
    table.row([
        text(&view["name"]),
        text(&view["version"]),
        &roles.join(","),
        &time(&view["startedAt"]),
        if view["ready"] == true { "yes" } else { "no" },
        if view["drainedSince"].is_string() { "drained" } else { "active" },
        &time(&view["drainedSince"]),
        &view["jobsInHand"].to_string(),
    ]);
    table.lines().iter().for_each(|line| say(line));
}
