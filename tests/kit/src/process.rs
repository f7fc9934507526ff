//! A host in a process of its own.

use std::fs::File;
use std::fs::OpenOptions;
use std::net::SocketAddr;
use std::path::Path;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;
use std::time::Instant;

use anyhow::Context as _;
use anyhow::bail;
use anyhow::ensure;
use rustix::process::Pid;
use rustix::process::Signal;
use rustix::process::kill_process;
use serde_json::Value;
use tokio::process::Child;
use tokio::process::Command;
use tokio::time::timeout;

use crate::PATIENCE;
use crate::log::HostLog;
use crate::log::Tee;
use crate::memory;

/// Starts hosts in one directory, one after the other or side by side.
#[derive(Debug, Clone)]
pub struct HostCommand {
    program: PathBuf,
    directory: PathBuf,
    environment: Vec<(String, String)>,
    /// `None` means all of the host's default roles.
    roles: Option<String>,
    log_filter: String,
    log: LogTarget,
}

#[derive(Debug, Clone)]
enum LogTarget {
    Memory,
    StandardError,
    File(PathBuf),
}

impl HostCommand {
    pub(crate) fn new(
        program: &Path,
        directory: &Path,
        environment: Vec<(String, String)>,
    ) -> anyhow::Result<Self> {
        Ok(Self {
            // The host has a working directory of its own.
            program: std::path::absolute(program).context("finding the program")?,
            directory: directory.to_owned(),
            environment,
            roles: None,
            log_filter: "info".to_owned(),
            log: LogTarget::Memory,
        })
    }

    /// Sets the roles, as `--roles` takes them.
    pub fn roles(mut self, roles: &str) -> Self {
        self.roles = Some(roles.to_owned());
        self
    }

    /// Sets the log filter. It must pass the host's `info` lines from
    /// `hoth::app`, which announce that the host is ready.
    pub fn log_filter(mut self, filter: &str) -> Self {
        filter.clone_into(&mut self.log_filter);
        self
    }

    /// Prints the log to standard error, too.
    pub fn log_to_stderr(mut self) -> Self {
        self.log = LogTarget::StandardError;
        self
    }

    /// Appends the log to `file`, too.
    pub fn log_to(mut self, file: &Path) -> Self {
        self.log = LogTarget::File(file.to_owned());
        self
    }

    /// Sets an environment variable of every host started from now on.
    pub fn set_environment(&mut self, name: &str, value: &str) {
        self.remove_environment(name);
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    /// Removes an environment variable that was set here.
    pub fn remove_environment(&mut self, name: &str) {
        self.environment.retain(|(known, _)| known != name);
    }

    /// Returns the directory of `hoth.toml`.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Starts a host and does not wait for it.
    ///
    /// # Errors
    ///
    /// Returns an error if the program or the reader of its log cannot be
    /// started.
    pub fn spawn(&self) -> anyhow::Result<HostProcess> {
        let tee = match &self.log {
            LogTarget::Memory => Tee::Nothing,
            LogTarget::StandardError => Tee::StandardError,
            LogTarget::File(file) => Tee::File(append(file)?),
        };
        let (log, stderr) = std::io::pipe().context("making a pipe for the log")?;
        let mut command = Command::new(&self.program);
        command.args(["serve", "--config", "hoth.toml", "--log-format", "json"]);
        command.args(["--log-filter", &self.log_filter]);
        if let Some(roles) = &self.roles {
            command.args(["--roles", roles]);
        }
        command.current_dir(&self.directory).stderr(stderr).kill_on_drop(true);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        let child = command.spawn();
        let child = child.with_context(|| format!("starting {}", self.program.display()))?;
        // The command holds the writing end, without which the log can end.
        drop(command);
        Ok(HostProcess { child, log: HostLog::read(log, tee)? })
    }

    /// Starts a host and waits until it serves.
    ///
    /// # Errors
    ///
    /// Returns an error if the host cannot be started, or ends or takes more
    /// than [`PATIENCE`] before it serves.
    pub async fn start(&self) -> anyhow::Result<(HostProcess, Addresses)> {
        let process = self.spawn()?;
        let addresses = process.ready().await?;
        Ok((process, addresses))
    }
}

fn append(file: &Path) -> anyhow::Result<File> {
    let opened = OpenOptions::new().create(true).append(true).open(file);
    opened.with_context(|| format!("opening {}", file.display()))
}

/// The bound addresses of a host.
#[derive(Debug, Clone, Copy)]
pub struct Addresses {
    /// `None` if the host does not have the role `api`.
    pub api: Option<Endpoint>,
    pub admin: Endpoint,
}

impl Addresses {
    /// Returns the address of the API.
    ///
    /// # Errors
    ///
    /// Returns an error if the host does not have the role `api`.
    pub fn api(&self) -> anyhow::Result<SocketAddr> {
        let api = self.api.context("the host does not have the role `api`")?;
        Ok(api.address)
    }
}

/// A bound listener.
#[derive(Debug, Clone, Copy)]
pub struct Endpoint {
    pub address: SocketAddr,
    pub tls: bool,
}

impl Endpoint {
    /// Returns the endpoint that a log line announces.
    fn announced(line: &Value) -> anyhow::Result<Self> {
        let address = line["address"].as_str().and_then(|address| address.parse().ok());
        let address = address.with_context(|| format!("no address in {line}"))?;
        Ok(Self { address, tls: line["tls"] == true })
    }

