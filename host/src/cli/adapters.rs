//! `hoth adapters`: lists, deploys and rolls back the adapters of a running
//! host, through its admin API.

use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;
use std::time::Instant;

use anyhow::Context as _;
use anyhow::bail;
use anyhow::ensure;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use reqwest::Method;
use serde::Deserialize;
use serde_json::Value;

use super::host::Host;
use super::queues::time;
use super::say;
use super::table::Table;
use crate::replay::Policy;
use crate::replay::ReplayReport;

/// Time between two progress lines.
const PROGRESS_EVERY: Duration = Duration::from_secs(2);

/// Digits of a digest in tables.
const SHORT_DIGEST: usize = 12;

#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// List adapters and their versions
    #[command(
        after_help = "Examples:\n  hoth adapters list\n  hoth adapters list --config /etc/hoth/hoth.toml --json"
    )]
    List {
        #[command(flatten)]
        host: Host,
    },
    /// Validate a component and activate it
    #[command(
        after_help = "Examples:\n  hoth adapters deploy atat.wasm\n  hoth adapters deploy build/new.wasm --name atat --dry-run\n  minisign -S -m atat.wasm && hoth adapters deploy atat.wasm --signature atat.wasm.minisig"
    )]
    Deploy {
        /// Component to deploy
        #[arg(value_name = "FILE.wasm")]
        file: PathBuf,
        /// Adapter name in the configuration [default: the file name without
        /// its extension]
        #[arg(long)]
        name: Option<String>,
        /// Signature made by minisign, if the host requires one
        #[arg(long, value_name = "FILE.minisig")]
        signature: Option<PathBuf>,
        /// Only compare the component with the active version on recorded jobs;
        /// fails if the policy would refuse it
        #[arg(long)]
        dry_run: bool,
        /// Replay policy for this deployment, instead of the configured one
        #[arg(long, value_name = "POLICY", value_parser = ["off", "warn", "block"])]
        replay: Option<String>,
        #[command(flatten)]
        host: Host,
    },
    /// Replay the journals on a retained version, and print the report
    ///
    /// The version is compared with the active one, and the active one with the
    /// version before it. Nothing is activated.
    #[command(
        after_help = "Examples:\n  hoth adapters replay atat\n  hoth adapters replay atat --version 3f9a0c21b7de"
    )]
    Replay {
        /// Adapter name
        name: String,
        /// Version to replay, by the first digits of its SHA-256 [default: the
        /// candidate of the last report, or the active version]
        #[arg(long, value_name = "SHA256")]
        version: Option<String>,
        #[command(flatten)]
        host: Host,
    },
    /// Activate an earlier version
    ///
    /// It stays active, also over restarts, until another component is
    /// deployed.
    #[command(
        after_help = "Examples:\n  hoth adapters rollback atat\n  hoth adapters rollback atat --to 3f9a0c21b7de"
    )]
    Rollback {
        /// Adapter name
        name: String,
        /// Version to activate, by the first digits of its SHA-256 as shown by
        /// `hoth adapters list` [default: the previously active version]
        #[arg(long, value_name = "SHA256")]
        to: Option<String>,
        #[command(flatten)]
        host: Host,
    },
}

#[derive(Debug, Deserialize)]
struct Listing {
    adapters: Vec<Adapter>,
}

#[derive(Debug, Deserialize)]
struct Adapter {
    name: String,
    csps: Vec<String>,
    versions: Vec<Version>,
    problem: Option<String>,
    refused: Option<LastRefusal>,
    replay: Option<LastReplay>,
}

#[derive(Debug, Deserialize)]
struct LastReplay {
    at: String,
    candidate: String,
    policy: Policy,
    summary: String,
}

#[derive(Debug, Deserialize)]
struct LastRefusal {
    at: String,
    sha256: String,
    message: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Version {
    sha256: String,
    version: String,
    active: bool,
    size: u64,
    arrived_at: String,
    loaded: bool,
    jobs_in_flight: u64,
    waiting_jobs: Option<u64>,
    usage: Usage,
    failing: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Usage {
    calls: u64,
    traps: u64,
    timeouts: u64,
    out_of_memory: u64,
    invalid: u64,
    seconds: f64,
    memory_max_bytes: u64,
}

impl Usage {
    fn failures(&self) -> u64 {
        self.traps + self.timeouts + self.out_of_memory + self.invalid
    }

    /// Returns the mean time of a call in milliseconds.
    fn mean_ms(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "a mean for people")]
        let calls = self.calls.max(1) as f64;
        self.seconds * 1_000.0 / calls
    }
}

