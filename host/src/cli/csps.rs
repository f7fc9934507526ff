//! `hoth csps`: shows, pauses and resumes the CSPs of a running host, through its
//! admin API.

use serde_json::Value;
use serde_json::json;

use super::adapters::Host;
use super::queues::text;
use super::say;
use super::table::Table;

#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// List CSPs with pause, circuit breaker and missing credentials
    ///
    /// BREAKER is `closed` while the CSP responds, `open` or `half-open` while
    /// its jobs wait because it does not, and `given-up` when they have waited
    /// for `breaker.max_hold_ms`. SINCE is the time of the last change.
    #[command(after_help = "Example:\n  hoth csps list")]
    List {
        #[command(flatten)]
        host: Host,
    },
    /// Pause the jobs of a CSP
    ///
    /// Jobs in hand continue. A restart ends the pause; `paused = true` in the
    /// configuration is permanent.
    #[command(after_help = "Example:\n  hoth csps pause CSP_A")]
    Pause {
        /// CSP name, as in the table `[csp.NAME]`
        name: String,
        #[command(flatten)]
        host: Host,
    },
    /// Resume the jobs of a CSP
    #[command(after_help = "Example:\n  hoth csps resume CSP_A")]
    Resume {
        /// CSP name, as in the table `[csp.NAME]`
        name: String,
        #[command(flatten)]
        host: Host,
    },
}

/// Runs a command.
pub async fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::List { host } => list(&host.get("csps").await?),
        Command::Pause { name, host } => set_paused(&host, &name, "pause").await?,
        Command::Resume { name, host } => set_paused(&host, &name, "resume").await?,
    }
    Ok(())
}

/// Sends the action `pause` or `resume`, and prints the new status.
async fn set_paused(host: &Host, name: &str, action: &str) -> anyhow::Result<()> {
    let state = host.post(&format!("csps/{name}/{action}"), &json!({})).await?;
    say(&format!("{name} is {}", job_status(&state)));
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
            job_status(csp),
            text(&csp["breaker"]["state"]),
            text(&csp["breaker"]["since"]),
            &missing.join(","),
        ]);
    }
    table.lines().iter().for_each(|line| say(line));
}

fn job_status(csp: &Value) -> &'static str {
    match (csp["paused"] == true, csp["missingSecret"].is_string()) {
        (true, _) => "paused",
        (false, true) => "no secret",
        (false, false) => "active",
    }
}
