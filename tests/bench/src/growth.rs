//! The cost of a backlog in the embedded queue, and the file size that stays.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;

use anyhow::Context as _;
use anyhow::ensure;
use hoth_core::domain::Digest;
use hoth_core::domain::JobKind;
use hoth_core::domain::Timestamp;
use hoth_platform::clock::Clock;
use hoth_queue::Dedup;
use hoth_queue::DedupKey;
use hoth_queue::GroupId;
use hoth_queue::Holder;
use hoth_queue::NewMessage;
use hoth_queue::Queue as _;
use hoth_queue::QueueName;
use hoth_queue::Receive;
use hoth_queue::embedded::Config;
use hoth_queue::embedded::EmbeddedQueue;
use hoth_queue::embedded::LOG_MAX_BYTES;

use crate::calls::INPUT;
use crate::figure::Figure;
use crate::figure::Target;
use crate::plain_sqlite::inserts_per_second;

/// Backlogs that are compared.
const FEW: u64 = 1_000;
const MANY: u64 = 1_000_000;

/// Messages that come and go before the file's size is measured.
const DRAINED: u64 = 100_000;

/// Messages of one group.
const GROUP: u64 = 10;

/// Callers at once.
const CALLERS: u64 = 64;

/// A time after which the queue has forgotten the key of a deleted message.
const FORGOTTEN: Duration = Duration::from_hours(25);

/// The longest wait for the queue to forget [`DRAINED`] messages.
const FORGETTING: Duration = Duration::from_secs(120);

/// A queue in a temporary folder of its own.
struct TempQueue {
    queue: Arc<EmbeddedQueue>,
    name: QueueName,
    clock: Clock,
    sent: AtomicU64,
    folder: tempfile::TempDir,
}

/// Measures messages per second in and out again behind a backlog of a million,
/// beside the same behind a thousand, and that beside plain inserts.
pub async fn backlog(time: Duration) -> anyhow::Result<Vec<Figure>> {
    let plain = inserts_per_second(INPUT, time)?;
    let queue = Arc::new(TempQueue::new()?);
    queue.fill(FEW).await?;
    let few = queue.in_and_out(time).await?;
    println!("  filling the queue with a million messages");
    queue.fill(MANY - FEW).await?;
    let many = queue.in_and_out(time).await?;
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
    ])
}

/// Measures the file size after a hundred thousand messages have come and gone
/// twice, beside its size after the first time.
pub async fn file() -> anyhow::Result<Figure> {
    let queue = Arc::new(TempQueue::new()?);
    let mut sizes = Vec::new();
    for _ in 0..2 {
        queue.fill(DRAINED).await?;
        queue.drain().await?;
        queue.clock.advance(FORGOTTEN);
        queue.forgotten().await?;
        sizes.push(queue.file_mib()?);
    }
    Ok(Figure {
        name: "the file after 100 000 messages, twice",
        measured: sizes[1],
        unit: "MiB",
        limit: Some(("after the first time", sizes[0])),
        target: Target::AtMostPartOfLimit(1.1),
    })
}

impl TempQueue {
    fn new() -> anyhow::Result<Self> {
        let folder = tempfile::tempdir().context("making a temporary folder")?;
        let config = Config {
            path: folder.path().join("hoth.db"),
            redelivery_hours: 24,
            log_max_bytes: LOG_MAX_BYTES,
        };
        let clock = Clock::manual(Timestamp::from_millis(1_893_542_400_000));
        let queue = EmbeddedQueue::open(&config, clock.clone()).context("opening the queue")?;
        let csp = "CSP_A".parse().context("naming a CSP")?;
        let name = QueueName::requests(JobKind::Provisioning, &csp);
        Ok(Self { queue: Arc::new(queue), name, clock, sent: AtomicU64::new(0), folder })
    }

    async fn send(&self) -> anyhow::Result<()> {
        let number = self.sent.fetch_add(1, Ordering::Relaxed);
        let key = format!("job-{number}");
        let message = NewMessage {
            group: GroupId::new(format!("group-{}", number / GROUP)).context("naming a group")?,
            dedup: Dedup {
                content: Digest::of(key.as_bytes()),
                key: DedupKey::new(key.as_str()).context("naming a message")?,
            },
            key,
            body: INPUT.to_owned(),
            not_before: None,
        };
        self.queue.send(&self.name, message).await.context("sending")?;
        Ok(())
    }

    /// Deletes up to `max` messages, and returns their number.
    async fn take(&self, max: usize) -> anyhow::Result<usize> {
        let receive = Receive {
            max,
            wait: Duration::ZERO,
            lease: Duration::from_secs(60),
            holder: Holder::Process,
        };
        let taken = self.queue.receive(&self.name, receive).await.context("receiving")?;
        let receipts: Vec<_> = taken.iter().map(|one| one.lease.receipt().clone()).collect();
        if !receipts.is_empty() {
            self.queue.delete(&self.name, &receipts).await.context("deleting")?;
        }
        Ok(receipts.len())
    }

    async fn fill(self: &Arc<Self>, messages: u64) -> anyhow::Result<()> {
        let goal = self.sent.load(Ordering::Relaxed) + messages;
        each(self, move |queue| async move {
            while queue.sent.load(Ordering::Relaxed) < goal {
                queue.send().await?;
            }
            Ok(())
        })
        .await
    }

    async fn drain(self: &Arc<Self>) -> anyhow::Result<()> {
        each(self, |queue| async move {
            while queue.take(10).await? > 0 {}
            Ok(())
        })
        .await
    }

    /// Has every caller send and delete one message again and again, and
    /// returns the messages per second.
    async fn in_and_out(self: &Arc<Self>, time: Duration) -> anyhow::Result<f64> {
        let (before, started_at) = (self.sent.load(Ordering::Relaxed), Instant::now());
        each(self, move |queue| async move {
            while started_at.elapsed() < time {
                queue.send().await?;
                queue.take(1).await?;
            }
            Ok(())
        })
        .await?;
        let moved = self.sent.load(Ordering::Relaxed) - before;
        #[expect(clippy::cast_precision_loss, reason = "a run has fewer than 2^53 messages")]
        Ok(moved as f64 / started_at.elapsed().as_secs_f64())
    }

    /// Waits until no deduplication key is remembered.
    async fn forgotten(&self) -> anyhow::Result<()> {
        let sql = rusqlite::Connection::open(self.file()).context("looking at the file")?;
        let started_at = Instant::now();
        loop {
            let left: u64 = sql.query_row("SELECT count(*) FROM dedup", [], |row| row.get(0))?;
            if left == 0 {
                return Ok(());
            }
            ensure!(started_at.elapsed() < FORGETTING, "{left} messages are still remembered");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    fn file(&self) -> std::path::PathBuf {
        self.folder.path().join("hoth.db")
    }

    #[expect(clippy::cast_precision_loss, reason = "files are smaller than 2^53 bytes")]
    fn file_mib(&self) -> anyhow::Result<f64> {
        let bytes = std::fs::metadata(self.file()).context("looking at the file")?.len();
        Ok(bytes as f64 / f64::from(1 << 20))
    }
}

/// Runs `work` for every caller at once, and waits for all.
async fn each<F>(queue: &Arc<TempQueue>, work: impl Fn(Arc<TempQueue>) -> F) -> anyhow::Result<()>
where
    F: Future<Output = anyhow::Result<()>> + Send + 'static,
{
    let callers: Vec<_> = (0..CALLERS).map(|_| tokio::spawn(work(Arc::clone(queue)))).collect();
    for caller in callers {
        caller.await.context("a caller panicked")??;
    }
    Ok(())
}
