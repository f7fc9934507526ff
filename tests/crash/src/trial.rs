//! A trial: a host under load that dies again and again, and a ledger that is
//! compared with its queue file each time.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use anyhow::Context as _;
use anyhow::bail;
use fastrand::Rng;
use mock_csp::Answer;
use mock_csp::Matching;
use mock_csp::MockCsp;
use mock_csp::Mode;
use mock_csp::Options;
use tokio::sync::RwLockWriteGuard;
use tokio::task::JoinHandle;

use crate::clients;
use crate::clients::HostRun;
use crate::clients::Shared;
use crate::disk;
use crate::host::Built;
use crate::host::Deployment;
use crate::host::Host;
use crate::ledger::Counts;

/// The length of a run under load, in milliseconds.
const RUN_MS: std::ops::Range<u64> = 20..1_200;

/// One in so many hosts is killed once more while it starts, within this many
/// milliseconds.
const EARLY_KILLS: u32 = 8;
const EARLY_MS: std::ops::Range<u64> = 0..300;

/// The longest time that the last host may take to finish all work.
const DRAIN: Duration = Duration::from_secs(180);

/// The pause between two progress lines.
const REPORT_EVERY: Duration = Duration::from_secs(10);

/// A CSP that answers at once, and one that accepts work for later. Both delay
/// their answers and fail occasionally.
pub struct Csps {
    sync: MockCsp,
    asynchronous: MockCsp,
}

impl Csps {
    pub async fn start() -> anyhow::Result<Self> {
        let csp = async |mode| {
            let options = Options { mode, delay: Duration::from_millis(5), ..Options::default() };
            let csp = MockCsp::start(options).await.context("starting a CSP")?;
            csp.record(false);
            anyhow::Ok(csp)
        };
        let csps = Self {
            sync: csp(Mode::Sync).await?,
            asynchronous: csp(Mode::Async { polls: 1 }).await?,
        };
        csps.script_failures();
        Ok(csps)
    }

    /// Returns `CSP_A` and `CSP_B`.
    pub fn all(&self) -> [&MockCsp; 2] {
        [&self.sync, &self.asynchronous]
    }

    /// Makes the next calls for one portfolio fail in transient ways.
    fn script_failures(&self) {
        for csp in self.all() {
            let failures = [
                Answer::json(503, &serde_json::json!({"message": "not now"})),
                Answer::behave(),
                Answer::reset_after_read(),
                Answer::behave(),
            ];
            csp.script_for(Matching::path("/portfolios/p-1/"), failures);
        }
    }
}

/// A running trial: CSPs, a deployment and clients.
pub struct Trial {
    what: &'static str,
    csps: Csps,
    pub deployment: Deployment,
    pub shared: Arc<Shared>,
    clients: Vec<JoinHandle<()>>,
    rng: Rng,
    reported_at: Instant,
    started_at: Instant,
}

impl Trial {
    /// Sets up a deployment in `folder` with its queue at `queue`, and clients
    /// that wait for a host. With `refuses`, the host may answer 503.
    pub async fn begin(
        what: &'static str,
        built: &Built,
        folder: &Path,
        queue: &Path,
        seed: u64,
        refuses: bool,
    ) -> anyhow::Result<Self> {
        let csps = Csps::start().await?;
        let deployment = Deployment::new(built, folder, queue, &csps.all())?;
        let shared = Shared::new(refuses)?;
        let clients = clients::start(&shared, seed);
        let (reported_at, started_at) = (Instant::now(), Instant::now());
        let rng = Rng::with_seed(seed);
        Ok(Self { what, csps, deployment, shared, clients, rng, reported_at, started_at })
    }

    /// Lets a host run for a while under load, `cycles` times, and has
    /// `end_run` end each run. Compares the ledger with the disk between the
    /// runs.
    pub async fn cycles(
        &mut self,
        cycles: u32,
        mut end_run: impl AsyncFnMut(Host) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        for cycle in 1..=cycles {
            self.cycle(&mut end_run).await.with_context(|| format!("in cycle {cycle}"))?;
            self.report(cycle, cycles);
        }
        Ok(())
    }

