//! Jobs whose CSP is not in the configuration any more.
//!
//! Nobody can carry them out, and whoever asked for them is waiting. Only the
//! embedded queue knows of them: on SQS, where hosts may be configured one
//! after the other, a queue that is unknown to one may be another's.

use std::sync::Arc;
use std::time::Duration;

use tracing::Instrument as _;
use tracing::info_span;
use tracing::warn;

use super::Context;
use super::lane::RECEIVE_BACKOFF;
use super::settle;
use super::settle::Fate;
use hoth_core::domain::CspName;
use hoth_core::domain::QueuedJob;
use hoth_core::workflow::Report;
use hoth_core::workflow::Trouble;
use hoth_queue::BATCH_MAX;
use hoth_queue::Delivery;
use hoth_queue::QueueName;

/// How long the host waits before it ends the first of them: who has removed a
/// CSP by mistake is warned, and can stop the host.
const GRACE: Duration = Duration::from_secs(15);

/// Ends every job on `queue`, each with its failure message.
pub async fn end_jobs(context: Arc<Context>, queue: QueueName) {
    let Some(csp) = queue.csp() else { return };
    warn!(
        %csp, %queue,
        "There is no `[csp.{csp}]`, and jobs wait for it: in {GRACE:?} they begin to end with \
         failure messages; to have them carried out, stop the host and restore the table",
    );
    tokio::time::sleep(GRACE).await;
    let mut backoff = RECEIVE_BACKOFF.0;
    loop {
        match context.receive(&queue, BATCH_MAX).await {
            Ok(deliveries) => {
                backoff = RECEIVE_BACKOFF.0;
                for delivery in deliveries {
                    end(&context, csp, delivery).await;
                }
            }
            Err(error) => {
                warn!(%queue, error = &error as &dyn std::error::Error, "Receiving is interrupted; next try in {backoff:?}");
                tokio::time::sleep(backoff).await;
                backoff = (backoff * 2).min(RECEIVE_BACKOFF.1);
            }
        }
    }
}

async fn end(context: &Context, csp: &CspName, delivery: Delivery) {
    let span = info_span!("job", job.id = %delivery.message.key, %csp);
    let fate = match QueuedJob::decode(&delivery.message.body) {
        Ok(queued) => {
            let removed = Trouble::CspRemoved(csp.clone());
            let from = queued.resumption.as_ref();
            Fate::over(&queued, &Report::of_trouble(&queued.job, from, &removed))
        }
        Err(reason) => settle::unreadable(&delivery, &reason),
    };
    // A message that cannot be settled stays, and comes again.
    settle::settle(&*context.queue, delivery, fate).instrument(span).await;
}
