//! One queue of one CSP: receives messages and gives each its task.

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
use super::Destination;
use super::errand::Errand;
use hoth_queue::BATCH_MAX;
use hoth_queue::Delivery;
use hoth_queue::QueueName;

/// Jobs in hand beyond the CSP's concurrent requests: those that sleep before
/// a retry hold no connection, and must not keep other portfolios waiting.
const RESTING_MAX: u32 = 256;

/// Pauses after a queue error: from the first, doubled up to the second. Long
/// enough to leave a struggling service alone, short enough that nobody waits
/// after it has recovered.
pub const RECEIVE_BACKOFF: (Duration, Duration) =
    (Duration::from_millis(200), Duration::from_secs(10));

/// One queue of one CSP.
pub struct Lane {
    context: Arc<Context>,
    destination: Destination,
    queue: QueueName,
    in_hand: Arc<Semaphore>,
    tasks: TaskTracker,
    stopping: CancellationToken,
    aborting: CancellationToken,
}

impl Lane {
    pub fn new(
        context: Arc<Context>,
        destination: Destination,
        queue: QueueName,
        tasks: TaskTracker,
        stopping: CancellationToken,
        aborting: CancellationToken,
    ) -> Self {
        let in_hand_max = destination.max_concurrent.get().saturating_add(RESTING_MAX);
        let in_hand = Arc::new(Semaphore::new(in_hand_max as usize));
        Self { context, destination, queue, in_hand, tasks, stopping, aborting }
    }

    /// Serves the queue until the workers stop.
    pub async fn serve(self) {
        let stopping = self.stopping.clone();
        stopping.run_until_cancelled(self.receive_for_ever()).await;
    }

    async fn receive_for_ever(&self) {
        let mut backoff = RECEIVE_BACKOFF.0;
        loop {
            self.ready().await;
            let breaker = self.destination.client.breaker();
            let admission = breaker.admission().await;
            let permits = self.permits(if admission.probe.is_some() { 1 } else { BATCH_MAX }).await;
            let received = tokio::select! {
                // First, so that what has changed meanwhile counts.
                biased;
                () = self.destination.gate.closed() => continue,
                () = breaker.ended(&admission) => continue,
                received = self.context.receive(&self.queue, permits.len()) => received,
            };
            match received {
                Ok(deliveries) => {
                    backoff = RECEIVE_BACKOFF.0;
                    let tasks = self.hand_out(deliveries, permits);
                    if let Some(pause) = admission.probe {
                        tokio::select! {
                            () = breaker.ended(&admission) => {}
                            _ = tokio::time::timeout(pause, join_all(tasks)) => {}
                        }
                    }
                }
                Err(error) => {
                    warn!(queue = %self.queue, error = &error as &dyn std::error::Error, "Receiving is interrupted; next try in {backoff:?}");
                    tokio::time::sleep(backoff).await;
                    backoff = (backoff * 2).min(RECEIVE_BACKOFF.1);
                }
            }
        }
    }

    /// Waits until the CSP is not paused and has an adapter.
    async fn ready(&self) {
        self.destination.gate.opened().await;
        let mut changes = self.context.registry.changed();
        let mut said = false;
        while let Err(reason) = self.context.registry.serving(&self.destination.name) {
            if !said {
                warn!(csp = %self.destination.name, queue = %self.queue, "Jobs wait: {reason}");
                said = true;
            }
            if changes.changed().await.is_err() {
                // The registry is gone, so the process is about to end.
                std::future::pending::<()>().await;
            }
        }
        if said {
            info!(csp = %self.destination.name, queue = %self.queue, "Jobs go on: an adapter is active");
        }
    }

    /// Room for at least one job, and for up to `max` where there is.
    async fn permits(&self, max: usize) -> Vec<OwnedSemaphorePermit> {
        let first = Arc::clone(&self.in_hand).acquire_owned().await;
        let mut permits = vec![first.expect("the semaphore is never closed")];
        while permits.len() < max {
            match Arc::clone(&self.in_hand).try_acquire_owned() {
                Ok(permit) => permits.push(permit),
                Err(_) => break,
            }
        }
        permits
    }

    /// Gives every group its task: messages of one group go one after the
    /// other, groups side by side.
    fn hand_out(
        &self,
        deliveries: Vec<Delivery>,
        mut permits: Vec<OwnedSemaphorePermit>,
    ) -> Vec<JoinHandle<()>> {
        let mut tasks = Vec::new();
        for row in rows(deliveries) {
            let held = permits.split_off(permits.len().saturating_sub(row.len()));
            let errand = Errand {
                context: Arc::clone(&self.context),
                destination: self.destination.clone(),
                stopping: self.stopping.clone(),
            };
            let aborting = self.aborting.clone();
            tasks.push(self.tasks.spawn(async move {
                // `run_until_cancelled` would keep room for two copies of it.
                tokio::select! {
                    () = aborting.cancelled() => {}
                    () = errand.run_row(row) => {}
                }
                drop(held);
            }));
        }
        tasks
    }
}

/// Splits a batch by group, keeping the order within each.
fn rows(deliveries: Vec<Delivery>) -> Vec<Vec<Delivery>> {
    let mut rows: Vec<Vec<Delivery>> = Vec::new();
    for delivery in deliveries {
        match rows.iter_mut().find(|row| row[0].message.group == delivery.message.group) {
            Some(row) => row.push(delivery),
            None => rows.push(vec![delivery]),
        }
    }
    rows
}
