//! A consumer of one queue of one CSP: receives messages and gives each group
//! its task.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join;
use futures_util::future::join_all;
use metrics::Gauge;
use tokio::sync::Notify;
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
use crate::metrics::table;
use hoth_egress::Breaker;
use hoth_egress::ReceivePermit;
use hoth_platform::failpoint;
use hoth_platform::failpoint::FailPoint;
use hoth_queue::BATCH_MAX;
use hoth_queue::Delivery;
use hoth_queue::QueueName;
use hoth_queue::Stage;
use hoth_queue::WAIT_MAX;

/// Groups in hand beyond the CSP's concurrent requests. A job that sleeps before
/// a retry holds no connection, and must not make other portfolios wait.
const RESTING_MAX: u32 = 256;

/// Pauses after a queue error: from the first, doubled up to the second. Long
/// enough to spare a struggling service, short enough that no job waits long
/// after the service has recovered.
pub const RECEIVE_BACKOFF: (Duration, Duration) =
    (Duration::from_millis(200), Duration::from_secs(10));

/// Receives at one time while there is a backlog. A receive waits for a commit,
/// or for SQS, and returns [`BATCH_MAX`] messages at most.
const RECEIVES_MAX: usize = 8;

/// The most memory that the bodies of messages in hand take, in KiB, and the
/// share of it that a receive may need: [`BATCH_MAX`] messages of 1 MiB.
const BODIES_KIB_MAX: usize = 128 * 1024;
const BATCH_KIB: u32 = 10 * 1024;

/// A consumer of one queue of one CSP.
pub struct Consumer {
    context: Arc<Context>,
    csp: CspRuntime,
    queue: QueueName,
    /// The permits of groups in hand, each of which has one job at work.
    in_hand: Arc<Semaphore>,
    /// The permits of bodies in hand, one for each KiB.
    bodies: Arc<Semaphore>,
    /// The number of groups in hand, for operators.
    slots_used: Gauge,
    /// The time of the last answer of the queue.
    last_receive: Gauge,
    /// Notified when more messages wait than one receive returns.
    backlog: Notify,
    /// The tasks of all consumers, for the drain to wait for.
    tasks: TaskTracker,
    /// Cancelled first: no more messages are received.
    stopping: CancellationToken,
    /// Cancelled second: jobs that still run are dropped.
    aborting: CancellationToken,
}

/// A group in hand, counted until this is dropped.
struct SlotUsed(Gauge);

impl SlotUsed {
    fn new(used: &Gauge) -> Self {
        used.increment(1);
        Self(used.clone())
    }
}

impl Drop for SlotUsed {
    fn drop(&mut self) {
        self.0.decrement(1);
    }
}

/// The room for the messages of one receive.
struct Room {
    /// One for each group that may come.
    groups: Vec<OwnedSemaphorePermit>,
    bodies: OwnedSemaphorePermit,
}

