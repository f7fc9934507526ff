//! Processes deliveries: decode, run the adapter, decide, settle.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt as _;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;
use tracing::error;
use tracing::field;
use tracing::info;
use tracing::info_span;
use tracing::warn;

use super::Context;
use super::CspRuntime;
use super::heartbeat;
use super::run;
use super::run_events::RunEvents;
use super::settle;
use super::settle::Disposition;
use super::settle::Settled;
use crate::registry::Version;
use hoth_core::domain::HoldCause;
use hoth_core::domain::Job;
use hoth_core::domain::JobEventKind;
use hoth_core::domain::QueuedJob;
use hoth_core::domain::Waiting;
use hoth_core::workflow;
use hoth_core::workflow::Decision;
use hoth_core::workflow::JobError;
use hoth_core::workflow::NO_VERSION_PAUSE;
use hoth_core::workflow::RunContext;
use hoth_platform::failpoint;
use hoth_platform::failpoint::FailPoint;
use hoth_queue::DELIVERIES_MAX;
use hoth_queue::Delivery;
use hoth_queue::LEASE_MAX;
use hoth_queue::NewMessage;
use hoth_queue::QueueName;
use hoth_queue::Receipt;
use hoth_queue::Stage;

/// The handler of the deliveries of one group, in a task of its own.
pub struct DeliveryHandler {
    pub context: Arc<Context>,
    pub csp: CspRuntime,
    /// Cancelled when the workers stop receiving.
    pub stopping: CancellationToken,
}

impl DeliveryHandler {
    /// Processes deliveries of one group in their order, and extends the leases
    /// of all of them meanwhile. When the workers stop, deliveries that have
    /// not begun are dropped, which returns them to their queue.
    pub async fn process_group(self, batch: Vec<Delivery>) {
        // Receipts of the deliveries that are not settled yet, in their order.
        // The messages behind the current one must stay leased, too: another
        // worker would otherwise run them before the current one ends.
        let mut unsettled: Vec<Receipt> =
            batch.iter().map(|delivery| delivery.lease.receipt().clone()).collect();
        // Boxed, because the futures of a job that waits for long would have room
        // for it four times.
        for delivery in batch.into_iter().map(Box::new) {
            if self.stopping.is_cancelled() {
                return;
            }
            let span = info_span!(
                "job",
                job.id = delivery.message.key.as_str(),
                csp = %self.csp.name,
                queue = %delivery.lease.queue().family(),
                // Recorded when the trace is known, if there is one.
                trace_id = field::Empty,
                span_id = field::Empty,
            );
            let queue = delivery.lease.queue().clone();
            let mut events = RunEvents::begin(&self.context, &delivery);
            let settled = {
                let work = self.process(delivery, &mut events).instrument(span.clone());
                tokio::select! {
                    // First, so that a heartbeat which comes too late for a
                    // message just settled does not count as a lost lease.
                    biased;
                    settled = work => settled,
                    () = heartbeat::beat(&*self.context.queue, &queue, &unsettled, self.context.lease) => {
                        span.in_scope(|| warn!(event = "lease-lost", "Lease lost; another worker owns this message now"));
                        events.close(JobEventKind::LeaseLost);
                        return;
                    }
                }
            };
            match settled {
                Settled::Advance => drop(unsettled.remove(0)),
                Settled::HoldGroup => return,
            }
        }
    }

    async fn process(&self, delivery: Box<Delivery>, events: &mut RunEvents) -> Settled {
        // A panic ends its job alone, and in a message. It leaves no broken
        // state behind: what jobs share is behind locks that are not held
        // during the work of a job.
        let decided = AssertUnwindSafe(self.decide(&delivery, events)).catch_unwind().await;
        let disposition = decided.unwrap_or_else(|_| {
            error!("Job processing panicked; the line of the panic has the place and reason");
            Disposition::failed(&delivery, &JobError::Panicked)
        });
        settle::settle(&*self.context.queue, *delivery, disposition, events).await
    }

