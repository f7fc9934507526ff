//! The spans of the collection of outcomes, in the traces of their jobs.

use std::sync::Arc;

use super::span::Moment;
use super::span::Parent;
use super::span::Span;
use super::span::SpanKind;
use super::span::new_span_id;
use super::tracer::Inner;
use hoth_core::domain::JobTrace;
use hoth_core::domain::TraceContext;
use hoth_queue::QueueName;

/// The collection of a batch of outcomes, while it is under way. It is dropped
/// without a span if the client does not get the batch.
#[derive(Debug)]
pub struct Collecting(Option<Batch>);

#[derive(Debug)]
struct Batch {
    tracer: Arc<Inner>,
    /// The span of the request.
    request: TraceContext,
    queue: QueueName,
    started: Moment,
    /// The ids and the traces of the jobs.
    jobs: Vec<(String, JobTrace)>,
}

impl Collecting {
    /// Makes a collection without spans.
    pub(super) fn untraced() -> Self {
        Self(None)
    }

    pub(super) fn begin(
        tracer: &Arc<Inner>,
        request: &TraceContext,
        queue: &QueueName,
        mut jobs: Vec<(String, JobTrace)>,
    ) -> Self {
        jobs.retain(|(_, job)| job.created.is_sampled());
        let started = Moment::new(tracer.clock.wall());
        let (tracer, request, queue) = (Arc::clone(tracer), request.clone(), queue.clone());
        Self(Some(Batch { tracer, request, queue, started, jobs }))
    }

    /// Ends the collection: the client has the outcomes, and has consumed or
    /// leased them.
    pub fn end(self, is_leased: bool) {
        let Some(Batch { tracer, request, queue, started, jobs }) = self.0 else { return };
        let times = started.until_now();
        let span = |(id, job): (String, JobTrace)| {
            // The run that ended the job, hours after the job was created.
            let above = job.last_run.unwrap_or(job.created);
            let context = above.with_span(new_span_id());
            let name = format!("collect {}", queue.family());
            let parent = Some(Parent::remote(&above));
            let mut span = Span::new(name, SpanKind::Consumer, context, parent, times);
            span.attributes = tracer.of_messaging("collect", "receive", &queue);
            span.set("messaging.message.conversation_id", id);
            span.set("hoth.leased", is_leased);
            span.links.push(request.clone());
            span
        };
        tracer.export(jobs.into_iter().map(span).collect());
    }
}
