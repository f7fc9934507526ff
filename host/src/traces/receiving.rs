//! The spans of the receives of workers.

use std::sync::Arc;

use super::request::queue_error_type;
use super::span::LINKS_MAX;
use super::span::Moment;
use super::span::Span;
use super::span::SpanKind;
use super::span::Value;
use super::tracer::Inner;
use super::tracer::Tracer;
use hoth_core::domain::QueuedJob;
use hoth_core::domain::TraceContext;
use hoth_queue::Delivery;
use hoth_queue::QueueError;
use hoth_queue::QueueName;

/// A receive of a worker, while it is under way. It makes no span if it is
/// dropped.
#[derive(Debug)]
pub struct WorkerReceive<'q>(Option<(Arc<Inner>, &'q QueueName, Moment)>);

impl Tracer {
    /// Begins a receive from `queue`.
    pub fn worker_receive<'q>(&self, queue: &'q QueueName) -> WorkerReceive<'q> {
        let begin =
            |tracer: &Arc<Inner>| (Arc::clone(tracer), queue, Moment::new(tracer.clock.wall()));
        WorkerReceive(self.0.as_ref().map(begin))
    }
}

impl WorkerReceive<'_> {
    /// Ends the receive. One that has failed is kept, and one of messages whose
    /// jobs are sampled, to which it has links; a receive of nothing is none.
    pub fn end(self, received: Result<&[Delivery], &QueueError>) {
        let Some((tracer, queue, started)) = self.0 else { return };
        let links: Vec<TraceContext> = match received {
            Ok(deliveries) => deliveries.iter().filter_map(created).take(LINKS_MAX).collect(),
            Err(_) => Vec::new(),
        };
        if received.is_ok() && links.is_empty() {
            return;
        }
        // A trace of its own: a receive is of several jobs.
        let context = tracer.new_root_sampled(true);
        let name = format!("receive {}", queue.family());
        let mut span = Span::new(name, SpanKind::Client, context, None, started.until_now());
        span.attributes = tracer.of_messaging("receive", "receive", queue);
        match received {
            Ok(deliveries) => {
                let count = i64::try_from(deliveries.len()).unwrap_or(i64::MAX);
                span.set("messaging.batch.message_count", Value::from(count));
            }
            Err(error) => span.fail(queue_error_type(error)),
        }
        span.links = links;
        tracer.export(vec![span]);
    }
}

/// Returns the context in which a job was created, if its trace is sampled.
fn created(delivery: &Delivery) -> Option<TraceContext> {
    let queued = QueuedJob::decode(&delivery.message.body).ok()?;
    queued.trace.map(|trace| trace.created).filter(TraceContext::is_sampled)
}