#[derive(Debug, Deserialize)]
struct Activated {
    name: String,
    sha256: String,
}

/// Runs a command.
pub async fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::List { host } => list(&host).await,
        Command::Deploy { file, name, signature, dry_run, replay, host } => {
            let deployment = Deployment { signature: signature.as_deref(), dry_run, replay };
            deploy(&host, &file, name, &deployment).await
        }
        Command::Rollback { name, to, host } => roll_back(&host, &name, to.as_deref()).await,
        Command::Replay { name, version, host } => replay(&host, &name, version.as_deref()).await,
    }
}

async fn roll_back(host: &Host, name: &str, to: Option<&str>) -> anyhow::Result<()> {
    let body = version_body(host, name, to).await?;
    let path = format!("adapters/{name}/rollback");
    report(host, &host.send(Method::POST, &path, body).await?)
}

async fn replay(host: &Host, name: &str, version: Option<&str>) -> anyhow::Result<()> {
    let body = version_body(host, name, version).await?;
    let path = format!("adapters/{name}/replay");
    let answer: Value = serde_json::from_slice(&host.send(Method::POST, &path, body).await?)
        .context("reading the response")?;
    let report = ReplayReport::deserialize(&answer).context("reading the report")?;
    host.show(&answer, |_| say(report.to_string().trim_end()))
}

/// Returns the body of a request about the version that starts with `digits`.
async fn version_body(host: &Host, name: &str, digits: Option<&str>) -> anyhow::Result<Vec<u8>> {
    let Some(digits) = digits else { return Ok(Vec::new()) };
    let sha256 = resolve(host, name, digits).await?;
    Ok(serde_json::json!({ "sha256": sha256 }).to_string().into_bytes())
}

/// Returns the digest that starts with `digits`, if there is exactly one.
async fn resolve(host: &Host, name: &str, digits: &str) -> anyhow::Result<String> {
    let body = host.send(Method::GET, &format!("adapters/{name}"), Vec::new()).await?;
    let adapter: Adapter = serde_json::from_slice(&body).context("reading the listing")?;
    let digits = digits.to_ascii_lowercase();
    let mut found = adapter.versions.into_iter().filter(|v| v.sha256.starts_with(&digits));
    match (found.next(), found.next()) {
        (Some(version), None) => Ok(version.sha256),
        (None, _) => bail!(
            "no retained version of `{name}` starts with {digits}; run `hoth adapters list` to see them"
        ),
        (Some(_), Some(_)) => {
            bail!("several versions of `{name}` start with {digits}; give more digits")
        }
    }
}

async fn list(host: &Host) -> anyhow::Result<()> {
    let answer = host.get("adapters").await?;
    let listing = Listing::deserialize(&answer).context("reading the listing")?;
    host.show(&answer, |_| print_listing(listing))
}

fn print_listing(listing: Listing) {
    let mut table = Table::new([
        "ADAPTER", "VERSION", "SHA256", "STATE", "KB", "JOBS", "WAITING", "CALLS", "FAILED",
        "MS/CALL", "MAX MEM", "ARRIVED", "CSPS",
    ]);
    let (mut remarks, mut replays) = (Vec::new(), Vec::new());
    for adapter in listing.adapters {
        let name = &adapter.name;
        if adapter.versions.is_empty() {
            let csps = adapter.csps.join(",");
            table.row([name.as_str(), "-", "-", "missing", "", "", "", "", "", "", "", "", &csps]);
        }
        for version in &adapter.versions {
            table.row(version.cells(&adapter));
            let failing = version.failing.as_ref();
            remarks.extend(failing.map(|why| format!("{name} {}: {why}", version.short())));
        }
        remarks.extend(adapter.problem.iter().map(|problem| format!("{name}: {problem}")));
        if let Some(LastRefusal { at, sha256, message }) = &adapter.refused {
            let sha256 = sha256.get(..SHORT_DIGEST).unwrap_or(sha256);
            remarks.push(format!("{name}: refused {sha256} at {at}: {message}"));
        }
        if let Some(LastReplay { at, candidate, policy, summary }) = &adapter.replay {
            let (sha256, policy) =
                (candidate.get(..SHORT_DIGEST).unwrap_or(candidate), policy.as_str());
            replays
                .push(format!("{name}: replay of {sha256} at {at} (policy {policy}): {summary}"));
        }
    }
    table.lines().iter().for_each(|line| say(line));
    remarks.iter().for_each(|remark| say(&format!("! {remark}")));
    replays.iter().for_each(|replay| say(&format!("- {replay}")));
}

