//! The host under test: the real program, started again and again over one
//! queue file.

use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::path::PathBuf;

use anyhow::Context as _;
use anyhow::ensure;
use hoth_testkit::HostCommand;
use hoth_testkit::HostConfig;
use hoth_testkit::HostProcess;
use mock_csp::MockCsp;
use rustix::process::Signal;

/// The built program and adapter, and the cache that all parts share.
#[derive(Debug, Clone)]
pub struct Built {
    /// The `hoth` program.
    pub program: PathBuf,
    /// `atat.wasm`.
    pub adapter: PathBuf,
    /// Compiled adapters, kept from part to part.
    pub cache: PathBuf,
}

/// The configuration, adapter, queue file and log of one host after the other.
pub struct Deployment {
    command: HostCommand,
    /// The queue's file.
    pub queue: PathBuf,
}

/// A running host; killed when it is dropped.
pub struct Host {
    process: HostProcess,
    pub api: SocketAddr,
    pub admin: SocketAddr,
}

impl Deployment {
    /// Writes configuration and adapter to `folder`, with `CSP_A`, `CSP_B` and
    /// so on in the order of `csps`, and the queue at `queue`.
    pub fn new(
        built: &Built,
        folder: &Path,
        queue: &Path,
        csps: &[&MockCsp],
    ) -> anyhow::Result<Self> {
        let mut config = HostConfig::default()
            .quick()
            .queue_file(queue)
            .cache(&built.cache)
            .adapter_file("atat", &built.adapter);
        for (letter, csp) in ('A'..='Z').zip(csps) {
            config = config.csp(&format!("CSP_{letter}"), *csp, "");
        }
        let command = config
            .write(&built.program, folder)?
            .log_filter("hoth::app=info,warn")
            .log_to(&folder.join("host.log"));
        Ok(Self { command, queue: queue.to_owned() })
    }

    /// Sets an environment variable of every host started from now on.
    pub fn set(&mut self, name: &str, value: &str) {
        self.command.set_environment(name, value);
    }

    /// Starts a host and does not wait for it.
    pub fn spawn(&self) -> anyhow::Result<HostProcess> {
        self.command.spawn()
    }

    /// Starts a host and waits until it serves.
    pub async fn start(&self) -> anyhow::Result<Host> {
        let (process, addresses) = self.command.start().await?;
        Ok(Host { process, api: addresses.api()?, admin: addresses.admin.address })
    }
}

impl Host {
    /// Kills the host as a power cut would: without a drain.
    pub async fn kill(mut self) -> anyhow::Result<()> {
        self.process.kill().await
    }

    /// Kills the host and does not wait for its end. It runs no further
    /// instruction of its own.
    pub fn start_kill(&mut self) -> anyhow::Result<()> {
        self.process.start_kill()
    }

    /// Waits until a host for which [`start_kill`](Self::start_kill) was called
    /// is dead.
    ///
    /// # Errors
    ///
    /// Returns an error if the host had ended before for another reason, or
    /// does not end.
    pub async fn killed(mut self) -> anyhow::Result<()> {
        let status = self.process.wait().await?;
        let killed = status.signal() == Some(Signal::KILL.as_raw());
        ensure!(killed, "the host had ended by itself, with {status}");
        Ok(())
    }

    /// Freezes the host for good; see [`HostProcess::freeze`].
    pub async fn freeze(&self) -> anyhow::Result<()> {
        self.process.freeze().await
    }

    /// Waits until the host has ended by itself, and returns its exit code.
    pub async fn exited(mut self) -> anyhow::Result<i32> {
        let status = self.process.wait().await?;
        ensure!(status.signal().is_none(), "the host ended with {status}");
        status.code().context("an end without a signal has a code")
    }

    /// Returns the process id.
    pub fn id(&self) -> Option<u32> {
        self.process.id()
    }
}
