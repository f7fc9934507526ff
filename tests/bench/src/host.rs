//! The host under measurement.

use std::net::SocketAddr;
use std::path::Path;
use std::path::PathBuf;

use anyhow::Context as _;
use anyhow::ensure;
use hoth_testkit::HostConfig;
use hoth_testkit::HostProcess;
use mock_csp::MockCsp;
use tempfile::TempDir;

use crate::usage;

/// The built program and adapters.
#[derive(Debug, Clone)]
pub struct Built {
    /// The `hoth` program.
    pub program: PathBuf,
    /// `atat.wasm`.
    pub adapter: PathBuf,
    /// `hello.wasm`.
    pub small_adapter: PathBuf,
}

/// The start of a warning that is intended here.
const NO_KEY: &str = "No key is configured";

/// A running host; killed when it is dropped, unless it was ended before.
pub struct Host {
    process: HostProcess,
    pub api: SocketAddr,
    pub admin: SocketAddr,
    directory: TempDir,
}

impl Host {
    /// Starts a host on the embedded queue, with `csp` as `CSP_A` and more
    /// lines for that table.
    pub async fn start(
        built: &Built,
        csp: &MockCsp,
        lines: &str,
        roles: &str,
    ) -> anyhow::Result<Self> {
        Self::launch(HostConfig::default().csp("CSP_A", csp, lines), built, roles).await
    }

    /// Starts a host that serves the API on the queue in `file` and works on no
    /// jobs.
    pub async fn start_on(built: &Built, csp: &MockCsp, file: &Path) -> anyhow::Result<Self> {
        let config = HostConfig::default().queue_file(file).csp("CSP_A", csp, "");
        Self::launch(config, built, "api").await
    }

    async fn launch(config: HostConfig, built: &Built, roles: &str) -> anyhow::Result<Self> {
        let directory = tempfile::tempdir().context("making a temporary folder")?;
        let command = config
            .adapter_file("atat", &built.adapter)
            .write(&built.program, directory.path())?
            .roles(roles)
            .log_filter("hoth::app=info,hoth::registry::watch=info,audit=off,warn");
        let (process, addresses) = command.start().await?;
        process.adapters_read().await?;
        let mut log = process.log().follow();
        tokio::spawn(async move {
            while let Some(line) = log.next().await {
                let is_open = line["message"].as_str().is_some_and(|text| text.starts_with(NO_KEY));
                if line["level"] != "INFO" && !is_open {
                    eprintln!("{line}");
                }
            }
        });
        let admin = addresses.admin.address;
        Ok(Self { process, api: addresses.api()?, admin, directory })
    }

    /// Returns the directory of adapters.
    pub fn adapters(&self) -> PathBuf {
        self.directory.path().join("adapters")
    }

    /// Returns the path of the queue's file.
    pub fn queue_file(&self) -> PathBuf {
        self.directory.path().join("data/hoth.db")
    }

    /// Returns the process id.
    pub fn id(&self) -> anyhow::Result<u32> {
        self.process.id().context("the host has ended")
    }

    /// Ends the host as an operator does. A program that was built to record a
    /// profile writes it then.
    pub async fn end(mut self) -> anyhow::Result<()> {
        let status = self.process.terminate().await?;
        ensure!(status.success(), "the host ended with {status}");
        Ok(())
    }

    /// Returns the resident memory in MiB.
    pub fn resident_mib(&self) -> anyhow::Result<f64> {
        Ok(usage::as_mib(self.process.memory()?))
    }
}
