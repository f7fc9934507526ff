//! An embedded queue in a temporary folder, filled without a host.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;

use anyhow::Context as _;
use hoth_core::domain::Digest;
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

/// Messages of one group.
const GROUP: u64 = 10;

/// Callers at once.
const CALLERS: u64 = 64;

/// The number of messages that a caller deletes at a time.
const TAKEN: usize = 10;

/// A queue in a temporary folder of its own.
pub struct FilledQueue {
    queue: EmbeddedQueue,
    name: QueueName,
    pub clock: Clock,
    sent: AtomicU64,
    /// Returns the body of the message with this number.
    body: fn(u64) -> String,
    folder: tempfile::TempDir,
}

impl FilledQueue {
    /// Makes an empty file, with the queue `name`.
    pub fn open(
        name: QueueName,
        clock: Clock,
        body: fn(u64) -> String,
    ) -> anyhow::Result<Arc<Self>> {
        let folder = tempfile::tempdir().context("making a temporary folder")?;
        let config = Config {
            path: folder.path().join("hoth.db"),
            redelivery_hours: 24,
            log_max_bytes: LOG_MAX_BYTES,
        };
        let queue = EmbeddedQueue::open(&config, clock.clone()).context("opening the queue")?;
        Ok(Arc::new(Self { queue, name, clock, sent: AtomicU64::new(0), body, folder }))
    }

    /// Sends `messages` messages.
    pub async fn fill(self: &Arc<Self>, messages: u64) -> anyhow::Result<()> {
        let goal = self.sent.load(Ordering::Relaxed) + messages;
        each(self, move |queue| async move {
            while queue.send(Some(goal)).await? {}
            Ok(())
        })
        .await
    }

    /// Deletes all messages.
    pub async fn drain(self: &Arc<Self>) -> anyhow::Result<()> {
        each(self, |queue| async move {
            while queue.take(TAKEN).await? > 0 {}
            Ok(())
        })
        .await
    }

    /// Has every caller send and delete one message again and again, and
    /// returns the messages per second.
    pub async fn in_and_out(self: &Arc<Self>, time: Duration) -> anyhow::Result<f64> {
        let (before, started_at) = (self.sent.load(Ordering::Relaxed), Instant::now());
        each(self, move |queue| async move {
            while started_at.elapsed() < time {
                queue.send(None).await?;
                queue.take(1).await?;
            }
            Ok(())
        })
        .await?;
        let moved = self.sent.load(Ordering::Relaxed) - before;
        #[expect(clippy::cast_precision_loss, reason = "a run has fewer than 2^53 messages")]
        Ok(moved as f64 / started_at.elapsed().as_secs_f64())
    }

    /// Returns the path of the file.
    pub fn file(&self) -> PathBuf {
        self.folder.path().join("hoth.db")
    }

    /// Closes the file, so that a host can open it.
    pub async fn close(&self) {
        self.queue.close().await;
    }

    /// Sends the next message. Returns `false` if its number is `end`.
    async fn send(&self, end: Option<u64>) -> anyhow::Result<bool> {
        let number = self.sent.fetch_add(1, Ordering::Relaxed);
        if end.is_some_and(|end| number >= end) {
            self.sent.fetch_sub(1, Ordering::Relaxed);
            return Ok(false);
        }
        let key = format!("job-{number}");
        let message = NewMessage {
            group: GroupId::new(format!("group-{}", number / GROUP)).context("naming a group")?,
            dedup: Dedup {
                content: Digest::of(key.as_bytes()),
                key: DedupKey::new(key.as_str()).context("naming a message")?,
            },
            key,
            body: (self.body)(number),
            not_before: None,
        };
        self.queue.send(&self.name, message).await.context("sending")?;
        Ok(true)
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
}

/// Runs `work` for every caller at once, and waits for all.
async fn each<F>(
    queue: &Arc<FilledQueue>,
    work: impl Fn(Arc<FilledQueue>) -> F,
) -> anyhow::Result<()>
where
    F: Future<Output = anyhow::Result<()>> + Send + 'static,
{
    let callers: Vec<_> = (0..CALLERS).map(|_| tokio::spawn(work(Arc::clone(queue)))).collect();
    for caller in callers {
        caller.await.context("a caller panicked")??;
    }
    Ok(())
}
