//! From a received message to a settled one.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::Instrument;
use tracing::error;
use tracing::info;
use tracing::info_span;
use tracing::warn;

use super::Context;
use super::Destination;
use super::heartbeat;
use super::run;
use crate::domain::JobKind;
use crate::domain::QueuedJob;
use crate::domain::Unreadable;
use crate::failpoint;
use crate::failpoint::FailPoint;
use crate::queue::DELIVERIES_MAX;
use crate::queue::Delivery;
use crate::queue::LEASE_MAX;
use crate::queue::NewMessage;
use crate::queue::QueueError;
use crate::queue::QueueKind;
use crate::queue::QueueName;
use crate::queue::Receipt;
use crate::workflow;
use crate::workflow::Course;
use crate::workflow::Decision;
use crate::workflow::NO_VERSION_PAUSE;
use crate::workflow::Report;
use crate::workflow::Trouble;

/// Pauses while a queue cannot take what became of a job: from the first,
/// doubled up to the second.
const SETTLE_BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// Tries to settle before the message is given back, to be run again: about
/// ten minutes, which outlasts a full disk that an operator clears and a
/// regional outage's failover.
const SETTLE_TRIES_MAX: u32 = 125;

/// What one task does for the messages of one group.
pub struct Errand {
    pub context: Arc<Context>,
    pub destination: Destination,
    pub stopping: CancellationToken,
}

/// What becomes of a message.
enum Fate {
    /// The message is replaced by another.
    Successor { queue: QueueName, message: NewMessage, said: String },
    /// The message becomes a dead letter, and this is reported.
    Buried { reason: String, queue: QueueName, report: NewMessage },
    /// Nothing can be done now; it is looked at again after this time.
    Hidden { pause: Duration },
}

impl Fate {
    /// Before it is carried out, and after.
    fn fail_points(&self) -> Option<(FailPoint, FailPoint)> {
        match self {
            Self::Successor { queue, .. } => Some(match queue.kind() {
                QueueKind::ProvisioningJobs | QueueKind::CostResponses => {
                    (FailPoint::BeforeOutcome, FailPoint::AfterOutcome)
                }
                QueueKind::ProvisioningRequests
                | QueueKind::CostRequests
                | QueueKind::AsyncProvisioningJobs
                | QueueKind::AsyncCostJobs => (FailPoint::BeforeWait, FailPoint::AfterWait),
            }),
            Self::Buried { .. } => Some((FailPoint::BeforeBurial, FailPoint::AfterBurial)),
            Self::Hidden { .. } => None,
        }
    }
}

impl Errand {
    /// Works off messages of one group, in order, extending all their leases.
    /// When the workers stop, those not begun go back.
    pub async fn run_row(self, row: Vec<Delivery>) {
        let mut waiting: Vec<Receipt> =
            row.iter().map(|delivery| delivery.lease.receipt().clone()).collect();
        for delivery in row {
            if self.stopping.is_cancelled() {
                return;
            }
            let span = info_span!(
                "job",
                job.id = %delivery.message.key,
                csp = %self.destination.name,
                queue = %delivery.lease.queue().kind().as_str(),
            );
            let queue = delivery.lease.queue().clone();
            let kept = {
                let work = self.work(delivery).instrument(span.clone());
                tokio::select! {
                    // First, so that a heartbeat which comes too late for a
                    // message just settled does not count as a lost lease.
                    biased;
                    kept = work => kept,
                    () = heartbeat::beat(&*self.context.queue, &queue, &waiting, self.context.lease) => {
                        span.in_scope(|| warn!("The lease was lost; whoever has it now goes on"));
                        return;
                    }
                }
            };
            if !kept {
                return;
            }
            waiting.remove(0);
        }
    }

    /// Runs one job and settles its message. False: the lease is gone, or the
    /// message stays where it is, and so must those behind it.
    async fn work(&self, delivery: Delivery) -> bool {
        let fate = self.fate_of(&delivery).await;
        self.settle(delivery, fate).await
    }

    async fn fate_of(&self, delivery: &Delivery) -> Fate {
        let message = &delivery.message;
        let queued = match QueuedJob::decode(&message.body) {
            Ok(queued) => queued,
            Err(reason) => return unreadable(delivery, &reason),
        };
        if let Some(from) = &queued.resumption {
            let early = self.context.clock.until(from.due_at);
            if !early.is_zero() {
                return match workflow::go_on_waiting(from, message.receive_count) {
                    None => Fate::Hidden { pause: early.min(LEASE_MAX) },
                    Some(again) => self.fate(Decision::Resume(again), queued),
                };
            }
        }
        if message.receive_count > DELIVERIES_MAX {
            let trouble = Trouble::TooManyDeliveries(DELIVERIES_MAX);
            let report = Report::of_trouble(&queued.job, queued.resumption.as_ref(), &trouble);
            return Fate::Buried {
                reason: trouble.to_string(),
                queue: QueueName::outcomes(queued.job.kind),
                report: outcome(&queued, &report),
            };
        }
        failpoint::reach(match &queued.resumption {
            None => FailPoint::JobReceived,
            Some(_) => FailPoint::PollReceived,
        });
        match run::version_for(&self.context, &self.destination, &queued).await {
            Ok(version) => self.run(&version, queued, message.receive_count).await,
            Err(reason) => {
                warn!("The job waits: {reason}");
                let Some(from) = &queued.resumption else {
                    // The lane receives no more until there is a version.
                    return Fate::Hidden { pause: NO_VERSION_PAUSE };
                };
                let (policy, now) = (&self.context.polling, self.context.clock.now());
                let reason = reason.to_string();
                self.fate(workflow::postpone(policy, &queued.job, from, reason, now), queued)
            }
        }
    }

