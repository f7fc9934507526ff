//! The processes of the demo: two mock CSPs and a host.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context as _;
use anyhow::bail;
use anyhow::ensure;
use serde::Deserialize;
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::AsyncBufReadExt as _;
use tokio::io::BufReader;
use tokio::process::Child;
use tokio::process::Command;
use tokio::sync::mpsc;

use super::http;
use super::jobs;
use super::jobs::DemoJob;
use crate::cargo;
use crate::workspace;

/// How long a process may take until it serves.
const START_TIMEOUT: Duration = Duration::from_secs(60);

pub struct Stage {
    directory: TempDir,
    csps: Vec<Child>,
    host: Child,
    api: SocketAddr,
    admin: SocketAddr,
    log: Option<mpsc::UnboundedReceiver<Value>>,
}

/// What a mock CSP prints when it serves.
#[derive(Deserialize)]
struct Reachable {
    base_url: String,
    token_url: String,
    client_id: String,
    client_secret: String,
}

impl Stage {
    /// Builds what is missing and starts everything.
    pub async fn set() -> anyhow::Result<Self> {
        Self::set_with("").await
    }

    /// The same, with `tables` in the host's configuration.
    pub async fn set_with(tables: &str) -> anyhow::Result<Self> {
        crate::adapters::build()?;
        println!("Building the host and the mock CSP");
        cargo::build(&["hoth", "mock-csp"])?;
        let directory = tempfile::tempdir().context("making a temporary folder")?;
        let mut csps = Vec::new();
        let mut config = format!("{CONFIG}{tables}");
        let mut secrets = Vec::new();
        for name in jobs::CSPS {
            let (child, csp) = start_csp(name).await?;
            config.push_str(&csp_table(name, &csp));
            secrets.push((format!("{name}_SECRET"), csp.client_secret));
            csps.push(child);
        }
        let adapters = directory.path().join("adapters");
        std::fs::create_dir(&adapters).context("making the adapters folder")?;
        std::fs::copy(workspace::target()?.join("adapters/atat.wasm"), adapters.join("atat.wasm"))
            .context("copying the adapter")?;
        std::fs::write(directory.path().join("hoth.toml"), config).context("writing hoth.toml")?;
        let (host, log, api, admin) = start_host(directory.path(), &secrets).await?;
        println!("The host serves ServiceNow at http://{api} and operators at http://{admin}");
        Ok(Self { directory, csps, host, api, admin, log: Some(log) })
    }

    /// Where ServiceNow's API is.
    pub fn api(&self) -> SocketAddr {
        self.api
    }

    /// The host's log lines; to be taken once.
    pub fn take_log(&mut self) -> mpsc::UnboundedReceiver<Value> {
        self.log.take().expect("the log is taken once")
    }

    /// Submits a job as ServiceNow does.
    pub async fn post(&self, job: &DemoJob) -> anyhow::Result<()> {
        http::post(self.api, job.path, &job.body).await.map(drop)
    }

    /// Collects messages as ServiceNow does.
    pub async fn get(&self, path: &str) -> anyhow::Result<Vec<Value>> {
        let messages = http::get(self.api, path).await.with_context(|| format!("GET {path}"))?;
        serde_json::from_value(messages).with_context(|| format!("{path} answered no array"))
    }

    /// Says how to go on, and waits for Ctrl-C.
    pub async fn stay_up(&self) -> anyhow::Result<()> {
        println!(
            "\nEverything stays up until Ctrl-C; files are in {}. To go on:\n",
            self.directory.path().display()
        );
        let (api, admin) = (&self.api, &self.admin);
        println!(
            "  curl -i http://{api}/provisioning-jobs -H 'content-type: application/json' -d '{MINE}'"
        );
        println!("  curl 'http://{api}/provisioning-jobs?wait=20'");
        println!("  curl http://{admin}/queues");
        println!("  curl http://{admin}/adapters");
        tokio::signal::ctrl_c().await.context("waiting for Ctrl-C")
    }

