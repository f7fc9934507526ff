//! The state of the queues, read in bounded time.

use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use futures_util::future::join_all;
use tokio::sync::Semaphore;
use tokio::sync::watch;

use hoth_queue::Queue;
use hoth_queue::QueueError;
use hoth_queue::QueueName;
use hoth_queue::QueueStats;

/// The longest wait for a backend. `/metrics` and `/queues` answer within a
/// second, whatever the backend does.
pub const WAIT_MAX: Duration = Duration::from_millis(800);

/// The age up to which an earlier reading stands in for one that takes longer.
const AGE_MAX: Duration = Duration::from_secs(30);

/// The reason why the state of a queue is not known.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StatsError {
    #[error("the queue backend did not answer within {WAIT_MAX:?}")]
    Late,
    #[error(transparent)]
    Queue(Arc<QueueError>),
}

/// A reader of the state of all queues. A backend that does not answer costs a
/// caller [`WAIT_MAX`], and one read of each queue at a time.
pub struct StatsReader {
    queue: Arc<dyn Queue>,
    readings: Vec<(QueueName, Reading)>,
}

/// The last reading of one queue.
struct Reading {
    last: watch::Sender<Option<Finished>>,
    /// The permit of the read in progress. A read continues without its caller,
    /// so that a slow backend has an answer for the next one.
    in_progress: Arc<Semaphore>,
}

#[derive(Clone)]
struct Finished {
    at: Instant,
    result: Result<QueueStats, StatsError>,
    /// The time of the last read with a result, this one included.
    succeeded_at: Option<Instant>,
}

impl StatsReader {
    pub fn new(queue: Arc<dyn Queue>, names: &[QueueName]) -> Self {
        let reading = |name: &QueueName| {
            let (last, in_progress) = (watch::Sender::new(None), Arc::new(Semaphore::new(1)));
            (name.clone(), Reading { last, in_progress })
        };
        Self { queue, readings: names.iter().map(reading).collect() }
    }

    /// Reads every queue, side by side.
    pub async fn read_all(&self) -> Vec<(&QueueName, Result<QueueStats, StatsError>)> {
        let read =
            async |(name, reading): &'_ (QueueName, Reading)| reading.read(&self.queue, name).await;
        let results = join_all(self.readings.iter().map(read)).await;
        self.readings.iter().map(|(name, _)| name).zip(results).collect()
    }

    /// Returns the time since each queue was last read, also if that was for an
    /// earlier caller. Queues that were never read are left out.
    pub fn ages(&self) -> impl Iterator<Item = (&QueueName, Duration)> {
        self.readings.iter().filter_map(|(name, reading)| {
            let succeeded_at = reading.last.borrow().as_ref()?.succeeded_at?;
            Some((name, succeeded_at.elapsed()))
        })
    }

    /// Reads the state of one of the queues.
    pub async fn read(&self, wanted: &QueueName) -> Result<QueueStats, StatsError> {
        match self.readings.iter().find(|(name, _)| name == wanted) {
            Some((name, reading)) => reading.read(&self.queue, name).await,
            None => Err(StatsError::Late),
        }
    }
}

impl Reading {
    async fn read(
        &self,
        queue: &Arc<dyn Queue>,
        name: &QueueName,
    ) -> Result<QueueStats, StatsError> {
        let asked_at = Instant::now();
        let mut last = self.last.subscribe();
        if let Ok(permit) = Arc::clone(&self.in_progress).try_acquire_owned() {
            let (queue, name, last) = (Arc::clone(queue), name.clone(), self.last.clone());
            tokio::spawn(async move {
                let result = queue.stats(&name).await.map_err(|e| StatsError::Queue(Arc::new(e)));
                let at = Instant::now();
                last.send_modify(|last| {
                    let earlier = last.as_ref().and_then(|last| last.succeeded_at);
                    let succeeded_at = if result.is_ok() { Some(at) } else { earlier };
                    *last = Some(Finished { at, result, succeeded_at });
                });
                drop(permit);
            });
        }
        let is_fresh = |read: &Option<Finished>| read.as_ref().is_some_and(|f| f.at >= asked_at);
        let fresh = tokio::time::timeout(WAIT_MAX, last.wait_for(is_fresh)).await;
        if let Ok(Ok(fresh)) = fresh {
            return fresh.clone().expect("a fresh one is there").result;
        }
        let earlier = self.last.borrow().clone();
        earlier
            .filter(|read| read.at + AGE_MAX >= asked_at)
            .map_or(Err(StatsError::Late), |read| read.result)
    }
}
