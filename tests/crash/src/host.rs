//! The host under test: the real program, started again and again over one
//! queue file.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;
use std::time::Instant;

use anyhow::Context as _;
use anyhow::bail;
use anyhow::ensure;
use mock_csp::MockCsp;
use rustix::process::Pid;
use rustix::process::Signal;
use rustix::process::kill_process;
use serde_json::Value;
use tokio::io::AsyncBufReadExt as _;
use tokio::io::BufReader;
use tokio::process::Child;
use tokio::process::Command;

/// How long a host may take until it serves, or until it has ended.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where things lie that every part needs.
#[derive(Debug, Clone)]
pub struct Built {
    /// The `hoth` program.
    pub program: PathBuf,
    /// `atat.wasm`.
    pub adapter: PathBuf,
    /// Compiled adapters, kept from part to part.
    pub cache: PathBuf,
}

/// A place for one host after the other: configuration, adapters, log.
pub struct Site {
    program: PathBuf,
    folder: PathBuf,
    /// The queue's file.
    pub queue: PathBuf,
    environment: Vec<(String, String)>,
}

/// A running host; killed when it is dropped.
pub struct Host {
    child: Child,
    pub api: SocketAddr,
    pub admin: SocketAddr,
}

impl Site {
    /// Sets a site up in `folder`, with `CSP_A`, `CSP_B` and so on in the order
    /// of `csps`, and its queue at `queue`.
    pub fn new(
        built: &Built,
        folder: &Path,
        queue: &Path,
        csps: &[&MockCsp],
        lines: &str,
    ) -> anyhow::Result<Self> {
        let adapters = folder.join("adapters");
        std::fs::create_dir_all(&adapters).context("making the adapters folder")?;
        std::fs::copy(&built.adapter, adapters.join("atat.wasm"))
            .with_context(|| format!("copying {}", built.adapter.display()))?;
        let mut text = format!(
            r#"
[api]
listen = "127.0.0.1:0"
[admin]
listen = "127.0.0.1:0"
[queue]
path = "{}"
[adapters]
directory = "adapters"
cache_directory = "{}"
[retry]
initial_backoff_ms = 20
[polling]
initial_ms = 20
max_ms = 100
{lines}
"#,
            queue.display(),
            built.cache.display()
        );
        let mut environment = Vec::new();
        for (letter, csp) in ('A'..='Z').zip(csps) {
            let secret = format!("CSP_{letter}_SECRET");
            text.push_str(&format!(
                r#"
[csp.CSP_{letter}]
adapter = "atat"
base_url = "{}"
[csp.CSP_{letter}.oauth2]
token_url = "{}"
client_id = "{}"
client_secret = {{ env = "{secret}" }}
"#,
                csp.base_url(),
                csp.token_url(),
                csp.client_id()
            ));
            environment.push((secret, csp.client_secret().to_owned()));
        }
        std::fs::write(folder.join("hoth.toml"), text).context("writing hoth.toml")?;
        let program = std::path::absolute(&built.program).context("finding the program")?;
        Ok(Self { program, folder: folder.to_owned(), queue: queue.to_owned(), environment })
    }

    /// Sets a variable for every host that is started from now on.
    pub fn set(&mut self, name: &str, value: &str) {
        self.environment.retain(|(known, _)| known != name);
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    /// What the hosts have logged.
    pub fn log(&self) -> PathBuf {
        self.folder.join("host.log")
    }

    /// Starts a host and does not wait for it.
    pub fn spawn(&self) -> anyhow::Result<Child> {
        Command::new(&self.program)
            .args(["serve", "--config", "hoth.toml", "--log", "json"])
            .args(["--log-filter", "hoth::app=info,warn"])
            .current_dir(&self.folder)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("starting {}", self.program.display()))
    }

    /// Starts a host and waits until it serves.
    pub async fn start(&self) -> anyhow::Result<Host> {
        let mut child = self.spawn()?;
        let addresses = tokio::time::timeout(PATIENCE, self.addresses(&mut child)).await;
        let (api, admin) = addresses.context("the host did not start in time")??;
        Ok(Host { child, api, admin })
    }