    /// Stops the host as an operator does, then the CSPs.
    pub async fn strike(mut self) -> anyhow::Result<()> {
        if let Some(id) = self.host.id() {
            let sent = Command::new("kill").args(["-TERM", &id.to_string()]).status().await;
            ensure!(sent.context("running `kill`")?.success(), "the host was gone");
        }
        let ended = self.host.wait().await.context("waiting for the host")?;
        ensure!(ended.success(), "the host ended with {ended}");
        for csp in &mut self.csps {
            csp.kill().await.context("stopping a mock CSP")?;
        }
        Ok(())
    }
}

/// A job to go on with.
const MINE: &str = r#"{"userId": "me", "targetCspName": "CSP_SYNC", "operationType": "ADD_PORTFOLIO", "payload": {"name": "Mine", "taskOrders": []}}"#;

const CONFIG: &str = r#"
[api]
listen = "127.0.0.1:0"
[admin]
listen = "127.0.0.1:0"
[polling]
initial_ms = 1000
max_ms = 2000
"#;

fn csp_table(name: &str, csp: &Reachable) -> String {
    let Reachable { base_url, token_url, client_id, .. } = csp;
    format!(
        r#"
[csp.{name}]
adapter = "atat"
base_url = "{base_url}"
[csp.{name}.oauth2]
token_url = "{token_url}"
client_id = "{client_id}"
client_secret = {{ env = "{name}_SECRET" }}
"#
    )
}

async fn start_csp(name: &str) -> anyhow::Result<(Child, Reachable)> {
    let mode = if name == "CSP_ASYNC" { "async" } else { "sync" };
    let mut child = Command::new(workspace::target()?.join("debug/mock-csp"))
        .args(["--listen", "127.0.0.1:0", "--mode", mode, "--slow-ms", "300"])
        .args(["--fail-twice", jobs::FLAKY, "--fail-always", jobs::BROKEN])
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .context("starting a mock CSP")?;
    let stdout = child.stdout.take().context("standard output is piped")?;
    let mut lines = BufReader::new(stdout).lines();
    let line = tokio::time::timeout(START_TIMEOUT, lines.next_line()).await;
    let line = line.context("a mock CSP did not start in time")??;
    let line = line.context("a mock CSP ended at once")?;
    // What it may say later is not needed, but must go somewhere.
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    let csp = serde_json::from_str(&line).with_context(|| format!("reading {line}"))?;
    Ok((child, csp))
}

type Log = mpsc::UnboundedReceiver<Value>;

async fn start_host(
    directory: &Path,
    secrets: &[(String, String)],
) -> anyhow::Result<(Child, Log, SocketAddr, SocketAddr)> {
    let mut child = Command::new(workspace::target()?.join("debug/hoth"))
        .args(["serve", "--config", "hoth.toml", "--log", "json"])
        .current_dir(directory)
        .envs(secrets.iter().map(|(name, value)| (name, value)))
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .context("starting the host")?;
    let stderr = child.stderr.take().context("standard error is piped")?;
    let mut lines = BufReader::new(stderr).lines();
    let (mut api, mut admin) = (None, None);
    while api.is_none() || admin.is_none() {
        let line = tokio::time::timeout(START_TIMEOUT, lines.next_line()).await;
        let Some(line) = line.context("the host did not start in time")?? else {
            bail!("the host did not start");
        };
        let Ok(event) = serde_json::from_str::<Value>(&line) else {
            println!("{line}");
            continue;
        };
        let address = event["address"].as_str().and_then(|address| address.parse().ok());
        match event["message"].as_str() {
            Some("Listening for api") => api = address,
            Some("Listening for admin") => admin = address,
            Some(_) | None => {}
        }
    }
    // Unbounded, for the demo's few jobs; nothing may hold up the host's log.
    let (sender, log) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok(Some(line)) = lines.next_line().await {
            if let Ok(event) = serde_json::from_str(&line) {
                // Nobody listens once the board is done.
                let _ = sender.send(event);
            }
        }
    });
    Ok((child, log, api.context("just seen")?, admin.context("just seen")?))
}
