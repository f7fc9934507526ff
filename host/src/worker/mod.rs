//! Workers: receive jobs, run their adapters, and settle their messages.
//!
//! A [consumer] receives from one queue of one CSP. Each group of messages in
//! a batch gets a [delivery handler](process), which [runs](run) the adapter,
//! asks [`workflow::decide`](hoth_core::workflow::decide) for the next move,
//! and [settles](settle) the message, while a [heartbeat] extends the leases.
//! Jobs of a CSP that is no longer configured are [orphaned] and end with a
//! failure message.

mod config;
mod consumer;
mod drain;
mod heartbeat;
mod orphaned;
mod pause_switch;
mod process;
mod run;
mod run_events;
mod secrets;
mod settle;
mod status;

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use config::Config;
pub use config::PollingConfig;
pub use config::ProvisioningConfig;
pub use config::RetryConfig;
pub use drain::Drain;
pub use pause_switch::PauseSwitch;
pub use secrets::SecretWatch;
pub use status::CspStatus;

use crate::observe::Observers;
use crate::registry::Registry;
use crate::replay::Recorder;
use crate::supervisor::Supervisor;
use crate::traces::Tracer;
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

/// The state that all workers of a process share.
pub struct Context {
    pub queue: Arc<dyn Queue>,
    /// Selects the version of an adapter at the begin of each run.
    pub registry: Arc<Registry>,
    /// The retries of a request within one run.
    pub retry: RetryPolicy,
    /// The waits of a job between two runs.
    pub polling: PollPolicy,
    /// Records the inputs of adapters, for replays.
    pub recorder: Recorder,
    /// Notices a consumer that ends.
    pub supervisor: Supervisor,
    /// Begins the traces of runs.
    pub tracer: Tracer,
    /// The length of a message's lease; each heartbeat renews it.
    pub lease: Duration,
    pub clock: Clock,
    /// Learn what happened to each job.
    pub observers: Observers,
    /// Holds all jobs back while an operator drains this host.
    pub drain: Drain,
}

impl Context {
    /// Receives up to `max` messages, and waits up to `wait` for the first one.
    /// The leases end with this process.
    async fn receive(
        &self,
        queue: &QueueName,
        max: usize,
        wait: Duration,
    ) -> Result<Vec<Delivery>, QueueError> {
        let receive = Receive { max, wait, lease: self.lease, holder: Holder::Process };
        let trace = self.tracer.worker_receive(queue);
        let received = self.queue.receive(queue, receive).await;
        trace.end(received.as_deref());
        received
    }
}

/// The running parts of one configured CSP.
#[derive(Clone)]
pub struct CspRuntime {
    pub name: CspName,
    /// The name of the adapter that speaks to the CSP.
    pub adapter: String,
    /// Makes the calls, and holds the circuit breaker.
    pub client: hoth_egress::Client,
    /// True if the CSP gets the trace contexts of its jobs.
    pub gets_traces: bool,
    /// Shared with the admin API.
    pub pause: PauseSwitch,
    /// Holds jobs back while a secret cannot be read.
    pub secrets: SecretWatch,
    /// The largest number of requests under way at one time. It also bounds the
    /// jobs in hand.
    pub max_concurrent: NonZeroU32,
}

/// The stages of a job that this process serves, by its roles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServedStages {
    /// `true` to begin accepted jobs.
    pub requests: bool,
    /// `true` to resume jobs that wait for their CSP.
    pub polls: bool,
}

impl ServedStages {
    fn contains(self, queue: &QueueName) -> bool {
        match queue.stage {
            Stage::Requests(_) => self.requests,
            Stage::Polls(_) => self.polls,
            Stage::Outcomes => false,
        }
    }
}

/// The running workers of a process.
pub struct Workers {
    /// The consumers and the jobs in hand.
    tasks: TaskTracker,
    /// Cancelled first: no more messages are received.
    stopping: CancellationToken,
    /// Cancelled second: jobs that still run are dropped, and their messages
    /// go back to their queues.
    aborting: CancellationToken,
}

impl Workers {
    /// Starts a consumer for every served queue of every CSP, and ends the jobs
    /// on `orphaned` queues, which have no consumer.
    pub fn start(
        context: &Arc<Context>,
        csps: &BTreeMap<CspName, CspRuntime>,
        orphaned: &[QueueName],
        served: ServedStages,
    ) -> Self {
        let workers = Self {
            tasks: TaskTracker::new(),
            stopping: CancellationToken::new(),
            aborting: CancellationToken::new(),
        };
        // A consumer for each queue, with its own bound on jobs in hand: polls do
        // not wait behind new jobs, and no CSP waits for another one.
        for csp in csps.values() {
            workers.spawn_secret_watch(context, csp);
            for kind in JobKind::ALL {
                for queue in
                    [QueueName::requests(kind, &csp.name), QueueName::polls(kind, &csp.name)]
                {
                    if served.contains(&queue) {
                        workers.spawn_consumer(context, csp, queue);
                    }
                }
            }
        }
        for queue in orphaned {
            if served.contains(queue) {
                workers.spawn_ending(context, queue.clone());
            }
        }
        // A closed tracker still takes tasks; closing it only lets `wait` return
        // when the last one has ended (tokio-util documentation).
        workers.tasks.close();
        workers
    }

    fn spawn_ending(&self, context: &Arc<Context>, queue: QueueName) {
        let part = format!("the handling of orphaned jobs on {queue}");
        let ending = orphaned::end_jobs(Arc::clone(context), queue);
        let stopping = self.stopping.clone();
        let work = async move {
            stopping.run_until_cancelled(ending).await;
        };
        self.tasks.spawn(context.supervisor.until_done(&part, work));
    }

    /// Also in a process without consumers, whose admin API shows the state.
    fn spawn_secret_watch(&self, context: &Arc<Context>, csp: &CspRuntime) {
        let part = format!("the watch over the secrets of {}", csp.name);
        let (stopping, secrets) = (self.stopping.clone(), csp.secrets.clone());
        let work = async move {
            stopping.run_until_cancelled(secrets.follow()).await;
        };
        let stopping = self.stopping.clone();
        self.tasks.spawn(context.supervisor.until_stopped(&part, stopping, work));
    }

    fn spawn_consumer(&self, context: &Arc<Context>, csp: &CspRuntime, queue: QueueName) {
        let part = format!("the consumer of {queue}");
        let consumer = consumer::Consumer::new(
            Arc::clone(context),
            csp.clone(),
            queue,
            self.tasks.clone(),
            self.stopping.clone(),
            self.aborting.clone(),
        );
        let stopping = self.stopping.clone();
        self.tasks.spawn(context.supervisor.until_stopped(&part, stopping, consumer.serve()));
    }

    /// Stops receiving, gives jobs in hand up to `grace` to end, and returns
    /// the messages of the rest to their queues.
    pub async fn drain(self, grace: Duration) -> Drained {
        self.stopping.cancel();
        let waited = tokio::time::timeout(grace, self.tasks.wait()).await;
        // Only after the grace period: dropping a task drops its leases, and a
        // dropped lease gives its message back.
        self.aborting.cancel();
        self.tasks.wait().await;
        match waited {
            Ok(()) => Drained::Completed,
            Err(_elapsed) => Drained::Aborted,
        }
    }
}

/// The result of a drain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drained {
    /// Every job in hand ended by itself.
    Completed,
    /// Some jobs were dropped at the end of the grace period; their messages
    /// are back on their queues.
    Aborted,
}
