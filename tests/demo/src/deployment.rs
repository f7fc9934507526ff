//! The processes of the demo: two mock CSPs and a host.

use std::net::SocketAddr;
use std::path::Path;
use std::path::PathBuf;
use std::process::Stdio;

use anyhow::Context as _;
use anyhow::ensure;
use hoth_testkit::HostConfig;
use hoth_testkit::HostProcess;
use hoth_testkit::LogFollower;
use hoth_testkit::OauthCsp;
use hoth_testkit::PATIENCE;
use serde::Deserialize;
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::AsyncBufReadExt as _;
use tokio::io::BufReader;
use tokio::process::Child;
use tokio::process::Command;

use crate::http;
use crate::jobs;
use crate::jobs::DemoJob;

/// Paths of the programs and the component that the demo runs.
pub struct Built {
    pub program: PathBuf,
    pub mock_csp: PathBuf,
    pub adapter: PathBuf,
}

/// Two mock CSPs and a host on an embedded queue in a temporary folder.
pub struct Deployment {
    directory: TempDir,
    csps: Vec<Child>,
    host: HostProcess,
    api: SocketAddr,
    admin: SocketAddr,
}

/// The line that a mock CSP prints when it serves.
#[derive(Deserialize)]
struct Reachable {
    base_url: String,
    token_url: String,
    client_id: String,
    client_secret: String,
}

impl From<Reachable> for OauthCsp {
    fn from(csp: Reachable) -> Self {
        let Reachable { base_url, token_url, client_id, client_secret } = csp;
        Self { base_url, token_url, client_id, client_secret }
    }
}

impl Deployment {
    /// Starts everything, with further `tables` in the configuration of the
    /// host.
    pub async fn start(built: &Built, tables: &str) -> anyhow::Result<Self> {
        let directory = tempfile::tempdir().context("making a temporary folder")?;
        let mut config =
            HostConfig::default().table(POLLING).table(tables).adapter_file("atat", &built.adapter);
        let mut csps = Vec::new();
        for name in jobs::CSPS {
            let (child, csp) = start_csp(&built.mock_csp, name).await?;
            config = config.csp(name, csp, "");
            csps.push(child);
        }
        let command = config.write(&built.program, directory.path())?;
        let (host, addresses) = command.start().await?;
        let (api, admin) = (addresses.api()?, addresses.admin.address);
        Ok(Self { directory, csps, host, api, admin })
    }

    /// Returns the address of the host's API.
    pub fn api(&self) -> SocketAddr {
        self.api
    }

    /// Returns the address of the host's listener for operators.
    pub fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// Returns the host's log lines, from the first one on.
    pub fn log(&self) -> LogFollower {
        self.host.log().follow()
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

    /// Prints commands to try, and waits for Ctrl-C.
    pub async fn stay_up(&self) -> anyhow::Result<()> {
        println!(
            "\nEverything keeps running until Ctrl-C; files are in {}. Commands to try:\n",
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
    pub async fn stop(mut self) -> anyhow::Result<()> {
        stop(self.host).await?;
        for csp in &mut self.csps {
            csp.kill().await.context("stopping a mock CSP")?;
        }
        Ok(())
    }
}

/// Stops a host as an operator does.
pub async fn stop(mut host: HostProcess) -> anyhow::Result<()> {
    let status = host.terminate().await?;
    ensure!(status.success(), "the host ended with {status}");
    Ok(())
}

/// A job that the reader can submit with curl.
const MINE: &str = r#"{"userId": "me", "targetCspName": "CSP_SYNC", "operationType": "ADD_PORTFOLIO", "payload": {"name": "Mine", "taskOrders": []}}"#;

/// A polling schedule that is slow enough to watch.
const POLLING: &str = "[polling]\ninitial_ms = 1000\nmax_ms = 2000";

async fn start_csp(program: &Path, name: &str) -> anyhow::Result<(Child, Reachable)> {
    let mode = if name == "CSP_ASYNC" { "async" } else { "sync" };
    let mut child = Command::new(program)
        .args(["--listen", "127.0.0.1:0", "--mode", mode, "--slow-ms", "300"])
        .args(["--fail-twice", jobs::FLAKY, "--fail-always", jobs::BROKEN])
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .context("starting a mock CSP")?;
    let stdout = child.stdout.take().context("standard output is piped")?;
    let mut lines = BufReader::new(stdout).lines();
    let line = tokio::time::timeout(PATIENCE, lines.next_line()).await;
    let line = line.context("a mock CSP did not start in time")??;
    let line = line.context("a mock CSP ended at once")?;
    // Later lines are not needed, but the process must never wait for a reader.
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    let csp = serde_json::from_str(&line).with_context(|| format!("reading {line}"))?;
    Ok((child, csp))
}
