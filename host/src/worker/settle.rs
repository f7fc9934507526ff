//! Settles a delivery: replaces it, dead-letters it, or hides it again.

use std::time::Duration;

use tracing::error;
use tracing::info;
use tracing::warn;

use super::run_events::RunEvents;
use hoth_core::domain::Ended;
use hoth_core::domain::HoldCause;
use hoth_core::domain::JobEventKind;
use hoth_core::domain::QueuedJob;
use hoth_core::domain::Unreadable;
use hoth_core::domain::Waiting;
use hoth_core::domain::event_text;
use hoth_core::workflow::JobError;
use hoth_core::workflow::Report;
use hoth_platform::failpoint;
use hoth_platform::failpoint::FailPoint;
use hoth_queue::Delivery;
use hoth_queue::InvalidArgument;
use hoth_queue::NewMessage;
use hoth_queue::Queue;
use hoth_queue::QueueError;
use hoth_queue::QueueName;

/// Pauses while the queue cannot store a disposition: from the first, doubled
/// up to the second.
const SETTLE_BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// Tries to settle before the message is given back, to be run again: about
/// ten minutes, which outlasts a full disk that an operator clears and a
/// regional outage's failover.
const SETTLE_TRIES_MAX: u32 = 125;

/// The disposition of a delivery (AMQP 1.0, section 3.4).
pub enum Disposition {
    /// The job is over: its message is replaced by its outcome.
    Ended { queue: QueueName, message: NewMessage, ended: Ended },
    /// The job waits: its message is replaced by one that is due later.
    Waits { queue: QueueName, message: NewMessage, waiting: Waiting },
    /// The message becomes a dead letter, and a failure message is reported.
    DeadLettered { reason: String, queue: QueueName, report: NewMessage, ended: Ended },
    /// The job cannot begin now: the message is given back, hidden for this
    /// time.
    Deferred { pause: Duration, cause: HoldCause },
}

/// The consequence of a settlement for the later messages of the group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settled {
    /// The message is gone from its queue: the next one of the group may run.
    Advance,
    /// The message is still there, or its lease is lost. Running a later
    /// message would break the order of the group.
    HoldGroup,
}

impl Disposition {
    /// Ends the job with this report for ServiceNow.
    /// `requests` counts the requests that the job has made.
    pub fn reported(queued: &QueuedJob, report: Report, requests: u32) -> Self {
        let (report, outcome) = report.into_queued(&queued.job);
        let outcome = outcome.traced(queued.trace.clone());
        Self::Ended {
            queue: QueueName::outcomes(queued.job.kind),
            message: NewMessage::outcome(queued, &outcome),
            ended: report.ended(requests),
        }
    }

    /// Ends the job with a failure message, and keeps its message as a dead
    /// letter.
    pub fn dead_lettered(queued: &QueuedJob, reason: &JobError) -> Self {
        let from = queued.resumption.as_ref();
        let report = Report::of_error(&queued.job, from, reason);
        let (report, outcome) = report.into_queued(&queued.job);
        let outcome = outcome.traced(queued.trace.clone());
        Self::DeadLettered {
            reason: reason.to_string(),
            queue: QueueName::outcomes(queued.job.kind),
            report: NewMessage::outcome(queued, &outcome),
            ended: report.ended(from.map_or(0, |from| from.requests)),
        }
    }

    /// Makes a message that does not decode a dead letter.
    pub fn unreadable(delivery: &Delivery, reason: &Unreadable) -> Self {
        Self::lost(delivery, &JobError::Unreadable(reason.to_string()))
    }

    /// Makes the message of a job that cannot be processed a dead letter, with a
    /// failure message for ServiceNow that says as much as can be read of the
    /// job.
    pub fn failed(delivery: &Delivery, error: &JobError) -> Self {
        // Reading the job may be the step that panics.
        let body = delivery.message.body.as_str();
        let reported = std::panic::catch_unwind(|| {
            let queued = QueuedJob::decode(body).ok()?;
            Some(Self::dead_lettered(&queued, error))
        });
        reported.ok().flatten().unwrap_or_else(|| Self::lost(delivery, error))
    }

    /// Ends the job with a failure message in place of one that its queue does
    /// not take.
    fn too_large(delivery: &Delivery, error: &JobError) -> Self {
        match QueuedJob::decode(&delivery.message.body) {
            Ok(queued) => {
                let requests = queued.resumption.as_ref().map_or(0, |from| from.requests);
                Self::reported(&queued, Report::of_error(&queued.job, None, error), requests)
            }
            Err(_) => Self::lost(delivery, error),
        }
    }

    /// Makes a message a dead letter of which only the id is known. It is
    /// enough for a failure message.
    fn lost(delivery: &Delivery, error: &JobError) -> Self {
        let kind = delivery.lease.queue().kind;
        let message = &delivery.message;
        let report = Report::of_lost(kind, &message.key, error);
        Self::DeadLettered {
            reason: error.to_string(),
            queue: QueueName::outcomes(kind),
            report: NewMessage::outcome_of_lost(&report, &message.body, message.sent_at),
            ended: Ended {
                code: error.code(),
                class: Some(error.class().into()),
                reason: Some(event_text(&error.to_string())),
                requests: 0,
                took_ms: None,
            },
        }
    }

    /// Returns the fail points before and after the settlement.
    fn fail_points(&self) -> Option<(FailPoint, FailPoint)> {
        match self {
            Self::Ended { .. } => Some((FailPoint::BeforeOutcome, FailPoint::AfterOutcome)),
            Self::Waits { .. } => Some((FailPoint::BeforeWait, FailPoint::AfterWait)),
            Self::DeadLettered { .. } => {
                Some((FailPoint::BeforeDeadLetter, FailPoint::AfterDeadLetter))
            }
            Self::Deferred { .. } => None,
        }
    }
}