    /// Lets a host run for a while under load, and has `end_run` end the run.
    /// Afterwards no client is at work, and the host is dead.
    pub async fn cycle(
        &mut self,
        end_run: impl AsyncFnOnce(Host) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let shared = Arc::clone(&self.shared);
        self.kill_early().await?;
        let mut pause = shared.run.write().await;
        let host = self.start_run(&mut pause).await?;
        drop(pause);
        tokio::time::sleep(Duration::from_millis(self.rng.u64(RUN_MS))).await;
        end_run(host).await?;
        *shared.run.write().await = None;
        Ok(())
    }

    /// Sets up a second host that shares nothing with the first but its queue.
    pub fn second(&self, built: &Built, folder: &Path, queue: &Path) -> anyhow::Result<Deployment> {
        Deployment::new(built, folder, queue, &self.csps.all())
    }

    async fn kill_early(&mut self) -> anyhow::Result<()> {
        if self.rng.u32(0..EARLY_KILLS) > 0 {
            return Ok(());
        }
        let mut early = self.deployment.spawn()?;
        tokio::time::sleep(Duration::from_millis(self.rng.u64(EARLY_MS))).await;
        early.kill().await.context("killing a host that starts")
    }

    /// Starts a host, compares the ledger with the disk, and publishes the
    /// host's address to the clients, which go on when `pause` is dropped.
    async fn start_run(
        &mut self,
        pause: &mut RwLockWriteGuard<'_, Option<HostRun>>,
    ) -> anyhow::Result<Host> {
        self.csps.script_failures();
        let host = self.deployment.start().await?;
        self.compare()?;
        **pause = Some(HostRun { api: host.api, admin: host.admin });
        Ok(host)
    }

    /// Compares the ledger with the disk while no client is at work.
    pub fn compare(&self) -> anyhow::Result<()> {
        let on_disk = disk::messages(&self.deployment.queue)?;
        self.shared.ledger().died(&on_disk);
        Ok(())
    }

    fn report(&mut self, cycle: u32, cycles: u32) {
        let counts = self.shared.ledger().counts();
        if self.reported_at.elapsed() >= REPORT_EVERY || cycle == cycles || !counts.is_good() {
            self.reported_at = Instant::now();
            println!("  {} {cycle}/{cycles}: {counts}", self.what);
        }
    }

    /// Ends the trial without finishing the work.
    pub fn abandon(self) {
        self.clients.iter().for_each(JoinHandle::abort);
    }

    /// Starts the last host, waits until all work is finished and collected,
    /// and returns the counts.
    pub async fn end(mut self) -> anyhow::Result<Counts> {
        let shared = Arc::clone(&self.shared);
        let mut pause = shared.run.write().await;
        let host = self.start_run(&mut pause).await?;
        drop(pause);
        shared.only_collect();
        let drained = self.drained().await;
        shared.stop();
        for client in std::mem::take(&mut self.clients) {
            client.await.context("a client panicked")?;
        }
        drained?;
        disk::check(&self.deployment.queue)?;
        host.kill().await?;
        let ledger = shared.ledger();
        let counts = ledger.counts();
        println!("{}: {counts} ({} s)", self.what, self.started_at.elapsed().as_secs());
        for error in ledger.errors() {
            println!("  {error}");
        }
        Ok(counts)
    }

    /// Waits until every queue is empty.
    async fn drained(&self) -> anyhow::Result<()> {
        let started_at = Instant::now();
        loop {
            let left = disk::messages(&self.deployment.queue)?;
            if left.is_empty() {
                return Ok(());
            }
            if started_at.elapsed() > DRAIN {
                let some: Vec<_> = left.keys().take(5).collect();
                bail!("{} messages are left after {DRAIN:?}: {some:?} …", left.len());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}
