//! Durable accepts, beside the work that no host can do without.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use mock_csp::MockCsp;

use crate::client::Length;
use crate::client::Load;
use crate::client::load;
use crate::echo::Echo;
use crate::echo::Work;
use crate::figure::Figure;
use crate::figure::Target;
use crate::figure::quantile;
use crate::host::Built;
use crate::host::Host;
use crate::jobs;
use crate::log_meter::LogMeter;
use crate::sync_time::sync_ms;
use crate::usage::Usage;

/// The numbers of clients: enough to fill a group commit, and four times that.
const FEW: usize = 64;
const MANY: usize = 256;

/// Turns of the host and of each limit in one load. They alternate, because
/// the disk and the machine change from minute to minute.
const TURNS: u32 = 3;

/// A sync this fast leaves the rate to the host.
const FAST_SYNC_MS: f64 = 0.2;

/// The accepts that a host must reach on a disk with [`FAST_SYNC_MS`].
const FAST_SYNC_ACCEPTS: f64 = 20_000.0;

/// The cost of all exchanges with one server.
#[derive(Default)]
struct Measured {
    load: Load,
    usage: Usage,
    log_bytes: u64,
}

/// The host or a limit, under load.
struct Server {
    id: u32,
    address: SocketAddr,
    /// The file whose log is counted; `None` for a limit.
    queue_file: Option<PathBuf>,
    measured: Measured,
}

/// The host and its two limits, under the same load.
struct Compared {
    host: Measured,
    storing: Measured,
    echo: Measured,
    /// Median of the syncs between the turns.
    sync_ms: f64,
}

/// Measures durable accepts per second and their cost with few and with many
/// clients. The limit echoes the same body on the same listener and inserts it
/// into plain SQLite, 64 a commit.
pub async fn accepts(built: &Built, csp: &MockCsp, time: Duration) -> anyhow::Result<Vec<Figure>> {
    let few = Compared::measure(built, csp, FEW, time).await?;
    let many = Compared::measure(built, csp, MANY, time).await?;
    let best = few.host.load.per_second().max(many.host.load.per_second());
    let is_fast = few.sync_ms.min(many.sync_ms) <= FAST_SYNC_MS;
    let mut figures =
        few.figures(["durable accepts, 64 clients", "host CPU of one accept, 64 clients"]);
    figures.extend(
        many.figures(["durable accepts, 256 clients", "host CPU of one accept, 256 clients"]),
    );
    let row = |name, measured, unit, limit, target| Figure { name, measured, unit, limit, target };
    let echo = Some(("echo that stores nothing", few.echo.load.per_second()));
    let plain = |bytes: f64| Some(("echo and plain insert", bytes));
    figures.extend([
        row(
            "durable accepts, the better of both",
            best,
            "/s",
            echo,
            if is_fast { Target::AtLeast(FAST_SYNC_ACCEPTS) } else { Target::None },
        ),
        row("write-ahead log of one accept", few.host.log_kb(), "KB", None, Target::AtMost(3.0)),
        row(
            "disk writes of one accept, with checkpoints",
            few.host.written_kb(),
            "KB",
            plain(few.storing.written_kb()),
            Target::None,
        ),
        row("sync of a page, p50", few.sync_ms, "ms", None, Target::None),
    ]);
    Ok(figures)
}

impl Compared {
    /// Measures the host and the limits with `clients` clients. All of them are
    /// started for it, so that none has a backlog at first.
    async fn measure(
        built: &Built,
        csp: &MockCsp,
        clients: usize,
        time: Duration,
    ) -> anyhow::Result<Self> {
        let echo = Echo::start(Work::Echo).await?;
        let storing = Echo::start(Work::EchoAndInsert).await?;
        let host = Host::start(built, csp, "", "api").await?;
        let mut servers = [
            Server::new(echo.id()?, echo.address, None),
            Server::new(storing.id()?, storing.address, None),
            Server::new(host.id()?, host.api, Some(host.queue_file())),
        ];
        let mut syncs = vec![sync_ms()?];
        for turn in 0..TURNS {
            let mut order = servers.each_mut();
            // Every other turn is the other way round, so that a disk that
            // becomes slower counts for none and against none.
            if turn % 2 == 1 {
                order.reverse();
            }
            let request = move |client, n| jobs::job(&format!("a{clients}-{turn}"), client, n);
            for server in order {
                server.serve(clients, time / TURNS, request).await?;
            }
            syncs.push(sync_ms()?);
        }
        host.end().await?;
        echo.end().await?;
        storing.end().await?;
        let [echo, storing, host] = servers.map(|server| server.measured);
        Ok(Self { host, storing, echo, sync_ms: quantile(&mut syncs, 0.5) })
    }

    /// Returns the rate and the processor time, under these names.
    fn figures(&self, [rate, cpu]: [&'static str; 2]) -> Vec<Figure> {
        let limit = "echo and plain insert";
        vec![
            Figure {
                name: rate,
                measured: self.host.load.per_second(),
                unit: "/s",
                limit: Some((limit, self.storing.load.per_second())),
                target: Target::PartOfLimit(0.5),
            },
            Figure {
                name: cpu,
                measured: self.host.cpu_micros(),
                unit: "us",
                limit: Some((limit, self.storing.cpu_micros())),
                target: Target::None,
            },
        ]
    }
}

impl Server {
    fn new(id: u32, address: SocketAddr, queue_file: Option<PathBuf>) -> Self {
        Self { id, address, queue_file, measured: Measured::default() }
    }

    /// Adds a load of `time` to what was measured.
    async fn serve(
        &mut self,
        clients: usize,
        time: Duration,
        request: impl Fn(usize, u64) -> Vec<u8> + Clone + Send + 'static,
    ) -> anyhow::Result<()> {
        let meter = self.queue_file.as_deref().map(LogMeter::start).transpose()?;
        let before = Usage::of(&[self.id])?;
        let loaded = load(self.address, clients, Length::Time(time), 201, request).await;
        let after = Usage::of(&[self.id]);
        // Stopped in any case: its thread would disturb the next measurement.
        if let Some(meter) = meter {
            self.measured.log_bytes += meter.stop()?;
        }
        self.measured.load += loaded?;
        self.measured.usage += after?.since(before);
        Ok(())
    }
}

impl Measured {
    fn cpu_micros(&self) -> f64 {
        self.usage.cpu_micros_each(self.load.exchanges)
    }

    fn written_kb(&self) -> f64 {
        self.usage.written_kb_each(self.load.exchanges)
    }

    #[expect(clippy::cast_precision_loss, reason = "a log has fewer than 2^53 bytes")]
    fn log_kb(&self) -> f64 {
        self.log_bytes as f64 / 1_000.0 / self.load.exchanges as f64
    }
}
