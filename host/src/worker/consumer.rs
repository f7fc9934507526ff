//! A consumer of one queue of one CSP: receives messages and gives each group
//! its task.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::info;
use tracing::warn;

use super::Context;
use super::CspRuntime;
use super::process::DeliveryHandler;
use hoth_platform::failpoint;
use hoth_platform::failpoint::FailPoint;
use hoth_queue::BATCH_MAX;
use hoth_queue::Delivery;
use hoth_queue::QueueName;

/// Jobs in hand beyond the CSP's concurrent requests. A job that sleeps before
/// a retry holds no connection, and must not make other portfolios wait.
const RESTING_MAX: u32 = 256;

/// Pauses after a queue error: from the first, doubled up to the second. Long
/// enough to spare a struggling service, short enough that no job waits long
/// after the service has recovered.
pub const RECEIVE_BACKOFF: (Duration, Duration) =
    (Duration::from_millis(200), Duration::from_secs(10));

/// A consumer of one queue of one CSP.
pub struct Consumer {
    context: Arc<Context>,
    csp: CspRuntime,
    queue: QueueName,
    /// The permits of jobs in hand, which bound the memory that jobs take.
    in_hand: Arc<Semaphore>,
    /// The tasks of all consumers, for the drain to wait for.
    tasks: TaskTracker,
    /// Cancelled first: no more messages are received.
    stopping: CancellationToken,
    /// Cancelled second: jobs that still run are dropped.
    aborting: CancellationToken,
}

impl Consumer {
    /// Creates a consumer of `queue` that spawns its jobs on `tasks`.
    pub fn new(
        context: Arc<Context>,
        csp: CspRuntime,
        queue: QueueName,
        tasks: TaskTracker,
        stopping: CancellationToken,
        aborting: CancellationToken,
    ) -> Self {
        let in_hand_max = csp.max_concurrent.get().saturating_add(RESTING_MAX);
        let in_hand = Arc::new(Semaphore::new(in_hand_max as usize));
        Self { context, csp, queue, in_hand, tasks, stopping, aborting }
    }

    /// Serves the queue until the workers stop.
    pub async fn serve(self) {
        let stopping = self.stopping.clone();
        stopping.run_until_cancelled(self.receive_forever()).await;
    }

    async fn receive_forever(&self) {
        let mut backoff = RECEIVE_BACKOFF.0;
        loop {
            // Each of these waits can outlast the condition of the one before, so
            // the receive below checks the pause and the breaker again.
            self.ready().await;
            failpoint::reach(FailPoint::ConsumerLoop);
            let breaker = self.csp.client.breaker();
            let permit = breaker.receive_permit().await;
            // While the breaker is half open one job probes the CSP, and the
            // others stay on the queue.
            let permits = self.permits(if permit.probe.is_some() { 1 } else { BATCH_MAX }).await;
            let received = tokio::select! {
                // In this order, so that a change since the waits above counts
                // before a message is received. A dropped receive leaves no
                // lease behind.
                biased;
                () = self.csp.pause.paused() => continue,
                () = self.csp.secrets.unreadable() => continue,
                () = breaker.revoked(&permit) => continue,
                received = self.context.receive(&self.queue, permits.len()) => received,
            };
            match received {
                Ok(deliveries) => {
                    backoff = RECEIVE_BACKOFF.0;
                    let tasks = self.hand_out(deliveries, permits);
                    // The next job follows when this one is over, or after the
                    // pause: a call that hangs must not be the last probe.
                    if let Some(pause) = permit.probe {
                        tokio::select! {
                            () = breaker.revoked(&permit) => {}
                            _ = tokio::time::timeout(pause, join_all(tasks)) => {}
                        }
                    }
                }
                Err(error) => {
                    warn!(queue = %self.queue, error = &error as &dyn std::error::Error, event = "receive-failed", "Receive failed; next try in {backoff:?}");
                    tokio::time::sleep(backoff).await;
                    backoff = (backoff * 2).min(RECEIVE_BACKOFF.1);
                }
            }
        }
    }

    /// Waits until the CSP is not paused, its secrets can be read, and it has an
    /// active adapter.
    async fn ready(&self) {
        self.csp.pause.resumed().await;
        self.csp.secrets.readable().await;
        // Subscribed before the first look, so that an adapter which arrives
        // between the look and the wait is not missed.
        let mut changes = self.context.registry.changed();
        let mut logged = false;
        while let Err(reason) = self.context.registry.serving(&self.csp.name) {
            if !logged {
                warn!(csp = %self.csp.name, queue = %self.queue, "Jobs wait: {reason}");
                logged = true;
            }
            if changes.changed().await.is_err() {
                // The registry is gone, so the process is about to end.
                std::future::pending::<()>().await;
            }
        }
        if logged {
            info!(csp = %self.csp.name, queue = %self.queue, "Jobs go on: an adapter is active");
        }
    }

    /// Waits for room for one job, and takes room for up to `max` jobs.
    async fn permits(&self, max: usize) -> Vec<OwnedSemaphorePermit> {
        let first = Arc::clone(&self.in_hand).acquire_owned().await;
        let mut permits = vec![first.expect("the semaphore is never closed")];
        // Only the first permit is waited for: a full batch is no reason to delay
        // a job that could run now.
        while permits.len() < max {
            match Arc::clone(&self.in_hand).try_acquire_owned() {
                Ok(permit) => permits.push(permit),
                Err(_) => break,
            }
        }
        permits
    }

    /// Spawns a task for each group of the batch: messages of one group run one
    /// after the other, groups side by side.
    fn hand_out(
        &self,
        deliveries: Vec<Delivery>,
        mut permits: Vec<OwnedSemaphorePermit>,
    ) -> Vec<JoinHandle<()>> {
        let mut tasks = Vec::new();
        for batch in by_group(deliveries) {
            // A permit for each message of the group. Permits beyond the batch are
            // dropped with `permits`.
            let held = permits.split_off(permits.len().saturating_sub(batch.len()));
            let handler = DeliveryHandler {
                context: Arc::clone(&self.context),
                csp: self.csp.clone(),
                stopping: self.stopping.clone(),
            };
            let aborting = self.aborting.clone();
            tasks.push(self.tasks.spawn(async move {
                // `run_until_cancelled` would store the future twice.
                tokio::select! {
                    // In this order: a job that waits for a connection must not
                    // get that of a job which was dropped before it.
                    biased;
                    () = aborting.cancelled() => {}
                    () = handler.process_group(batch) => {}
                }
                drop(held);
            }));
        }
        tasks
    }
}

/// Splits a batch by group, and keeps the order within each group.
fn by_group(deliveries: Vec<Delivery>) -> Vec<Vec<Delivery>> {
    let mut groups: Vec<Vec<Delivery>> = Vec::new();
    for delivery in deliveries {
        match groups.iter_mut().find(|group| group[0].message.group == delivery.message.group) {
            Some(group) => group.push(delivery),
            None => groups.push(vec![delivery]),
        }
    }
    groups
}
