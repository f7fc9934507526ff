//! What becomes of a received message, and its doing.

use std::time::Duration;

use tracing::error;
use tracing::info;
use tracing::warn;

use hoth_core::domain::QueuedJob;
use hoth_core::domain::Unreadable;
use hoth_core::workflow::Report;
use hoth_core::workflow::Trouble;
use hoth_platform::failpoint;
use hoth_platform::failpoint::FailPoint;
use hoth_queue::Delivery;
use hoth_queue::NewMessage;
use hoth_queue::Queue;
use hoth_queue::QueueError;
use hoth_queue::QueueName;
use hoth_queue::Stage;

/// Pauses while a queue cannot take what became of a job: from the first,
/// doubled up to the second.
const SETTLE_BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// Tries to settle before the message is given back, to be run again: about
/// ten minutes, which outlasts a full disk that an operator clears and a
/// regional outage's failover.
const SETTLE_TRIES_MAX: u32 = 125;

/// What becomes of a message.
pub enum Fate {
    /// The message is replaced by another.
    Successor { queue: QueueName, message: NewMessage, said: String },
    /// The message becomes a dead letter, and this is reported.
    Buried { reason: String, queue: QueueName, report: NewMessage },
    /// Nothing can be done now; it is looked at again after this time.
    Hidden { pause: Duration },
}

impl Fate {
    /// The job is over, and this is what ServiceNow gets.
    pub fn over(queued: &QueuedJob, report: &Report) -> Self {
        Self::Successor {
            queue: QueueName::outcomes(queued.job.kind),
            message: outcome(queued, report),
            said: format!("Job ends with code {}", report.code),
        }
    }

    /// The same for a job that is put among the dead letters.
    pub fn buried(queued: &QueuedJob, reason: &Trouble) -> Self {
        let report = Report::of_trouble(&queued.job, queued.resumption.as_ref(), reason);
        Self::Buried {
            reason: reason.to_string(),
            queue: QueueName::outcomes(queued.job.kind),
            report: outcome(queued, &report),
        }
    }

    /// Before it is carried out, and after.
    fn fail_points(&self) -> Option<(FailPoint, FailPoint)> {
        match self {
            Self::Successor { queue, .. } => Some(match queue.stage {
                Stage::Outcomes => (FailPoint::BeforeOutcome, FailPoint::AfterOutcome),
                Stage::Requests(_) | Stage::Polls(_) => {
                    (FailPoint::BeforeWait, FailPoint::AfterWait)
                }
            }),
            Self::Buried { .. } => Some((FailPoint::BeforeBurial, FailPoint::AfterBurial)),
            Self::Hidden { .. } => None,
        }
    }
}

/// Does what has been decided, as often as it takes. False: the lease is gone,
/// or the message stays where it is, and so must those behind it.
pub async fn settle(queue: &dyn Queue, delivery: Delivery, fate: Fate) -> bool {
    if let Some((before, _)) = fate.fail_points() {
        failpoint::reach(before);
    }
    let mut backoff = SETTLE_BACKOFF.0;
    for _ in 0..SETTLE_TRIES_MAX {
        match try_settle(queue, &delivery, &fate).await {
            Ok(()) => return settled(delivery, fate),
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

async fn try_settle(queue: &dyn Queue, delivery: &Delivery, fate: &Fate) -> Result<(), QueueError> {
    let (from, receipt) = (delivery.lease.queue(), delivery.lease.receipt());
    match fate {
        Fate::Successor { queue: to, message, .. } => {
            queue.settle(from, receipt, to, message.clone()).await
        }
        Fate::Buried { reason, queue: to, report } => {
            let report = Some((to.clone(), report.clone()));
            queue.dead_letter(from, receipt, &delivery.message, reason, report).await
        }
        Fate::Hidden { pause } => {
            queue.change_lease(from, std::slice::from_ref(receipt), *pause).await
        }
    }
}

/// Says what happened. Whether the group may go on.
fn settled(delivery: Delivery, fate: Fate) -> bool {
    // There is nothing left to give back.
    delivery.lease.keep();
    if let Some((_, after)) = fate.fail_points() {
        failpoint::reach(after);
    }
    match fate {
        Fate::Successor { queue, said, .. } => {
            let event = match queue.stage {
                Stage::Outcomes => "end",
                Stage::Requests(_) | Stage::Polls(_) => "wait",
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

/// A message that nobody can read still had a caller, who is told.
pub fn unreadable(delivery: &Delivery, reason: &Unreadable) -> Fate {
    let kind = delivery.lease.queue().kind;
    let trouble = Trouble::Unreadable(reason.to_string());
    let message = &delivery.message;
    let report = Report::of_lost(kind, &message.key, &trouble);
    Fate::Buried {
        reason: trouble.to_string(),
        queue: QueueName::outcomes(kind),
        report: NewMessage::outcome_of_lost(&report, &message.body, message.sent_at),
    }
}

fn outcome(queued: &QueuedJob, report: &Report) -> NewMessage {
    NewMessage::outcome(queued, &report.to_queued(&queued.job))
}