/// The result of a receive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Received {
    /// As many messages as were asked for, so there may be more.
    All,
    /// All messages that there are, or none.
    Fewer,
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
        table::WORKER_SLOTS.with(&[&queue.to_string()]).set(in_hand_max);
        Self {
            in_hand: Arc::new(Semaphore::new(in_hand_max as usize)),
            bodies: Arc::new(Semaphore::new(BODIES_KIB_MAX)),
            slots_used: table::WORKER_SLOTS_USED.with(&[&queue.to_string()]),
            last_receive: table::WORKER_LAST_RECEIVE.with(&[&queue.to_string()]),
            backlog: Notify::new(),
            context,
            csp,
            queue,
            tasks,
            stopping,
            aborting,
        }
    }

    /// Serves the queue until the workers stop.
    pub async fn serve(self) {
        // From the start on, so that a queue which never answers is noticed.
        self.last_receive.set(Duration::from_millis(self.context.clock.wall().as_millis()));
        let more = join_all((1..RECEIVES_MAX).map(|_| self.receive_backlog()));
        let all = join(self.receive_forever(), more);
        self.stopping.run_until_cancelled(all).await;
    }

    async fn receive_forever(&self) {
        let mut backoff = RECEIVE_BACKOFF.0;
        loop {
            if self.receive(WAIT_MAX, &mut backoff).await == Received::All {
                self.backlog.notify_waiters();
            }
        }
    }

    /// Receives beside [`Self::receive_forever`] while messages wait.
    async fn receive_backlog(&self) {
        let mut backoff = RECEIVE_BACKOFF.0;
        loop {
            self.backlog.notified().await;
            while self.receive(Duration::ZERO, &mut backoff).await == Received::All {}
        }
    }

    /// Receives once, as soon as jobs can run, and hands the messages out.
    async fn receive(&self, wait: Duration, backoff: &mut Duration) -> Received {
        // Each of these waits can outlast the condition of the one before, so
        // the receive below checks the pause and the breaker again.
        self.ready().await;
        failpoint::reach(FailPoint::ConsumerLoop);
        let (breaker, permit) = self.permit().await;
        if permit.probe.is_some() && wait.is_zero() {
            // The receive that waits makes the probe, alone.
            return Received::Fewer;
        }
        // While the breaker is half open one job probes the CSP, and the others
        // stay on the queue.
        let room = self.room(if permit.probe.is_some() { 1 } else { BATCH_MAX }).await;
        let asked = room.groups.len();
        let received = tokio::select! {
            // In this order, so that a change since the waits above counts
            // before a message is received. A dropped receive leaves no lease
            // behind.
            biased;
            () = self.context.drain.switch.paused() => return Received::Fewer,
            () = self.csp.pause.paused() => return Received::Fewer,
            () = self.csp.secrets.unreadable() => return Received::Fewer,
            () = breaker.revoked(&permit) => return Received::Fewer,
            received = self.context.receive(&self.queue, asked, wait) => received,
        };
        let deliveries = match received {
            Ok(deliveries) => deliveries,
            Err(error) => {
                warn!(queue = %self.queue, error = &error as &dyn std::error::Error, event = "receive-failed", "Receive failed; next try in {backoff:?}");
                tokio::time::sleep(*backoff).await;
                *backoff = (*backoff * 2).min(RECEIVE_BACKOFF.1);
                return Received::Fewer;
            }
        };
        *backoff = RECEIVE_BACKOFF.0;
        self.last_receive.set(Duration::from_millis(self.context.clock.wall().as_millis()));
        let got_all = deliveries.len() == asked;
        let tasks = self.hand_out(deliveries, room);
        // The next job follows when this one is over, or after the pause: a call
        // that hangs must not be the last probe.
        if let Some(pause) = permit.probe {
            tokio::select! {
                () = breaker.revoked(&permit) => {}
                _ = tokio::time::timeout(pause, join_all(tasks)) => {}
            }
            return Received::Fewer;
        }
        if got_all { Received::All } else { Received::Fewer }
    }

    /// Waits until a breaker lets jobs be received. Requests and checkpoints go
    /// to the origin of the base URL, polls to any origin.
    async fn permit(&self) -> (&Breaker, ReceivePermit) {
        match self.queue.stage {
            Stage::Polls(_) => self.csp.client.poll_permit().await,
            Stage::Requests(_) | Stage::Outcomes => {
                let breaker = self.csp.client.breaker();
                (breaker, breaker.receive_permit().await)
            }
        }
    }

    /// Waits until the host is not drained, the CSP is not paused, its secrets can
    /// be read, and it has an active adapter.
    async fn ready(&self) {
        self.context.drain.switch.resumed().await;
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

    /// Waits for room for one group, and takes room for up to `max` groups.
    async fn room(&self, max: usize) -> Room {
        let bodies = Arc::clone(&self.bodies).acquire_many_owned(BATCH_KIB).await;
        let first = Arc::clone(&self.in_hand).acquire_owned().await;
        let mut groups = vec![first.expect("the semaphore is never closed")];
        // Only the first permit is waited for: a full batch is no reason to delay
        // a job that could run now.
        while groups.len() < max {
            match Arc::clone(&self.in_hand).try_acquire_owned() {
                Ok(permit) => groups.push(permit),
                Err(_) => break,
            }
        }
        Room { groups, bodies: bodies.expect("the semaphore is never closed") }
    }

    /// Spawns a task for each group of the batch: messages of one group run one
    /// after the other, groups side by side. Room beyond the batch is free
    /// again.
    fn hand_out(&self, deliveries: Vec<Delivery>, mut room: Room) -> Vec<JoinHandle<()>> {
        let mut tasks = Vec::new();
        for batch in by_group(deliveries) {
            let used = SlotUsed::new(&self.slots_used);
            let in_hand = self.context.drain.take();
            let held = (room.groups.pop(), room.bodies.split(kib(&batch)), used, in_hand);
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

/// Returns the memory that the bodies of a batch take, in KiB.
fn kib(batch: &[Delivery]) -> usize {
    let bytes: usize = batch.iter().map(|delivery| delivery.message.body.len()).sum();
    bytes.div_ceil(1024)
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