    /// Returns the base URL.
    pub fn url(&self) -> String {
        let scheme = if self.tls { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }
}

/// A host process; killed when it is dropped.
pub struct HostProcess {
    child: Child,
    log: HostLog,
}

impl HostProcess {
    /// Waits until the host serves.
    ///
    /// # Errors
    ///
    /// Returns an error if the host ends or takes more than [`PATIENCE`]
    /// before it serves.
    pub async fn ready(&self) -> anyhow::Result<Addresses> {
        match timeout(PATIENCE, self.listening()).await {
            Ok(addresses) => addresses,
            Err(_) => bail!("the host did not start in {PATIENCE:?}:\n{}", self.log.text()),
        }
    }

    async fn listening(&self) -> anyhow::Result<Addresses> {
        let mut log = self.log.follow();
        let mut api = None;
        while let Some(line) = log.next().await {
            if line["event"] != "listening" {
                continue;
            }
            match line["listener"].as_str() {
                Some("api") => api = Some(Endpoint::announced(&line)?),
                // The admin listener is the last to be bound.
                Some("admin") => {
                    return Ok(Addresses { api, admin: Endpoint::announced(&line)? });
                }
                Some(_) | None => bail!("an unknown listener: {line}"),
            }
        }
        bail!("the host ended before it was ready:\n{}", self.log.text())
    }

    /// Waits until the host has tried every component of its directory, or has
    /// ended: a fail point may end it before. The log filter must pass `info`
    /// lines of `hoth::registry`.
    ///
    /// # Errors
    ///
    /// Returns an error if the host takes more than [`PATIENCE`].
    pub async fn adapters_read(&self) -> anyhow::Result<()> {
        let mut log = self.log.follow();
        let read = async {
            while let Some(line) = log.next().await {
                if line["event"] == "adapters-read" {
                    return;
                }
            }
        };
        let read = timeout(PATIENCE, read).await;
        read.with_context(|| format!("the host did not read adapters:\n{}", self.log.text()))
    }

    /// Returns the log.
    pub fn log(&self) -> &HostLog {
        &self.log
    }

    /// Returns the process id, or `None` if the host was waited for.
    pub fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Kills the host as a power cut would: without a drain.
    pub async fn kill(&mut self) -> anyhow::Result<()> {
        self.child.kill().await.context("killing the host")
    }

    /// Kills the host and does not wait for its end. It runs no further
    /// instruction of its own.
    pub fn start_kill(&mut self) -> anyhow::Result<()> {
        self.child.start_kill().context("killing the host")
    }

    /// Waits until the host has ended.
    ///
    /// # Errors
    ///
    /// Returns an error if that takes more than [`PATIENCE`].
    pub async fn wait(&mut self) -> anyhow::Result<ExitStatus> {
        let ended = timeout(PATIENCE, self.child.wait()).await;
        ended.context("the host does not end")?.context("waiting for the host")
    }

    /// Stops the host as an operator does, with SIGTERM, and waits until it
    /// has ended.
    pub async fn terminate(&mut self) -> anyhow::Result<ExitStatus> {
        self.signal(Signal::TERM).context("terminating the host")?;
        self.wait().await
    }

    /// Sends SIGINT, as Ctrl-C does, and does not wait.
    pub fn interrupt(&self) -> anyhow::Result<()> {
        self.signal(Signal::INT).context("interrupting the host")
    }

    /// Sends SIGHUP, as a closed terminal does, and does not wait.
    pub fn hang_up(&self) -> anyhow::Result<()> {
        self.signal(Signal::HUP).context("hanging up")
    }

    /// Freezes the host: it runs no further instruction of its own until
    /// [`thaw`](Self::thaw). A system call that is under way still completes.
    pub async fn freeze(&self) -> anyhow::Result<()> {
        self.signal(Signal::STOP).context("freezing the host")?;
        let id = self.id().context("the host has ended")?;
        let started_at = Instant::now();
        while !is_frozen(id)? {
            ensure!(started_at.elapsed() < PATIENCE, "the host does not freeze");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Ok(())
    }

    /// Lets a frozen host go on.
    pub fn thaw(&self) -> anyhow::Result<()> {
        self.signal(Signal::CONT).context("thawing the host")
    }

    fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let id = self.id().context("the host has ended")?;
        let process = i32::try_from(id).ok().and_then(Pid::from_raw).context("no process id")?;
        kill_process(process, signal).context("sending a signal")
    }

    /// Returns the resident memory in bytes.
    pub fn memory(&self) -> anyhow::Result<u64> {
        memory::resident(self.id().context("the host has ended")?)
    }

    /// Returns the highest resident memory so far, in bytes.
    pub fn memory_peak(&self) -> anyhow::Result<u64> {
        memory::peak(self.id().context("the host has ended")?)
    }
}

/// Returns `true` if every thread is stopped, or in the kernel, which will stop
/// it.
fn is_frozen(id: u32) -> anyhow::Result<bool> {
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
