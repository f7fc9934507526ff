//! `hoth jobs`: tells where jobs are and what happened to them, through the
//! admin API of a running host. The acts on one job are in [`job_acts`].

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use anyhow::bail;
use serde_json::Value;
use url::form_urlencoded;

use super::host::Host;
use super::host::job_path;
use super::job_acts;
use super::job_journal;
use super::say;
use super::table::Table;
use hoth_core::domain::Timestamp;
use hoth_core::domain::printable;
use hoth_platform::clock::Clock;

/// The bounds of the pause between two looks of `watch`.
const WATCH_EVERY: std::ops::RangeInclusive<u64> = 1..=3_600;

#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// List jobs, the newest first
    ///
    /// Times are in UTC. A queued or waiting job is HELD while its host begins no
    /// jobs of its CSP.
    #[command(after_help = "Examples:\n  hoth jobs list --failed --since 1d\n  \
                      hoth jobs list --csp CSP_A --state WAITING\n  \
                      hoth jobs list --portfolio 12345 --json")]
    List {
        #[command(flatten)]
        filter: Filter,
        #[command(flatten)]
        host: Host,
    },
    /// Show where a job is, and everything that happened to it
    #[command(after_help = "Example:\n  hoth jobs show 0198c1f0-7c1e-7d6a-9d4e-1f2a3b4c5d6e")]
    Show {
        /// Job id or request id
        id: String,
        #[command(flatten)]
        host: Host,
    },
    /// Show the journal of a finished job, or save it
    ///
    /// The journal has what the adapter was told, redacted, and the steps that
    /// it took. A saved journal is an input of `hoth adapter run` and `hoth
    /// adapter test`.
    #[command(
        after_help = "Examples:\n  hoth jobs journal 0198c1f0-7c1e-7d6a-9d4e-1f2a3b4c5d6e\n  \
                      hoth jobs journal 0198c1f0-7c1e-7d6a-9d4e-1f2a3b4c5d6e --save journals"
    )]
    Journal {
        /// Job id or request id
        id: String,
        /// Write the journal to a file in this directory
        #[arg(long, value_name = "DIR")]
        save: Option<PathBuf>,
        #[command(flatten)]
        host: Host,
    },
    /// Follow a job until it ends: print each change of its state
    #[command(
        after_help = "Example:\n  hoth jobs watch 0198c1f0-7c1e-7d6a-9d4e-1f2a3b4c5d6e --every 5"
    )]
    Watch {
        /// Job id or request id
        id: String,
        /// Seconds between two looks
        #[arg(long, value_name = "SECONDS", default_value_t = 2,
              value_parser = clap::value_parser!(u64).range(WATCH_EVERY))]
        every: u64,
        #[command(flatten)]
        host: Host,
    },
    #[command(flatten)]
    Act(job_acts::Command),
}

/// A selection of jobs; without any option the newest ones.
#[derive(Debug, clap::Args)]
pub struct Filter {
    /// Select the jobs of this CSP
    #[arg(long, value_name = "NAME")]
    csp: Option<String>,
    /// Select jobs in these states, separated by commas: QUEUED, WAITING,
    /// SUCCEEDED, FAILED, COLLECTED, DEAD
    #[arg(long, value_name = "STATES", conflicts_with = "failed")]
    state: Option<String>,
    /// Select failed jobs: FAILED and DEAD
    #[arg(long)]
    failed: bool,
    /// Select jobs with news since then: 30m, 12h, 7d, or a time of RFC 3339
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Select the jobs of this portfolio
    #[arg(long, value_name = "ID")]
    portfolio: Option<String>,
    /// Select jobs with this operation: ADD_PORTFOLIO, …
    #[arg(long, value_name = "OPERATION")]
    operation: Option<String>,
    /// Maximum number of jobs
    #[arg(long, value_name = "NUMBER", default_value_t = 50)]
    limit: u32,
}

impl Filter {
    /// Returns the query of a request to the admin API.
    fn query(&self, now: Timestamp) -> anyhow::Result<String> {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair("limit", &self.limit.to_string());
        let state = if self.failed { Some("FAILED,DEAD") } else { self.state.as_deref() };
        let since = self.since.as_deref().map(|text| since(text, now)).transpose()?;
        for (name, value) in [
            ("csp", self.csp.as_deref()),
            ("state", state),
            ("since", since.as_deref()),
            ("portfolioId", self.portfolio.as_deref()),
            ("operation", self.operation.as_deref()),
        ] {
            if let Some(value) = value {
                query.append_pair(name, value);
            }
        }
        Ok(query.finish())
    }
}

