//! `hoth csps`: shows, pauses and resumes the CSPs of a running host, through its
//! admin API.

use serde_json::Value;
use serde_json::json;

use super::host::Host;
use super::jobs::millis;
use super::queues::text;
use super::queues::time;
use super::say;
use super::table::Table;
use hoth_core::domain::printable;

/// The changes of breakers that are printed; `--json` has all.
const CHANGES_MAX: usize = 20;

#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// List CSPs with pause, circuit breaker and missing credentials
    ///
    /// JOBS is `held back` while the breaker lets no new job through but one at
    /// NEXT PROBE. BREAKER is `closed` while the CSP responds, `open` or `half-open` while
    /// its jobs wait because it does not, and `given-up` when they have waited
    /// for `breaker.max_hold_ms`. SINCE is the time of the last change. CALLS,
    /// FAILED and P50 are of the calls of this host in the last hour; a call
    /// fails without an answer, or with a status from 400 on.
    #[command(after_help = "Example:\n  hoth csps list")]
    List {
        #[command(flatten)]
        host: Host,
    },
    /// Show one CSP: calls by status, history of its breakers, state of its tokens
    ///
    /// Calls and history are of this host since its start.
    #[command(after_help = "Example:\n  hoth csps show CSP_A --json")]
    Show {
        /// CSP name, as `hoth csps list` shows it
        name: String,
        #[command(flatten)]
        host: Host,
    },
    /// Pause the jobs of a CSP
    ///
    /// Jobs in hand continue. A restart ends the pause; `paused = true` in the
    /// configuration is permanent.
    #[command(after_help = "Example:\n  hoth csps pause CSP_A")]
    Pause {
        /// CSP name, as `hoth csps list` shows it
        name: String,
        #[command(flatten)]
        host: Host,
    },
    /// Close the circuit breakers of a CSP, so that its jobs run at once
    ///
    /// For a CSP that is up again, in place of a wait for the next probe. A
    /// breaker opens again if calls still fail.
    #[command(after_help = "Example:\n  hoth csps reset-breaker CSP_A")]
    ResetBreaker {
        /// CSP name, as `hoth csps list` shows it
        name: String,
        #[command(flatten)]
        host: Host,
    },
    /// Resume the jobs of a CSP
    #[command(after_help = "Example:\n  hoth csps resume CSP_A")]
    Resume {
        /// CSP name, as `hoth csps list` shows it
        name: String,
        #[command(flatten)]
        host: Host,
    },
}

/// Runs a command.
pub async fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::List { host } => host.show(&host.get("csps").await?, list),
        Command::Show { name, host } => {
            let csp = host.get(&format!("csps/{name}")).await?;
            host.show(&csp, show)
        }
        Command::ResetBreaker { name, host } => {
            let reset = host.post(&format!("csps/{name}/reset-breaker"), &json!({})).await?;
            host.show(&reset, |reset| match reset["reset"].as_u64() {
                Some(0) => say(&format!("no breaker of {name} was open")),
                _ => say(&format!("{name} reset")),
            })
        }
        Command::Pause { name, host } => set_paused(&host, &name, "pause", "paused").await,
        Command::Resume { name, host } => set_paused(&host, &name, "resume", "resumed").await,
    }
}

/// Sends the action `pause` or `resume`, and prints that it is done.
async fn set_paused(host: &Host, name: &str, action: &str, done: &str) -> anyhow::Result<()> {
    let state = host.post(&format!("csps/{name}/{action}"), &json!({})).await?;
    host.show(&state, |_| say(&format!("{name} {done}")))
}

fn list(answer: &Value) {
    let mut table = Table::new([
        "CSP",
        "ADAPTER",
        "JOBS",
        "BREAKER",
        "SINCE",
        "NEXT PROBE",
        "CALLS",
        "FAILED",
        "P50",
        "MISSING CREDENTIALS",
    ]);
    for csp in answer["csps"].as_array().into_iter().flatten() {
        let hour = &csp["calls"]["lastHour"];
        let missing = csp["missingCredentials"].as_array().into_iter().flatten();
        let missing: Vec<_> = missing.map(text).collect();
        table.row([
            text(&csp["name"]),
            text(&csp["adapter"]),
            job_status(csp),
            text(&csp["breaker"]["state"]),
            &time(&csp["breaker"]["since"]),
            &time(&csp["breaker"]["nextProbeAt"]),
            &hour["calls"].to_string(),
            &hour["failed"].to_string(),
            &hour["p50Ms"].as_f64().map_or_else(|| "-".to_owned(), whole_millis),
            &missing.join(","),
        ]);
    }
    table.lines().iter().for_each(|line| say(line));
}