/// Carries out a disposition, with retries while the queue's storage is full or
/// unreachable.
///
/// A message that its queue does not take, because it is too large, is replaced
/// by a failure message that says so, and that one by the shortest possible.
pub async fn settle(
    queue: &dyn Queue,
    delivery: Delivery,
    mut disposition: Disposition,
    events: &mut RunEvents,
) -> Settled {
    match disposition {
        // From now on the delivery counts, whatever comes of the settlement.
        Disposition::Ended { .. }
        | Disposition::Waits { .. }
        | Disposition::DeadLettered { .. } => delivery.lease.start(),
        Disposition::Deferred { .. } => {}
    }
    let mut shorter = [Disposition::too_large, Disposition::lost].into_iter();
    if let Some((before, _)) = disposition.fail_points() {
        failpoint::reach(before);
    }
    events.begin_settling();
    let mut backoff = SETTLE_BACKOFF.0;
    for _ in 0..SETTLE_TRIES_MAX {
        match try_settle(queue, &delivery, &disposition).await {
            Ok(()) => return settled(delivery, disposition, events),
            Err(QueueError::LeaseEnded) => {
                warn!(event = "lease-lost", "Lease lost; another worker owns this message now");
                events.close(JobEventKind::LeaseLost);
                // The message has a new holder: giving it back would end that
                // holder's lease.
                delivery.lease.keep();
                return Settled::HoldGroup;
            }
            Err(QueueError::Refused(InvalidArgument::MessageTooLarge { bytes, bytes_max }))
                if let Some(shorter) = shorter.next() =>
            {
                let error = JobError::MessageTooLarge { bytes, bytes_max };
                warn!("Job fails: {error}");
                disposition = shorter(&delivery, &error);
            }
            Err(error @ (QueueError::Refused(_) | QueueError::NotOffered(_))) => {
                error!(
                    error = &error as &dyn std::error::Error,
                    "Job not settled: the queue refused the message"
                );
                return Settled::HoldGroup;
            }
            Err(error @ (QueueError::Full | QueueError::Unreachable(_))) => {
                warn!(
                    error = &error as &dyn std::error::Error,
                    "Job not settled; next try in {backoff:?}"
                );
                tokio::time::sleep(backoff).await;
                backoff = (backoff * 2).min(SETTLE_BACKOFF.1);
            }
        }
    }
    // Dropping the delivery gives the message back. The job runs again, which
    // the deduplication key of its successor makes harmless.
    Settled::HoldGroup
}

async fn try_settle(
    queue: &dyn Queue,
    delivery: &Delivery,
    disposition: &Disposition,
) -> Result<(), QueueError> {
    let (from, receipt) = (delivery.lease.queue(), delivery.lease.receipt());
    match disposition {
        Disposition::Ended { queue: to, message, .. }
        | Disposition::Waits { queue: to, message, .. } => {
            queue.settle(from, receipt, to, message.clone()).await
        }
        Disposition::DeadLettered { reason, queue: to, report, .. } => {
            let report = Some((to.clone(), report.clone()));
            queue.dead_letter(from, receipt, &delivery.message, reason, report).await
        }
        Disposition::Deferred { pause, .. } => {
            queue.give_back(from, std::slice::from_ref(receipt), *pause).await
        }
    }
}

/// Logs and records a disposition that has been carried out.
fn settled(delivery: Delivery, disposition: Disposition, events: &mut RunEvents) -> Settled {
    // The lease has ended with the message, or has its new length. In both cases
    // there is nothing to give back.
    delivery.lease.keep();
    if let Some((_, after)) = disposition.fail_points() {
        failpoint::reach(after);
    }
    match disposition {
        Disposition::Ended { ended, .. } => {
            let ended = events.ended_now(ended);
            log_end(&ended, events);
            events.close(JobEventKind::Ended(Box::new(ended)));
            Settled::Advance
        }
        Disposition::Waits { waiting, .. } => {
            let next_at = waiting.next_at.to_rfc3339();
            let (purpose, requests) = (waiting.purpose.as_str(), waiting.requests);
            let run_ms = millis(events.elapsed());
            info!(
                event = "wait",
                purpose, next_at, requests, run_ms, "Job waits: {:?}", waiting.note
            );
            events.close(JobEventKind::Waits(Box::new(waiting)));
            Settled::Advance
        }
        Disposition::DeadLettered { reason, ended, .. } => {
            let ended = events.ended_now(ended);
            let (code, class) = (ended.code, ended.class.as_deref());
            error!(event = "end", code, class, "Job became a dead letter: {reason}");
            events.add(JobEventKind::DeadLettered { reason: event_text(&reason) });
            events.close(JobEventKind::Ended(Box::new(ended)));
            Settled::Advance
        }
        // The deferred job is still the first of its group.
        Disposition::Deferred { cause, .. } => {
            events.close(JobEventKind::Held { cause });
            Settled::HoldGroup
        }
    }
}

/// Logs the end of a job: a code from 400 on is a failure.
fn log_end(ended: &Ended, events: &RunEvents) {
    let Ended { code, class, reason, requests, took_ms } = ended;
    let (class, reason) = (class.as_deref(), reason.as_deref());
    let run_ms = millis(events.elapsed());
    match code {
        ..400 => {
            info!(event = "end", code, requests, took_ms, run_ms, "Job ends with code {code}");
        }
        _ => warn!(event = "end", code, class, reason, requests, took_ms, run_ms, "Job failed"),
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