/// Runs a command.
pub async fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::List { filter, host } => {
            let query = filter.query(Clock::system().wall())?;
            host.show(&host.get(&format!("jobs?{query}")).await?, list)
        }
        Command::Show { id, host } => host.show(&host.get(&job_path(&id)).await?, show),
        Command::Journal { id, save, host } => {
            job_journal::run(&id, &job_path(&id), save.as_deref(), &host).await
        }
        Command::Act(act) => job_acts::run(act).await,
        Command::Watch { id, every, host } => watch(&id, Duration::from_secs(every), &host).await,
    }
}

/// Returns a time of RFC 3339 for one, or for a time before now.
fn since(text: &str, now: Timestamp) -> anyhow::Result<String> {
    if let Some(time) = Timestamp::parse_rfc3339(text) {
        return Ok(time.to_rfc3339());
    }
    let bad = || format!("`{text}` is not a time: expected 30m, 12h, 7d or 2026-12-01T10:00:00Z");
    let unit = text.chars().last().with_context(bad)?;
    let number: u64 = text[..text.len() - unit.len_utf8()].parse().ok().with_context(bad)?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        _ => bail!(bad()),
    };
    let ago = number.saturating_mul(seconds).saturating_mul(1_000);
    Ok(Timestamp::from_millis(now.as_millis().saturating_sub(ago)).to_rfc3339())
}

fn list(answer: &Value) {
    let mut table =
        Table::new(["JOB", "CSP", "OPERATION", "STATE", "SINCE", "TOOK", "CODE", "WHY"]);
    for job in answer["jobs"].as_array().into_iter().flatten() {
        let why = match (job["held"].as_str(), job["reason"].as_str()) {
            (Some(held), _) => held_words(held),
            (None, Some(reason)) => reason,
            (None, None) => text(&job["note"]),
        };
        let state = if job["held"].is_null() { text(&job["state"]) } else { "HELD" };
        table.row([
            text(&job["id"]).to_owned(),
            or_dash(text(&job["csp"])),
            or_dash(text(&job["operation"])),
            state.to_owned(),
            time(text(&job["since"])),
            job["tookMs"].as_u64().map_or_else(|| "-".to_owned(), millis),
            job["code"].as_u64().map_or_else(|| "-".to_owned(), |code| code.to_string()),
            why.to_owned(),
        ]);
    }
    table.lines().iter().for_each(|line| say(line));
    if !answer["next"].is_null() {
        say("There are more; give a larger --limit or a narrower filter.");
    }
}

/// Returns the words for the cause of a hold.
fn held_words(word: &str) -> &str {
    match word {
        "paused" => "the CSP is paused",
        "down" => "the CSP does not respond",
        "secret" => "a secret of the CSP is missing",
        "no-adapter" => "no version of the adapter is active",
        "unknown-csp" => "the CSP is not configured",
        "drained" => "the host is drained",
        // Of a later release.
        other => other,
    }
}

fn show(answer: &Value) {
    let (status, job) = (&answer["status"], &answer["job"]);
    let id = [&status["jobId"], &status["requestId"], &job["id"]];
    let id = id.into_iter().find_map(Value::as_str).unwrap_or_default();
    let state = if status.is_null() { &job["state"] } else { &status["state"] };
    say(&printable(&format!("{id}: {}", text(state))));
    if !status["detail"].is_null() {
        say(&printable(&format!("  {}", text(&status["detail"]))));
    }
    let facts = [
        ("CSP", text(&status["targetCspName"]).to_owned()),
        ("operation", text(&status["operationType"]).to_owned()),
        ("portfolio", text(&status["portfolioId"]).to_owned()),
        ("accepted", time(text(&status["acceptedAt"]))),
        ("by", text(&job["acceptedBy"]).to_owned()),
        ("version", text(&job["version"]).to_owned()),
        ("reference", text(&status["progress"]["reference"]).to_owned()),
    ];
    for (name, value) in facts.into_iter().filter(|(_, value)| !value.is_empty() && value != "-") {
        say(&printable(&format!("  {name}: {value}")));
    }
    if let Some(details) = status["progress"].get("details") {
        say(&printable(&format!("  details: {details}")));
    }
    if !answer["journal"].is_null() {
        say(&printable(&format!("  journal: hoth jobs journal {id}")));
    }
    let events = answer["events"].as_array().map(Vec::as_slice).unwrap_or_default();
    if !events.is_empty() {
        say("");
    }
    let mut table = Table::new(["AT", "TOOK", "EVENT", "FACTS"]);
    for event in events {
        let took = event["tookUs"].as_u64().map_or_else(String::new, micros);
        table.row([time(text(&event["at"])), took, text(&event["event"]).to_owned(), line(event)]);
    }
    table.lines().iter().skip(usize::from(events.is_empty())).for_each(|line| say(line));
}

