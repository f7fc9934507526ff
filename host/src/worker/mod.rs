//! Takes jobs, drives adapters, acts on decisions.
//!
//! One [lane] per CSP and queue receives; each message, or row of
//! messages of one group, gets an [errand]: it [runs](run) the adapter, asks
//! [`workflow::decide`](hoth_core::workflow::decide) what to do, and
//! [settles](settle) the message accordingly while a
//! [heartbeat] extends its lease. Jobs whose CSP is not configured any more are
//! [forsaken], and told so.

mod errand;
mod forsaken;
mod gate;
mod heartbeat;
mod lane;
mod run;
mod settle;
mod standing;

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use gate::Gate;
pub use standing::Standing;

use crate::registry::Registry;
use crate::replay::Recorder;
use hoth_core::domain::CspName;
use hoth_core::domain::JobKind;
use hoth_core::workflow::PollPolicy;
use hoth_core::workflow::RetryPolicy;
use hoth_platform::clock::Clock;
use hoth_queue::Delivery;
use hoth_queue::Holder;
use hoth_queue::Queue;
use hoth_queue::QueueError;
use hoth_queue::QueueName;
use hoth_queue::Receive;
use hoth_queue::Stage;
use hoth_queue::WAIT_MAX;

/// Everything that workers share.
pub struct Context {
    pub queue: Arc<dyn Queue>,
    pub registry: Arc<Registry>,
    pub retry: RetryPolicy,
    pub polling: PollPolicy,
    /// Takes down what adapters are told, for replays.
    pub recorder: Recorder,
    /// For how long a message is leased, and by each heartbeat again.
    pub lease: Duration,
    pub clock: Clock,
}

impl Context {
    /// Up to `max` messages of a queue, held as long as somebody works on them.
    /// Waits for the first.
    async fn receive(&self, queue: &QueueName, max: usize) -> Result<Vec<Delivery>, QueueError> {
        let lease = self.lease;
        let receive = Receive { max, wait: WAIT_MAX, lease, holder: Holder::Process };
        self.queue.receive(queue, receive).await
    }
}

/// One CSP as workers see it.
#[derive(Clone)]
pub struct Destination {
    pub name: CspName,
    /// The name of the adapter that speaks to it.
    pub adapter: String,
    pub client: hoth_egress::Client,
    pub gate: Gate,
    /// How many requests may be under way at once; bounds the jobs in hand.
    pub max_concurrent: NonZeroU32,
}

/// Which queues this process serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Duties {
    /// Begin accepted jobs.
    pub requests: bool,
    /// Resume waiting jobs.
    pub waiting: bool,
}

impl Duties {
    fn serve(self, queue: &QueueName) -> bool {
        match queue.stage {
            Stage::Requests(_) => self.requests,
            Stage::Polls(_) => self.waiting,
            Stage::Outcomes => false,
        }
    }
}

/// The running workers.
pub struct Workers {
    tasks: TaskTracker,
    /// No more messages are received.
    stopping: CancellationToken,
    /// What still runs is dropped, and its messages go back.
    aborting: CancellationToken,
}

impl Workers {
    /// Starts a lane for every queue of every destination, and ends the jobs on
    /// `forsaken` queues, which nobody serves any more.
    pub fn start(
        context: &Arc<Context>,
        destinations: &BTreeMap<CspName, Destination>,
        forsaken: &[QueueName],
        duties: Duties,
    ) -> Self {
        let workers = Self {
            tasks: TaskTracker::new(),
            stopping: CancellationToken::new(),
            aborting: CancellationToken::new(),
        };
        for destination in destinations.values() {
            for kind in JobKind::ALL {
                if duties.requests {
                    let queue = QueueName::requests(kind, &destination.name);
                    workers.spawn_lane(context, destination, queue);
                }
                if duties.waiting {
                    let queue = QueueName::polls(kind, &destination.name);
                    workers.spawn_lane(context, destination, queue);
                }
            }
        }
        for queue in forsaken {
            if duties.serve(queue) {
                workers.end_jobs(context, queue.clone());
            }
        }
        workers.tasks.close();
        workers
    }

    fn end_jobs(&self, context: &Arc<Context>, queue: QueueName) {
        let ending = forsaken::end_jobs(Arc::clone(context), queue);
        let stopping = self.stopping.clone();
        self.tasks.spawn(async move {
            stopping.run_until_cancelled(ending).await;
        });
    }

    fn spawn_lane(&self, context: &Arc<Context>, destination: &Destination, queue: QueueName) {
        let lane = lane::Lane::new(
            Arc::clone(context),
            destination.clone(),
            queue,
            self.tasks.clone(),
            self.stopping.clone(),
            self.aborting.clone(),
        );
        self.tasks.spawn(lane.serve());
    }

    /// Stops receiving, lets what is in hand end within `grace`, and gives the
    /// rest back. Returns whether everything ended by itself.
    pub async fn drain(self, grace: Duration) -> bool {
        self.stopping.cancel();
        let in_time = tokio::time::timeout(grace, self.tasks.wait()).await.is_ok();
        self.aborting.cancel();
        self.tasks.wait().await;
        in_time
    }
}
