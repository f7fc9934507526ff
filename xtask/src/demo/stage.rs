//! The processes of the demo: two mock CSPs and a host.

use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context as _;
use serde::Deserialize;
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::AsyncBufReadExt as _;
use tokio::io::BufReader;
use tokio::process::Child;
use tokio::process::Command;

use super::host::Host;
use super::host::Log;
use super::http;
use super::jobs;
use super::jobs::DemoJob;
use crate::cargo;
use crate::workspace;

/// How long a process may take until it serves.
pub const START_TIMEOUT: Duration = Duration::from_secs(60);

pub struct Stage {
    directory: TempDir,
    csps: Vec<Child>,
    host: Host,
    api: SocketAddr,
    log: Option<Log>,
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
        let (host, log) = Host::start(directory.path(), &secrets, &[]).await?;
        let api = host.api()?;
        println!(
            "The host serves ServiceNow at http://{api} and operators at http://{}",
            host.admin
        );
        Ok(Self { directory, csps, host, api, log: Some(log) })
    }

    /// Where ServiceNow's API is.
    pub fn api(&self) -> SocketAddr {
        self.api
    }

    /// The host's log lines; to be taken once.
    pub fn take_log(&mut self) -> Log {
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
        let (api, admin) = (&self.api, &self.host.admin);
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
        self.host.stop().await?;
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
