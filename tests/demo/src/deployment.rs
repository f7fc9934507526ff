//! The deployment of the demo: mock CSPs in this process, and a host.

use std::net::SocketAddr;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;
use std::time::Instant;

use anyhow::Context as _;
use anyhow::ensure;
use hoth_testkit::HostConfig;
use hoth_testkit::HostProcess;
use hoth_testkit::LogFollower;
use serde_json::Value;
use serde_json::json;
use tempfile::TempDir;

use crate::PATIENCE;
use crate::csps::Csps;
use crate::http;
use crate::jobs::DemoJob;

/// A polling schedule that is slow enough to watch.
const POLLING: &str = "[polling]\ninitial_ms = 1000\nmax_ms = 2000";

/// The time between two looks at a job.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Paths of the program and the component that the demo runs.
pub struct Built {
    pub program: PathBuf,
    pub adapter: PathBuf,
}

/// Mock CSPs and a host on an embedded queue in a temporary folder.
pub struct Deployment {
    directory: TempDir,
    csps: Csps,
    host: HostProcess,
    api: SocketAddr,
    admin: SocketAddr,
}

impl Deployment {
    /// Starts everything, with further `tables` in the configuration of the
    /// host.
    pub async fn start(built: &Built, tables: &str) -> anyhow::Result<Self> {
        Self::start_with(built, HostConfig::default().table(tables)).await
    }

    /// Starts everything, with `config` as the base of the host's
    /// configuration.
    pub async fn start_with(built: &Built, config: HostConfig) -> anyhow::Result<Self> {
        let directory = tempfile::tempdir().context("making a temporary folder")?;
        let csps = Csps::start().await?;
        let config = csps.add_to(config.table(POLLING).adapter_file("atat", &built.adapter));
        let command = config.write(&built.program, directory.path())?;
        let (host, addresses) = command.start().await?;
        let (api, admin) = (addresses.api()?, addresses.admin.address);
        Ok(Self { directory, csps, host, api, admin })
    }

    /// Returns the folder with the files of the host.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    pub fn csps(&self) -> &Csps {
        &self.csps
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
        let accepted = http::post(self.api, job.path, &job.body).await;
        accepted.map(drop).with_context(|| format!("submitting {}", job.id))
    }

    /// Collects messages as ServiceNow does.
    pub async fn get(&self, path: &str) -> anyhow::Result<Vec<Value>> {
        let messages = http::get(self.api, path).await.with_context(|| format!("GET {path}"))?;
        serde_json::from_value(messages).with_context(|| format!("{path} answered no array"))
    }

    /// Collects until there are `expected` messages of either kind, and once
    /// more, which would find a surplus message.
    pub async fn collect(&self, expected: usize) -> anyhow::Result<Vec<Value>> {
        let started_at = Instant::now();
        let mut messages = Vec::new();
        while messages.len() < expected {
            ensure!(
                started_at.elapsed() < PATIENCE,
                "only {} of {expected} messages came within {PATIENCE:?}",
                messages.len()
            );
            // One wait at a time, because the other would delay it.
            messages.extend(self.get("/provisioning-jobs?wait=1").await?);
            messages.extend(self.get("/cost-jobs").await?);
        }
        messages.extend(self.get("/provisioning-jobs").await?);
        messages.extend(self.get("/cost-jobs").await?);
        Ok(messages)
    }

    /// Waits until `is_there` holds for a job as operators see it, and returns
    /// the job.
    pub async fn job(
        &self,
        id: &str,
        what: &str,
        is_there: impl Fn(&Value) -> bool,
    ) -> anyhow::Result<Value> {
        let started_at = Instant::now();
        loop {
            let job = http::get(self.admin, &format!("/jobs/{id}")).await?;
            if is_there(&job) {
                return Ok(job);
            }
            let waited = started_at.elapsed();
            ensure!(waited < PATIENCE, "{id} was not {what} within {PATIENCE:?}: {job}");
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Returns the digest of the adapter's active version, and the adapter as
    /// operators see it.
    pub async fn adapter(&self) -> anyhow::Result<(String, Value)> {
        let listing = http::get(self.admin, "/adapters/atat").await?;
        let versions = listing["versions"].as_array().context("the adapter has no versions")?;
        let active = versions.iter().find(|version| version["active"] == true);
        let digest = active.and_then(|version| version["sha256"].as_str());
        Ok((digest.context("no version is active")?.to_owned(), listing))
    }

    /// Deploys a version of the adapter. Returns the status and the answer.
    pub async fn deploy(&self, wasm: Vec<u8>) -> anyhow::Result<(u16, Value)> {
        http::put(self.admin, "/adapters/atat", wasm).await
    }

    /// Activates an earlier version of the adapter.
    pub async fn roll_back(&self, sha256: &str) -> anyhow::Result<()> {
        let body = json!({ "sha256": sha256 });
        http::post(self.admin, "/adapters/atat/rollback", &body).await.map(drop)
    }

    /// Pauses a CSP.
    pub async fn pause(&self, csp: &str) -> anyhow::Result<()> {
        let path = format!("/csps/{csp}/pause");
        http::post(self.admin, &path, &Value::Null).await.map(drop)
    }

    /// Stops the host as an operator does, then the CSPs.
    pub async fn stop(self) -> anyhow::Result<()> {
        stop(self.host).await
    }
}

/// Stops a host as an operator does.
pub async fn stop(mut host: HostProcess) -> anyhow::Result<()> {
    let status = host.terminate().await?;
    ensure!(status.success(), "the host ended with {status}");
    Ok(())
}
