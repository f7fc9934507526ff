//! The cost of a backlog in the embedded queue, and the file size that stays.

use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use anyhow::Context as _;
use anyhow::ensure;
use hoth_core::domain::JobKind;
use hoth_core::domain::Timestamp;
use hoth_platform::clock::Clock;
use hoth_queue::QueueName;
use mock_csp::MockCsp;

use crate::calls::INPUT;
use crate::client::Connection;
use crate::client::get;
use crate::figure::Figure;
use crate::figure::Target;
use crate::figure::quantile;
use crate::filled_queue::FilledQueue;
use crate::host::Built;
use crate::host::Host;
use crate::plain_sqlite::inserts_per_second;

/// Backlogs that are compared.
const FEW: u64 = 1_000;
const MANY: u64 = 1_000_000;

/// Messages that come and go before the file's size is measured.
const DRAINED: u64 = 100_000;

/// Measured requests for the metrics.
const SCRAPES: usize = 50;

/// A time after which the queue has forgotten the key of a deleted message: a
/// day, and a period of six hours that ends later.
const FORGOTTEN: Duration = Duration::from_hours(31);

/// The longest wait for the queue to forget [`DRAINED`] messages.
const FORGETTING: Duration = Duration::from_secs(120);

/// Measures messages per second in and out again behind a backlog of a million,
/// beside the same behind a thousand, and that beside plain inserts, and then
/// `GET /metrics` on that backlog.
pub async fn backlog(built: &Built, csp: &MockCsp, time: Duration) -> anyhow::Result<Vec<Figure>> {
    let plain = inserts_per_second(INPUT, time)?;
    let queue = requests(Clock::system())?;
    queue.fill(FEW).await?;
    let few = queue.in_and_out(time).await?;
    fill(&queue, MANY - FEW).await?;
    let many = queue.in_and_out(time).await?;
    let scrape = scrape(built, csp, &queue).await?;
    Ok(vec![
        Figure {
            name: "queued and taken again, 1 000 waiting",
            measured: few,
            unit: "/s",
            limit: Some(("plain SQLite inserts, 64 a commit", plain)),
            target: Target::None,
        },
        Figure {
            name: "queued and taken again, 1 000 000 waiting",
            measured: many,
            unit: "/s",
            limit: Some(("the same with 1 000 waiting", few)),
            target: Target::PartOfLimit(0.8),
        },
        scrape,
    ])
}

/// Measures `GET /metrics` on a backlog of a million.
pub async fn metrics(built: &Built, csp: &MockCsp) -> anyhow::Result<Vec<Figure>> {
    let queue = requests(Clock::system())?;
    fill(&queue, MANY).await?;
    Ok(vec![scrape(built, csp, &queue).await?])
}

async fn fill(queue: &Arc<FilledQueue>, messages: u64) -> anyhow::Result<()> {
    println!("  filling the queue with a million messages");
    let started_at = Instant::now();
    queue.fill(messages).await?;
    println!("  filled in {:.0} s", started_at.elapsed().as_secs_f64());
    Ok(())
}

/// Measures `GET /metrics` of a host on a queue with a million messages, beside
/// the same of a host with none.
async fn scrape(built: &Built, csp: &MockCsp, queue: &FilledQueue) -> anyhow::Result<Figure> {
    queue.close().await;
    let empty = Host::start(built, csp, "", "api").await?;
    let full = Host::start_on(built, csp, &queue.file()).await?;
    Ok(Figure {
        name: "GET /metrics, 1 000 000 messages waiting, p50",
        measured: scrape_ms(&full).await?,
        unit: "ms",
        limit: Some(("no messages", scrape_ms(&empty).await?)),
        target: Target::AtMost(20.0),
    })
}

/// Returns the median time of a request for the metrics, in milliseconds.
async fn scrape_ms(host: &Host) -> anyhow::Result<f64> {
    let mut admin = Connection::open(host.admin).await?;
    let mut samples = Vec::with_capacity(SCRAPES);
    for _ in 0..SCRAPES {
        let started_at = Instant::now();
        let answer = admin.exchange(&get("/metrics")).await?;
        ensure!(answer.status == 200, "GET /metrics was answered with {}", answer.status);
        samples.push(started_at.elapsed().as_secs_f64() * 1_000.0);
    }
    Ok(quantile(&mut samples, 0.5))
}

/// Measures the file size after a hundred thousand messages have come and gone
/// twice, beside its size after the first time.
pub async fn file() -> anyhow::Result<Vec<Figure>> {
    let queue = requests(Clock::manual(Timestamp::from_millis(1_893_542_400_000)))?;
    let mut sizes = Vec::new();
    for _ in 0..2 {
        queue.fill(DRAINED).await?;
        queue.drain().await?;
        queue.clock.advance(FORGOTTEN);
        forgotten(&queue).await?;
        sizes.push(file_mib(&queue)?);
    }
    Ok(vec![Figure {
        name: "the file after 100 000 messages, twice",
        measured: sizes[1],
        unit: "MiB",
        limit: Some(("after the first time", sizes[0])),
        target: Target::AtMostPartOfLimit(1.1),
    }])
}

fn requests(clock: Clock) -> anyhow::Result<Arc<FilledQueue>> {
    let csp = "CSP_A".parse().context("naming a CSP")?;
    FilledQueue::open(QueueName::requests(JobKind::Provisioning, &csp), clock, |_| INPUT.to_owned())
}

/// Waits until no deduplication key is remembered.
async fn forgotten(queue: &FilledQueue) -> anyhow::Result<()> {
    let sql = rusqlite::Connection::open(queue.file()).context("looking at the file")?;
    let started_at = Instant::now();
    loop {
        let left: i64 = sql.query_row(
            "SELECT (SELECT count(*) FROM recent_keys) + (SELECT count(*) FROM known_keys)",
            [],
            |row| row.get(0),
        )?;
        if left == 0 {
            return Ok(());
        }
        ensure!(started_at.elapsed() < FORGETTING, "{left} messages are still remembered");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[expect(clippy::cast_precision_loss, reason = "files are smaller than 2^53 bytes")]
fn file_mib(queue: &FilledQueue) -> anyhow::Result<f64> {
    let bytes = std::fs::metadata(queue.file()).context("looking at the file")?.len();
    Ok(bytes as f64 / f64::from(1 << 20))
}