/// Returns the facts of an event: `attempt=1 waitedMs=2`.
fn line(event: &Value) -> String {
    let mut line = String::new();
    for (name, value) in event.as_object().into_iter().flatten() {
        if ["at", "tookUs", "event"].contains(&name.as_str()) {
            continue;
        }
        let space = if line.is_empty() { "" } else { " " };
        let value = match value.as_str() {
            Some(text) if text.contains(' ') => format!("{text:?}"),
            Some(text) => text.to_owned(),
            None => value.to_string(),
        };
        write!(line, "{space}{name}={value}").expect("writing to a string succeeds");
    }
    line
}

/// Prints each change of a job's state until it ends.
async fn watch(id: &str, every: Duration, host: &Host) -> anyhow::Result<()> {
    let mut last = String::new();
    // Ends with the job; an operator ends it before.
    loop {
        let answer = host.get(&job_path(id)).await?;
        let (status, job) = (&answer["status"], &answer["job"]);
        let state = text(if status.is_null() { &job["state"] } else { &status["state"] });
        let now = format!("{state}: {}", text(&status["detail"]));
        if now != last {
            let at = time(&Clock::system().wall().to_rfc3339());
            match host.json {
                true => say(&status.to_string()),
                false => say(&printable(&format!("{at}  {now}"))),
            }
            last = now;
        }
        if matches!(state, "SUCCEEDED" | "FAILED" | "COLLECTED" | "DEAD") {
            return Ok(());
        }
        tokio::time::sleep(every).await;
    }
}

/// Returns a time for people: `2026-12-01 10:02:03`, in UTC.
fn time(rfc3339: &str) -> String {
    match (rfc3339.get(..10), rfc3339.get(11..19)) {
        (Some(date), Some(time)) => format!("{date} {time}"),
        _ => "-".to_owned(),
    }
}

fn micros(micros: u64) -> String {
    match micros {
        0..1_000 => format!("{micros} µs"),
        _ => millis(micros / 1_000),
    }
}

/// Returns a time in milliseconds with its units.
pub(super) fn millis(millis: u64) -> String {
    match millis {
        0..1_000 => format!("{millis} ms"),
        1_000..60_000 => format!("{}.{} s", millis / 1_000, millis % 1_000 / 100),
        60_000..3_600_000 => format!("{} min {} s", millis / 60_000, millis % 60_000 / 1_000),
        _ => format!("{} h {} min", millis / 3_600_000, millis % 3_600_000 / 60_000),
    }
}

fn or_dash(text: &str) -> String {
    if text.is_empty() { "-".to_owned() } else { text.to_owned() }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_durations_are_readable() {
        assert_eq!(time("2026-12-01T10:02:03.5Z"), "2026-12-01 10:02:03");
        assert_eq!(time(""), "-");
        for (given, expected) in
            [(7, "7 ms"), (1_250, "1.2 s"), (61_000, "1 min 1 s"), (7_260_000, "2 h 1 min")]
        {
            assert_eq!(millis(given), expected);
        }
        assert_eq!((micros(90), micros(2_500)), ("90 µs".to_owned(), "2 ms".to_owned()));
    }

    #[test]
    fn a_time_before_now_has_a_unit() {
        let now = Timestamp::parse_rfc3339("2026-12-02T10:00:00Z").expect("a time");
        for (given, expected) in [
            ("30m", "2026-12-02T09:30:00Z"),
            ("12h", "2026-12-01T22:00:00Z"),
            ("1d", "2026-12-01T10:00:00Z"),
            ("2026-12-01T00:00:00+01:00", "2026-11-30T23:00:00Z"),
        ] {
            assert_eq!(since(given, now).expect(given), expected);
        }
        for bad in ["", "1", "d", "1w", "-1d", "1 d", "üd"] {
            assert!(since(bad, now).is_err(), "{bad}");
        }
    }
}
