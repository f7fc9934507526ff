//! Jobs of CSPs that are no longer in the configuration.
//!
//! No adapter can carry such a job out, and ServiceNow waits for its outcome.
//! Only the embedded queue can list them: on SQS, where hosts may get a new
//! configuration one after the other, a queue that this host does not know may
//! belong to another host.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tracing::Instrument as _;
use tracing::info_span;
use tracing::warn;

use super::Context;
use super::consumer::RECEIVE_BACKOFF;
use super::run_events::RunEvents;
use super::settle;
use super::settle::Disposition;
use hoth_core::domain::CspName;
use hoth_core::domain::QueuedJob;
use hoth_core::workflow::JobError;
use hoth_core::workflow::Report;
use hoth_queue::BATCH_MAX;
use hoth_queue::Delivery;
use hoth_queue::QueueName;
use hoth_queue::WAIT_MAX;

/// The time between the warning and the first ended job. An operator who has
/// removed a CSP by mistake can stop the host within it.
const GRACE: Duration = Duration::from_secs(15);

/// Ends every job on `queue` with a failure message of its own.
pub async fn end_jobs(context: Arc<Context>, queue: QueueName) {
    let Some(csp) = queue.csp() else { return };
    warn!(
        %csp, %queue,
        "Jobs wait for `{csp}`, and the configuration has no `[csp.{csp}]`: in {GRACE:?} they end \
         with failure messages; to have them carried out, stop the host and restore the table",
    );
    tokio::time::sleep(GRACE).await;
    let mut backoff = RECEIVE_BACKOFF.0;
    loop {
        context.drain.switch.resumed().await;
        match context.receive(&queue, BATCH_MAX, WAIT_MAX).await {
            Ok(deliveries) => {
                backoff = RECEIVE_BACKOFF.0;
                // Side by side, so that all of them share one commit.
                let ending = deliveries.into_iter().map(|one| end(&context, csp, one));
                join_all(ending).await;
            }
            Err(error) => {
                warn!(%queue, error = &error as &dyn std::error::Error, event = "receive-failed", "Receive failed; next try in {backoff:?}");
                tokio::time::sleep(backoff).await;
                backoff = (backoff * 2).min(RECEIVE_BACKOFF.1);
            }
        }
    }
}

async fn end(context: &Context, csp: &CspName, delivery: Delivery) {
    let span = info_span!("job", job.id = %delivery.message.key, %csp);
    let mut events = RunEvents::begin(context, &delivery);
    let disposition = match QueuedJob::decode(&delivery.message.body) {
        Ok(queued) => {
            events.of_queued(&context.tracer, &queued, &delivery);
            let removed = JobError::CspRemoved(csp.clone());
            let from = queued.resumption.as_ref();
            let report = Report::of_error(&queued.job, from, &removed);
            Disposition::reported(&queued, report, from.map_or(0, |from| from.requests))
        }
        Err(reason) => Disposition::unreadable(&delivery, &reason),
    };
    // The result is ignored: a message that cannot be settled stays on its queue
    // and is received again.
    let _settled =
        settle::settle(&*context.queue, delivery, disposition, &mut events).instrument(span).await;
}
