//! A host of the demo: a process, its log and its listeners.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;

use anyhow::Context as _;
use anyhow::bail;
use anyhow::ensure;
use serde_json::Value;
use tokio::io::AsyncBufReadExt as _;
use tokio::io::BufReader;
use tokio::process::Child;
use tokio::process::Command;
use tokio::sync::mpsc;

use super::stage::START_TIMEOUT;
use crate::workspace;

/// The lines of a host's log, as they come.
pub type Log = mpsc::UnboundedReceiver<Value>;

/// A host that runs; killed when it is dropped.
pub struct Host {
    process: Child,
    api: Option<SocketAddr>,
    pub admin: SocketAddr,
}

impl Host {
    /// Starts a host with the configuration `hoth.toml` in `directory`.
    pub async fn start(
        directory: &Path,
        environment: &[(String, String)],
        arguments: &[&str],
    ) -> anyhow::Result<(Self, Log)> {
        let mut process = Command::new(workspace::target()?.join("debug/hoth"))
            .args(["serve", "--config", "hoth.toml", "--log", "json"])
            .args(arguments)
            .current_dir(directory)
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("starting the host")?;
        let stderr = process.stderr.take().context("standard error is piped")?;
        let mut lines = BufReader::new(stderr).lines();
        let (mut api, mut admin) = (None, None);
        // The operators' listener is the last to be bound.
        while admin.is_none() {
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
        Ok((Self { process, api, admin: admin.context("just seen")? }, log))
    }

    /// Where ServiceNow finds it.
    pub fn api(&self) -> anyhow::Result<SocketAddr> {
        self.api.context("the host does not have the role `api`")
    }

    /// Ends it as a power cut would.
    pub async fn kill(mut self) -> anyhow::Result<()> {
        self.process.kill().await.context("killing a host")
    }

    /// Stops it as an operator does.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        if let Some(id) = self.process.id() {
            let sent = Command::new("kill").args(["-TERM", &id.to_string()]).status().await;
            ensure!(sent.context("running `kill`")?.success(), "the host was gone");
        }
        let ended = self.process.wait().await.context("waiting for the host")?;
        ensure!(ended.success(), "the host ended with {ended}");
        Ok(())
    }
}