    /// Those of the API and of the admin API, which is bound last.
    async fn addresses(&self, child: &mut Child) -> anyhow::Result<(SocketAddr, SocketAddr)> {
        let log = OpenOptions::new().create(true).append(true).open(self.log());
        let mut log = log.context("opening the log of the hosts")?;
        let stderr = child.stderr.take().context("standard error is piped")?;
        let mut lines = BufReader::new(stderr).lines();
        let (mut api, mut admin) = (None, None);
        while admin.is_none() {
            let Some(line) = lines.next_line().await? else {
                bail!("the host did not start; see {}", self.log().display());
            };
            writeln!(log, "{line}").context("writing the log of the hosts")?;
            let event: Value = serde_json::from_str(&line).unwrap_or_default();
            let address = event["address"].as_str().and_then(|address| address.parse().ok());
            match event["message"].as_str() {
                Some("Listening for api") => api = address,
                Some("Listening for admin") => admin = address,
                _ => {}
            }
        }
        // Read on, so that the host never waits for a reader.
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                // A log that cannot be kept is no reason to stop.
                let _ = writeln!(log, "{line}");
            }
        });
        api.zip(admin).context("both listeners have an address")
    }
}

impl Host {
    /// Kills it as the machine would: no word, no drain.
    pub async fn kill(mut self) -> anyhow::Result<()> {
        self.child.kill().await.context("killing the host")
    }

    /// Has it die before it runs any further instruction of its own, and does
    /// not wait for that.
    pub fn doom(&mut self) -> anyhow::Result<()> {
        self.child.start_kill().context("killing the host")
    }

    /// Waits until a doomed one is dead.
    ///
    /// # Errors
    ///
    /// Among others when it had ended before, of something else.
    pub async fn gone(mut self) -> anyhow::Result<()> {
        let gone = tokio::time::timeout(PATIENCE, self.child.wait()).await;
        let status = gone.context("the host does not die")?.context("waiting for the host")?;
        let killed = status.signal() == Some(Signal::KILL.as_raw());
        ensure!(killed, "the host had ended by itself, with {status}");
        Ok(())
    }

    /// Has it stand still: it runs no further instruction of its own. What the
    /// kernel does for it at this moment comes to its end.
    pub async fn freeze(&self) -> anyhow::Result<()> {
        let id = self.child.id().context("the host has ended")?;
        let process = i32::try_from(id).ok().and_then(Pid::from_raw).context("no process id")?;
        kill_process(process, Signal::STOP).context("stopping the host")?;
        let begun = Instant::now();
        while !stands_still(id)? {
            ensure!(begun.elapsed() < PATIENCE, "the host does not stand still");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Ok(())
    }

    /// Waits until it has ended by itself; its exit code.
    pub async fn ended(mut self) -> anyhow::Result<i32> {
        let ended = tokio::time::timeout(PATIENCE, self.child.wait()).await;
        let status = ended.context("the host did not end")?.context("waiting for the host")?;
        ensure!(status.signal().is_none(), "the host ended with {status}");
        status.code().context("what ended without a signal has a code")
    }

    /// The process's number.
    pub fn id(&self) -> Option<u32> {
        self.child.id()
    }
}

/// Whether every thread is stopped, or in the kernel, which will stop it.
fn stands_still(id: u32) -> anyhow::Result<bool> {
    let tasks = std::fs::read_dir(format!("/proc/{id}/task")).context("listing threads")?;
    for task in tasks {
        let stat = task.context("listing threads")?.path().join("stat");
        // A thread that has just ended runs no more.
        let Ok(stat) = std::fs::read_to_string(stat) else { continue };
        let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
        if !matches!(state, Some('T' | 't' | 'D' | 'Z' | 'X')) {
            return Ok(false);
        }
    }
    Ok(true)
}