    async fn run(
        &self,
        version: &Arc<crate::registry::Version>,
        queued: QueuedJob,
        attempt: u32,
    ) -> Fate {
        info!(operation = %queued.job.operation, attempt, event = "begin", "Job begins");
        let run = run::run(&self.context, &self.destination, version, &queued, attempt).await;
        let course = Course { job: &queued.job, resumption: queued.resumption.as_ref() };
        let now = self.context.clock.now();
        let policy = &self.context.polling;
        let (requests, retry_after) = (run.requests, run.retry_after);
        let decision = workflow::decide(policy, course, run.end, now, requests, retry_after);
        match &decision {
            Decision::Report(_) => {
                self.context.recorder.finish(run.tape, version.adapter().digest());
            }
            Decision::Resume(_) => self.context.recorder.wait(run.tape),
        }
        self.fate(decision, queued)
    }

    fn fate(&self, decision: Decision, queued: QueuedJob) -> Fate {
        match decision {
            Decision::Report(report) => Fate::Successor {
                queue: QueueName::outcomes(queued.job.kind),
                message: outcome(&queued, &report),
                said: format!("Job ends with code {}", report.code),
            },
            Decision::Resume(resumption) => {
                let pause = self.context.clock.until(resumption.due_at);
                let said = format!("Job waits {pause:.1?}: {}", resumption.progress.note);
                let queue = QueueName::waiting(queued.job.kind, &queued.job.csp);
                let next = queued.waiting(resumption);
                Fate::Successor { queue, message: NewMessage::waiting(&next), said }
            }
        }
    }

    async fn settle(&self, delivery: Delivery, fate: Fate) -> bool {
        if let Some((before, _)) = fate.fail_points() {
            failpoint::reach(before);
        }
        let mut backoff = SETTLE_BACKOFF.0;
        for _ in 0..SETTLE_TRIES_MAX {
            match self.try_settle(&delivery, &fate).await {
                Ok(()) => return self.settled(delivery, fate),
                Err(QueueError::LeaseEnded) => {
                    warn!("The lease was lost; whoever has it now goes on");
                    delivery.lease.keep();
                    return false;
                }
                Err(error @ (QueueError::Refused(_) | QueueError::NotOffered(_))) => {
                    error!(error = &error as &dyn std::error::Error, "A job cannot be settled");
                    return false;
                }
                Err(error @ (QueueError::Full | QueueError::Unreachable(_))) => {
                    warn!(
                        error = &error as &dyn std::error::Error,
                        "A job waits to be settled; next try in {backoff:?}"
                    );
                    tokio::time::sleep(backoff).await;
                    backoff = (backoff * 2).min(SETTLE_BACKOFF.1);
                }
            }
        }
        false
    }

    async fn try_settle(&self, delivery: &Delivery, fate: &Fate) -> Result<(), QueueError> {
        let queue = &self.context.queue;
        let (from, receipt) = (delivery.lease.queue(), delivery.lease.receipt());
        match fate {
            Fate::Successor { queue: to, message, .. } => {
                queue.settle(from, receipt, to, message.clone()).await
            }
            Fate::Buried { reason, queue: to, report } => {
                let report = Some((to.clone(), report.clone()));
                queue.bury(from, receipt, &delivery.message, reason, report).await
            }
            Fate::Hidden { pause } => {
                queue.change_lease(from, std::slice::from_ref(receipt), *pause).await
            }
        }
    }

    /// Says what happened. Whether the group may go on.
    fn settled(&self, delivery: Delivery, fate: Fate) -> bool {
        // There is nothing left to give back.
        delivery.lease.keep();
        if let Some((_, after)) = fate.fail_points() {
            failpoint::reach(after);
        }
        match fate {
            Fate::Successor { queue, said, .. } => {
                let event = match queue.kind() {
                    QueueKind::ProvisioningJobs | QueueKind::CostResponses => "end",
                    QueueKind::ProvisioningRequests
                    | QueueKind::CostRequests
                    | QueueKind::AsyncProvisioningJobs
                    | QueueKind::AsyncCostJobs => "wait",
                };
                info!(event, "{said}");
                true
            }
            Fate::Buried { reason, .. } => {
                error!(event = "end", "Job became a dead letter: {reason}");
                true
            }
            Fate::Hidden { .. } => false,
        }
    }
}

/// A message that nobody can read still had a caller, who is told.
fn unreadable(delivery: &Delivery, reason: &Unreadable) -> Fate {
    let kind = match delivery.lease.queue().kind() {
        QueueKind::CostRequests | QueueKind::AsyncCostJobs | QueueKind::CostResponses => {
            JobKind::Cost
        }
        QueueKind::ProvisioningRequests
        | QueueKind::AsyncProvisioningJobs
        | QueueKind::ProvisioningJobs => JobKind::Provisioning,
    };
    let trouble = Trouble::Unreadable(reason.to_string());
    let report = Report::of_lost(kind, &delivery.message.key, &trouble);
    Fate::Buried {
        reason: trouble.to_string(),
        queue: QueueName::outcomes(kind),
        report: NewMessage::outcome_of_lost(&report),
    }
}

fn outcome(queued: &QueuedJob, report: &Report) -> NewMessage {
    NewMessage::outcome(&queued.job, queued.generation, &report.to_queued(&queued.job))
}
