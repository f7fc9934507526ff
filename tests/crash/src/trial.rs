//! A host under load that dies again and again, and a ledger that is compared
//! with its queue file each time.

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
use crate::clients::Life;
use crate::clients::Shared;
use crate::disk;
use crate::host::Built;
use crate::host::Host;
use crate::host::Site;
use crate::ledger::Counts;

/// How long each life of a host lasts under load.
const LIFE: std::ops::Range<u64> = 20..1_200;

/// One in so many hosts is killed once more while it starts, within this time.
const EARLY_DEATHS: u32 = 8;
const EARLY: std::ops::Range<u64> = 0..300;

/// How long the last host may take to work everything off.
const DRAIN: Duration = Duration::from_secs(180);

/// How often something is said meanwhile.
const SAY_EVERY: Duration = Duration::from_secs(10);

/// A CSP that answers at once, and one that works on what it was asked. Both
/// take a moment, and fail now and then.
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
        csps.make_trouble();
        Ok(csps)
    }

    /// `CSP_A` and `CSP_B`.
    pub fn all(&self) -> [&MockCsp; 2] {
        [&self.sync, &self.asynchronous]
    }

    /// One portfolio's next calls fail in ways that pass, then all is well.
    fn make_trouble(&self) {
        for csp in self.all() {
            let trouble = [
                Answer::json(503, &serde_json::json!({"message": "not now"})),
                Answer::behave(),
                Answer::reset_after_read(),
                Answer::behave(),
            ];
            csp.script_for(Matching::path("/portfolios/p-1/"), trouble);
        }
    }
}

/// One trial: CSPs, a site, clients.
pub struct Trial {
    what: &'static str,
    csps: Csps,
    pub site: Site,
    pub shared: Arc<Shared>,
    clients: Vec<JoinHandle<()>>,
    rng: Rng,
    said: Instant,
    begun: Instant,
}

impl Trial {
    /// Sets up a site in `folder` with its queue at `queue`, and clients that
    /// wait for a host. `refuses`: the host may answer 503.
    pub async fn begin(
        what: &'static str,
        built: &Built,
        folder: &Path,
        queue: &Path,
        seed: u64,
        refuses: bool,
    ) -> anyhow::Result<Self> {
        let csps = Csps::start().await?;
        let site = Site::new(built, folder, queue, &csps.all(), "")?;
        let shared = Shared::new(refuses)?;
        let clients = clients::start(&shared, seed);
        let (said, begun) = (Instant::now(), Instant::now());
        let rng = Rng::with_seed(seed);
        Ok(Self { what, csps, site, shared, clients, rng, said, begun })
    }

    /// Lets a host live for a while under load, `cycles` times, and has `blow`
    /// end each life. Between the lives the ledger is compared with the disk.
    pub async fn cycles(
        &mut self,
        cycles: u32,
        mut blow: impl AsyncFnMut(&Site, Host) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let shared = Arc::clone(&self.shared);
        let mut pause = shared.life.write().await;
        for cycle in 1..=cycles {
            self.die_early().await?;
            let host = self.live(&mut pause).await?;
            drop(pause);
            tokio::time::sleep(Duration::from_millis(self.rng.u64(LIFE))).await;
            blow(&self.site, host).await.with_context(|| format!("in cycle {cycle}"))?;
            pause = shared.life.write().await;
            *pause = None;
            self.say(cycle, cycles);
        }
        Ok(())
    }

    async fn die_early(&mut self) -> anyhow::Result<()> {
        if self.rng.u32(0..EARLY_DEATHS) > 0 {
            return Ok(());
        }
        let mut early = self.site.spawn()?;
        tokio::time::sleep(Duration::from_millis(self.rng.u64(EARLY))).await;
        early.kill().await.context("killing a host that starts")
    }

    /// Starts a host, compares the ledger with the disk, and lets the clients
    /// know where it is once they are let on.
    async fn live(
        &mut self,
        pause: &mut RwLockWriteGuard<'_, Option<Life>>,
    ) -> anyhow::Result<Host> {
        self.csps.make_trouble();
        let host = self.site.start().await?;
        self.compare()?;
        **pause = Some(Life { api: host.api });
        Ok(host)
    }

    /// Holds the ledger against the disk, when no client is at work.
    pub fn compare(&self) -> anyhow::Result<()> {
        let on_disk = disk::messages(&self.site.queue)?;
        self.shared.ledger().died(&on_disk);
        Ok(())
    }

    fn say(&mut self, cycle: u32, cycles: u32) {
        let counts = self.shared.ledger().counts();
        if self.said.elapsed() >= SAY_EVERY || cycle == cycles || !counts.is_good() {
            self.said = Instant::now();
            println!("  {} {cycle}/{cycles}: {counts}", self.what);
        }
    }

    /// Ends without having anything worked off.
    pub fn abandon(self) {
        self.clients.iter().for_each(JoinHandle::abort);
    }

    /// Starts the last host, has everything worked off and collected, and says
    /// what came of it all.
    pub async fn end(mut self) -> anyhow::Result<Counts> {
        let shared = Arc::clone(&self.shared);
        let mut pause = shared.life.write().await;
        let host = self.live(&mut pause).await?;
        drop(pause);
        shared.only_collect();
        let drained = self.drained().await;
        shared.stop();
        for client in std::mem::take(&mut self.clients) {
            client.await.context("a client panicked")?;
        }
        drained?;
        disk::check(&self.site.queue)?;
        host.kill().await?;
        let ledger = shared.ledger();
        let counts = ledger.counts();
        println!("{}: {counts} ({} s)", self.what, self.begun.elapsed().as_secs());
        for error in ledger.errors() {
            println!("  {error}");
        }
        Ok(counts)
    }

    /// Until every queue is empty.
    async fn drained(&self) -> anyhow::Result<()> {
        let begun = Instant::now();
        loop {
            let left = disk::messages(&self.site.queue)?;
            if left.is_empty() {
                return Ok(());
            }
            if begun.elapsed() > DRAIN {
                let some: Vec<_> = left.keys().take(5).collect();
                bail!("{} messages are left after {DRAIN:?}: {some:?} …", left.len());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}