    /// Decides on one delivery: runs its job if the job can run now.
    async fn decide(&self, delivery: &Delivery, events: &mut RunEvents) -> Disposition {
        let message = &delivery.message;
        let too_many = message.receive_count > DELIVERIES_MAX;
        // Before the message is decoded: a message that ends the process each
        // time, even while it is decoded, must come to an end, too.
        if too_many && matches!(delivery.lease.queue().stage, Stage::Requests(_)) {
            return Disposition::failed(delivery, &JobError::TooManyDeliveries(DELIVERIES_MAX));
        }
        let mut queued = match QueuedJob::decode(&message.body) {
            Ok(queued) => queued,
            Err(reason) => return Disposition::unreadable(delivery, &reason),
        };
        events.of_queued(&self.context.tracer, &queued, delivery);
        if let Some(trace) = events.trace() {
            let span = tracing::Span::current();
            span.record("trace_id", field::display(trace.context.trace_id));
            span.record("span_id", field::display(trace.context.span_id));
        }
        // Before any call: no successor of such a job could be sent, and the
        // adapter of this queue's CSP must not get the job of another one.
        if let Some(error) = on_wrong_queue(delivery.lease.queue(), &queued.job) {
            return Disposition::dead_lettered(&queued, &error);
        }
        // SQS cannot delay a message for as long as a poll may be away, so a
        // message can be delivered before it is due.
        if let Some(from) = &queued.resumption {
            let early = self.context.clock.until(from.due_at);
            if !early.is_zero() {
                return match workflow::replace_early_delivery(from, message.receive_count) {
                    None => Disposition::Deferred {
                        pause: early.min(LEASE_MAX),
                        cause: HoldCause::NotDue,
                    },
                    Some(again) => {
                        let requests = again.requests;
                        self.disposition(Decision::Resume(again), queued, requests)
                    }
                };
            }
        }
        // An early delivery is no run, and leaves the traces as they are.
        queued.trace = events.job_trace().or(queued.trace);
        // After the check for early deliveries, which must not count as tries.
        if too_many {
            let error = JobError::TooManyDeliveries(DELIVERIES_MAX);
            return Disposition::dead_lettered(&queued, &error);
        }
        failpoint::reach(match &queued.resumption {
            None => FailPoint::JobReceived,
            Some(_) => FailPoint::PollReceived,
        });
        match run::version_for(&self.context, &self.csp, &queued).await {
            Ok(version) => {
                let (decision, requests) =
                    self.run_adapter(&version, &queued, delivery, events).await;
                self.disposition(decision, queued, requests)
            }
            Err(reason) => {
                warn!("Job waits: {reason}");
                let Some(from) = &queued.resumption else {
                    // The consumer receives no more until there is a version.
                    let (pause, cause) = (NO_VERSION_PAUSE, HoldCause::NoAdapter);
                    return Disposition::Deferred { pause, cause };
                };
                let (policy, now) = (&self.context.polling, self.context.clock.now());
                let (reason, requests) = (reason.to_string(), from.requests);
                let decision = workflow::postpone(policy, &queued.job, from, reason, now);
                self.disposition(decision, queued, requests)
            }
        }
    }

    async fn run_adapter(
        &self,
        version: &Arc<Version>,
        queued: &QueuedJob,
        delivery: &Delivery,
        events: &mut RunEvents,
    ) -> (Decision, u32) {
        let (operation, attempt) = (queued.job.operation, delivery.message.receive_count);
        match &queued.resumption {
            None => info!(%operation, attempt, event = "begin", "Job begins"),
            Some(from) => {
                let purpose = from.purpose().as_str();
                let waits = from.waits;
                info!(%operation, attempt, purpose, waits, event = "resume", "Job resumes");
            }
        }
        let (context, csp) = (&self.context, &self.csp);
        let run = run::run_adapter(context, csp, version, queued, delivery, events).await;
        let requests = run.totals.requests;
        let from = RunContext { job: &queued.job, resumption: queued.resumption.as_ref() };
        let now = self.context.clock.now();
        let policy = &self.context.polling;
        let decision = workflow::decide(policy, from, run.end, now, run.totals);
        match &decision {
            Decision::Report(_) => {
                self.context.recorder.finish(run.recording, version.adapter().digest());
            }
            Decision::Resume(_) => self.context.recorder.wait(run.recording),
        }
        (decision, requests)
    }

    /// Returns the disposition that carries out a decision. `requests` counts
    /// the job's requests.
    fn disposition(&self, decision: Decision, queued: QueuedJob, requests: u32) -> Disposition {
        match decision {
            Decision::Report(report) => Disposition::reported(&queued, report, requests),
            Decision::Resume(resumption) => {
                let waiting = Waiting::of(&resumption, self.context.polling.deadline);
                let queue = QueueName::polls(queued.job.kind, &queued.job.csp);
                let next = queued.waiting(resumption);
                let message = NewMessage::waiting(&next);
                Disposition::Waits { queue, message, waiting }
            }
        }
    }
}

/// Returns the error of a job that another program has put on the queue of
/// another CSP or kind. Returns `None` if the job belongs on `found`.
fn on_wrong_queue(found: &QueueName, job: &Job) -> Option<JobError> {
    let belongs = match found.stage {
        Stage::Requests(_) => QueueName::requests(job.kind, &job.csp),
        Stage::Polls(_) => QueueName::polls(job.kind, &job.csp),
        Stage::Outcomes => QueueName::outcomes(job.kind),
    };
    (belongs != *found)
        .then(|| JobError::WrongQueue { belongs: belongs.to_string(), found: found.to_string() })
}