impl Version {
    fn short(&self) -> &str {
        self.sha256.get(..SHORT_DIGEST).unwrap_or(&self.sha256)
    }

    fn cells(&self, adapter: &Adapter) -> [String; 13] {
        let state = match (self.active, self.loaded) {
            (true, _) => "active",
            (false, true) => "ending",
            (false, false) => "kept",
        };
        let usage = &self.usage;
        [
            adapter.name.clone(),
            self.version.clone(),
            self.short().to_owned(),
            state.to_owned(),
            (self.size / 1_000).to_string(),
            self.jobs_in_flight.to_string(),
            self.waiting_jobs.map_or_else(|| "-".to_owned(), |jobs| jobs.to_string()),
            usage.calls.to_string(),
            usage.failures().to_string(),
            format!("{:.2}", usage.mean_ms()),
            format!("{} KB", usage.memory_max_bytes / 1_000),
            time(&Value::from(self.arrived_at.as_str())),
            adapter.csps.join(","),
        ]
    }
}

/// The options of a deployment.
struct Deployment<'a> {
    signature: Option<&'a Path>,
    dry_run: bool,
    replay: Option<String>,
}

async fn deploy(
    host: &Host,
    file: &Path,
    name: Option<String>,
    deployment: &Deployment<'_>,
) -> anyhow::Result<()> {
    let Deployment { signature, dry_run, replay } = deployment;
    let read =
        |file: &Path| std::fs::read(file).with_context(|| format!("reading {}", file.display()));
    let bytes = read(file)?;
    let signature = signature.map(read).transpose()?.map(|text| BASE64.encode(text));
    let stem = file.file_stem().and_then(|stem| stem.to_str()).map(str::to_owned);
    let name = name.or(stem).context("the file has no name; use --name")?;
    let signed = if signature.is_some() { ", signed" } else { "" };
    if !host.json {
        say(&format!("sending {} ({} bytes{signed}) as `{name}`", file.display(), bytes.len()));
    }
    let replay = replay.as_ref().map(|policy| format!("&replay={policy}")).unwrap_or_default();
    let path = format!("adapters/{name}?dry-run={dry_run}{replay}");
    let request = host.request(Method::PUT, &path, bytes)?;
    let request = match signature {
        Some(signature) => request.header("hoth-signature", signature),
        None => request,
    };
    let work = host.answer(request);
    let body = match host.json {
        true => work.await?,
        false => with_progress("compiling and checking", work).await?,
    };
    if !dry_run {
        return report(host, &body);
    }
    let body: Value = serde_json::from_slice(&body).context("reading the response")?;
    let replayed = ReplayReport::deserialize(&body).context("reading the report")?;
    host.show(&body, |_| say(replayed.to_string().trim_end()))?;
    ensure!(!replayed.refuses(), "refused by the policy");
    Ok(())
}

/// Prints progress lines until the work is finished.
async fn with_progress<T>(task: &str, work: impl Future<Output = T>) -> T {
    let started_at = Instant::now();
    tokio::pin!(work);
    loop {
        match tokio::time::timeout(PROGRESS_EVERY, &mut work).await {
            Ok(done) => return done,
            Err(_elapsed) => say(&format!("{task}: {} s", started_at.elapsed().as_secs())),
        }
    }
}

fn report(host: &Host, body: &[u8]) -> anyhow::Result<()> {
    let body: Value = serde_json::from_slice(body).context("reading the response")?;
    let activated = Activated::deserialize(&body).context("reading the response")?;
    host.show(&body, |_| say(&format!("activated {} {}", activated.name, activated.sha256)))
}