/// Prints one CSP in detail.
fn show(csp: &Value) {
    list(&json!({ "csps": [csp] }));
    let version = &csp["adapterVersion"];
    if !version.is_null() {
        let digest = text(&version["sha256"]);
        let digest = digest.get(..12).unwrap_or(digest);
        say("");
        say(&printable(&format!("adapter: {} {digest}", text(&version["version"]))));
    }
    let operations = csp["operations"].as_array().into_iter().flatten();
    say(&format!("operations: {}", operations.map(text).collect::<Vec<_>>().join(", ")));
    let limits = &csp["limits"];
    say(&format!("calls at a time: {} of at most {}", limits["callsInFlight"], limits["callsMax"]));
    say("");
    let mut table = Table::new(["CALLS", "COUNT", "BY STATUS", "P50", "P99"]);
    for (name, window) in [("last hour", "lastHour"), ("last 24 hours", "lastDay")] {
        let window = &csp["calls"][window];
        let statuses = window["byStatus"].as_object().into_iter().flatten();
        let statuses: Vec<_> =
            statuses.map(|(status, calls)| format!("{status}: {calls}")).collect();
        let took = |name: &str| window[name].as_f64().map_or_else(|| "-".to_owned(), whole_millis);
        let count = window["calls"].to_string();
        table.row([name, &count, &statuses.join(", "), &took("p50Ms"), &took("p99Ms")]);
    }
    table.lines().iter().for_each(|line| say(line));
    print_history(csp);
    print_credentials(csp);
}

fn print_history(csp: &Value) {
    let changes = csp["breakerHistory"].as_array().map(Vec::as_slice).unwrap_or_default();
    if changes.is_empty() {
        return;
    }
    say("");
    let mut table = Table::new(["BREAKER", "ORIGIN", "CHANGE", "JOBS", "PROBES", "CAUSE", "AFTER"]);
    for change in changes.iter().take(CHANGES_MAX) {
        let number = |name: &str| change[name].as_u64().map_or_else(String::new, |n| n.to_string());
        let after = change["afterSeconds"].as_f64();
        table.row([
            &time(&change["at"]),
            text(&change["origin"]),
            text(&change["change"]),
            &number("jobs"),
            &number("probes"),
            text(&change["cause"]),
            &after.map_or_else(String::new, |seconds| whole_millis(seconds * 1e3)),
        ]);
    }
    table.lines().iter().for_each(|line| say(line));
}

fn print_credentials(csp: &Value) {
    let credentials = csp["credentials"].as_array().map(Vec::as_slice).unwrap_or_default();
    if credentials.is_empty() {
        return;
    }
    say("");
    let mut table =
        Table::new(["CREDENTIAL", "KIND", "TOKENS", "USED UNTIL", "OBTAINED", "LAST FAILURE"]);
    for credential in credentials {
        let token = &credential["token"];
        let usable = token["usable"].as_u64().map_or_else(|| "-".to_owned(), |n| n.to_string());
        let failure = match token["failure"].as_str() {
            Some(failure) => {
                printable(&format!("{} {failure}", time(&token["failedAt"]))).into_owned()
            }
            None => "-".to_owned(),
        };
        table.row([
            credential["name"].as_str().unwrap_or("default"),
            text(&credential["kind"]),
            &usable,
            &time(&token["usedUntil"]),
            &time(&token["obtainedAt"]),
            &failure,
        ]);
    }
    table.lines().iter().for_each(|line| say(line));
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a time is not negative, and the cast saturates"
)]
fn whole_millis(ms: f64) -> String {
    millis(ms.round() as u64)
}

fn job_status(csp: &Value) -> &'static str {
    let is_held = matches!(text(&csp["breaker"]["state"]), "open" | "half-open");
    match (csp["paused"] == true, csp["missingSecret"].is_string(), is_held) {
        (true, _, _) => "paused",
        (false, true, _) => "no secret",
        (false, false, true) => "held back",
        (false, false, false) => "active",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_jobs_of_a_csp_are_described_by_what_holds_them() {
        for (csp, expected) in [
            (json!({"breaker": {"state": "closed"}}), "active"),
            (json!({"breaker": {"state": "given-up"}}), "active"),
            (json!({"breaker": {"state": "half-open"}}), "held back"),
            (json!({"breaker": {"state": "open"}}), "held back"),
            (json!({"breaker": {"state": "open"}, "missingSecret": "s"}), "no secret"),
            (json!({"breaker": {"state": "open"}, "paused": true}), "paused"),
        ] {
            assert_eq!(job_status(&csp), expected, "{csp}");
        }
    }
}
