//! The host under measurement: the real program in a process of its own.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context as _;
use anyhow::bail;
use mock_csp::MockCsp;
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::AsyncBufReadExt as _;
use tokio::io::BufReader;
use tokio::process::Child;
use tokio::process::Command;

/// How long a host may take until it serves.
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// Where things lie that the figures need.
#[derive(Debug, Clone)]
pub struct Built {
    /// The `hoth` program.
    pub program: std::path::PathBuf,
    /// `atat.wasm`.
    pub adapter: std::path::PathBuf,
    /// `hello.wasm`.
    pub small_adapter: std::path::PathBuf,
}

/// A running host; killed when it is dropped.
pub struct Host {
    child: Child,
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
        let directory = tempfile::tempdir().context("making a temporary folder")?;
        let adapters = directory.path().join("adapters");
        std::fs::create_dir(&adapters).context("making the adapters folder")?;
        std::fs::copy(&built.adapter, adapters.join("atat.wasm"))
            .with_context(|| format!("copying {}", built.adapter.display()))?;
        std::fs::write(directory.path().join("hoth.toml"), config(csp, lines))
            .context("writing hoth.toml")?;
        let mut child = Command::new(&built.program)
            .args(["serve", "--config", "hoth.toml", "--roles", roles])
            .args(["--log", "json", "--log-filter", "hoth::app=info,audit=off,warn"])
            .current_dir(directory.path())
            .env("CSP_A_SECRET", csp.client_secret())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("starting {}", built.program.display()))?;
        let (api, admin) = tokio::time::timeout(START_TIMEOUT, addresses(&mut child))
            .await
            .context("the host did not start in time")??;
        Ok(Self { child, api, admin, directory })
    }

    /// The directory of adapters.
    pub fn adapters(&self) -> std::path::PathBuf {
        self.directory.path().join("adapters")
    }

    /// The memory that the process holds, in MiB (`VmRSS` of proc(5)).
    pub fn resident_mib(&self) -> anyhow::Result<f64> {
        let id = self.child.id().context("the host has ended")?;
        let status =
            std::fs::read_to_string(Path::new("/proc").join(id.to_string()).join("status"))
                .context("reading the host's status")?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib: f64 = line
            .and_then(|line| line.trim().strip_suffix(" kB"))
            .context("no VmRSS in the host's status")?
            .trim()
            .parse()?;
        Ok(kib / 1024.0)
    }
}

fn config(csp: &MockCsp, lines: &str) -> String {
    let (base_url, token_url, client_id) = (csp.base_url(), csp.token_url(), csp.client_id());
    format!(
        r#"
[api]
listen = "127.0.0.1:0"
[admin]
listen = "127.0.0.1:0"
[queue]
path = "hoth.db"
[csp.CSP_A]
adapter = "atat"
base_url = "{base_url}"
{lines}
[csp.CSP_A.oauth2]
token_url = "{token_url}"
client_id = "{client_id}"
client_secret = {{ env = "CSP_A_SECRET" }}
"#
    )
}

/// Where the API and the admin API listen.
async fn addresses(child: &mut Child) -> anyhow::Result<(SocketAddr, SocketAddr)> {
    let stderr = child.stderr.take().context("standard error is piped")?;
    let mut lines = BufReader::new(stderr).lines();
    let (mut api, mut admin) = (None, None);
    while api.is_none() || admin.is_none() {
        let Some(line) = lines.next_line().await? else { bail!("the host did not start") };
        let event: Value = serde_json::from_str(&line).unwrap_or_else(|_| {
            // Not a log line: why it does not start.
            eprintln!("{line}");
            Value::Null
        });
        let address = event["address"].as_str().and_then(|address| address.parse().ok());
        match event["message"].as_str() {
            Some("Listening for api") => api = address,
            Some("Listening for admin") => admin = address,
            _ => {}
        }
    }
    tokio::spawn(async move {
        while let Ok(Some(line)) = lines.next_line().await {
            eprintln!("{line}");
        }
    });
    api.zip(admin).context("both listeners have addresses")
}
