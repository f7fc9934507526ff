//! `hoth csps`: how the CSPs of a running host stand, through its admin API.

use serde_json::Value;
use serde_json::json;

use super::adapters::Host;
use super::queues::text;
use super::say;
use super::table::Table;

#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Shows which CSPs are paused, and which are left alone as they are down.
    #[command(after_help = "Example:\n  hoth csps list")]
    List {
        #[command(flatten)]
        host: Host,
    },
    /// Holds a CSP's jobs back; those in hand go on.
    #[command(after_help = "Example:\n  hoth csps pause CSP_A")]
    Pause {
        name: String,
        #[command(flatten)]
        host: Host,
    },
    /// Lets a CSP's jobs go on.
    #[command(after_help = "Example:\n  hoth csps resume CSP_A")]
    Resume {
        name: String,
        #[command(flatten)]
        host: Host,
    },
}

/// Carries out a command about CSPs.
pub async fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::List { host } => list(&host.get("csps").await?),
        Command::Pause { name, host } => switch(&host, &name, "pause").await?,
        Command::Resume { name, host } => switch(&host, &name, "resume").await?,
    }
    Ok(())
}

async fn switch(host: &Host, name: &str, act: &str) -> anyhow::Result<()> {
    let state = host.post(&format!("csps/{name}/{act}"), &json!({})).await?;
    say(&format!("{name} is {}", work(&state)));
    Ok(())
}

fn list(answer: &Value) {
    let mut table =
        Table::new(["CSP", "ADAPTER", "JOBS", "BREAKER", "SINCE", "MISSING CREDENTIALS"]);
    for csp in answer["csps"].as_array().into_iter().flatten() {
        let missing = csp["missingCredentials"].as_array().into_iter().flatten();
        let missing: Vec<_> = missing.map(text).collect();
        table.row([
            text(&csp["name"]),
            text(&csp["adapter"]),
            work(csp),
            text(&csp["breaker"]["state"]),
            text(&csp["breaker"]["since"]),
            &missing.join(","),
        ]);
    }
    table.lines().iter().for_each(|line| say(line));
}

fn work(csp: &Value) -> &'static str {
    match csp["paused"] == true {
        true => "paused",
        false => "at work",
    }
}
