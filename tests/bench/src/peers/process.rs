//! The processes of a peer.

use std::ffi::OsStr;
use std::fs::File;
use std::net::Ipv4Addr;
use std::net::SocketAddr;
use std::net::TcpListener;
use std::path::Path;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;
use std::time::Instant;

use anyhow::Context as _;
use anyhow::bail;
use tokio::io::AsyncBufReadExt as _;
use tokio::io::BufReader;
use tokio::net::TcpStream;
use tokio::process::Child;
use tokio::process::Command;

/// The longest wait for a process to be ready.
const PATIENCE: Duration = Duration::from_secs(60);

/// The interval of attempts to connect to a process that starts.
const RETRY_INTERVAL: Duration = Duration::from_millis(20);

/// Lines of a process's output that an error repeats.
const REPEATED_LINES: usize = 5;

/// A process of a peer; killed when it is dropped.
pub struct Process {
    child: Child,
    name: String,
    log: PathBuf,
}

impl Process {
    /// Starts `program`, with its standard error and its temporary files in
    /// `folder`.
    pub fn start(
        program: &OsStr,
        folder: &Path,
        prepare: impl FnOnce(&mut Command),
    ) -> anyhow::Result<Self> {
        let name = Path::new(program).file_name().unwrap_or(program).display().to_string();
        let log = folder.join(format!("{name}.log"));
        let stderr = File::options().create(true).append(true).open(&log);
        let mut command = Command::new(program);
        command.stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true);
        command.env("TMPDIR", folder);
        command.stderr(stderr.with_context(|| format!("opening {}", log.display()))?);
        prepare(&mut command);
        let child = command.spawn().with_context(|| format!("{name} cannot be started"))?;
        Ok(Self { child, name, log })
    }

    /// Starts a script with Node.js in `folder`, and returns the process with
    /// the first line that it prints: it is ready then.
    pub async fn script(
        scripts: &Path,
        folder: &Path,
        arguments: &[&str],
    ) -> anyhow::Result<(Self, String)> {
        let mut process = Self::start(OsStr::new("node"), folder, |command| {
            command.current_dir(scripts).args(arguments).stdout(Stdio::piped());
            command.env("NODE_ENV", "production").env("RESTATE_LOGGING", "ERROR");
        })?;
        let stdout = process.child.stdout.take().context("standard output is piped")?;
        let first = BufReader::new(stdout).lines();
        let first = tokio::time::timeout(PATIENCE, async move { { first }.next_line().await });
        match first.await {
            Ok(Ok(Some(line))) => Ok((process, line)),
            Ok(_) | Err(_) => bail!("{} is not ready: {}", arguments[0], process.last_lines()),
        }
    }

    /// Waits until the process accepts connections at `address`.
    pub async fn listens(&mut self, address: SocketAddr) -> anyhow::Result<()> {
        let started_at = Instant::now();
        while TcpStream::connect(address).await.is_err() {
            if let Some(status) = self.child.try_wait().context("waiting for a process")? {
                bail!("{} ended with {status}: {}", self.name, self.last_lines());
            }
            if started_at.elapsed() > PATIENCE {
                bail!("{} does not listen: {}", self.name, self.last_lines());
            }
            tokio::time::sleep(RETRY_INTERVAL).await;
        }
        Ok(())
    }

    /// Returns the process id.
    pub fn id(&self) -> anyhow::Result<u32> {
        self.child.id().with_context(|| format!("{} has ended", self.name))
    }

    fn last_lines(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(REPEATED_LINES)..].join("; ")
    }
}

/// Returns an address on loopback that is free now.
pub fn free_address() -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("finding a free port")?;
    listener.local_addr().context("reading the port")
}
