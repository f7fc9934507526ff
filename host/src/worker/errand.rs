//! From a received message to what becomes of it.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tracing::Instrument;
use tracing::info;
use tracing::info_span;
use tracing::warn;

use super::Context;
use super::Destination;
use super::heartbeat;
use super::run;
use super::settle;
use super::settle::Fate;
use hoth_core::domain::QueuedJob;
use hoth_core::workflow;
use hoth_core::workflow::Course;
use hoth_core::workflow::Decision;
use hoth_core::workflow::NO_VERSION_PAUSE;
use hoth_core::workflow::Trouble;
use hoth_platform::failpoint;
use hoth_platform::failpoint::FailPoint;
use hoth_queue::DELIVERIES_MAX;
use hoth_queue::Delivery;
use hoth_queue::LEASE_MAX;
use hoth_queue::NewMessage;
use hoth_queue::QueueName;
use hoth_queue::Receipt;

/// What one task does for the messages of one group.
pub struct Errand {
    pub context: Arc<Context>,
    pub destination: Destination,
    pub stopping: CancellationToken,
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
                queue = %delivery.lease.queue().family(),
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
        settle::settle(&*self.context.queue, delivery, fate).await
    }

    async fn fate_of(&self, delivery: &Delivery) -> Fate {
        let message = &delivery.message;
        let queued = match QueuedJob::decode(&message.body) {
            Ok(queued) => queued,
            Err(reason) => return settle::unreadable(delivery, &reason),
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
            return Fate::buried(&queued, &Trouble::TooManyDeliveries(DELIVERIES_MAX));
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
                self.context.recorder.finish(run.recording, version.adapter().digest());
            }
            Decision::Resume(_) => self.context.recorder.wait(run.recording),
        }
        self.fate(decision, queued)
    }

    fn fate(&self, decision: Decision, queued: QueuedJob) -> Fate {
        match decision {
            Decision::Report(report) => Fate::over(&queued, &report),
            Decision::Resume(resumption) => {
                let pause = self.context.clock.until(resumption.due_at);
                let said = format!("Job waits {pause:.1?}: {}", resumption.progress.note);
                let queue = QueueName::polls(queued.job.kind, &queued.job.csp);
                let next = queued.waiting(resumption);
                Fate::Successor { queue, message: NewMessage::waiting(&next), said }
            }
        }
    }
}
