//! The spans of one run of a job, made from its record.

use std::sync::Arc;
use std::time::Duration;

use sha2::Digest as _;
use sha2::Sha256;
use url::Url;

use super::span::Parent;
use super::span::Span;
use super::span::SpanEvent;
use super::span::SpanKind;
use super::span::Value;
use super::span::nanos;
use super::span::new_span_id;
use super::tracer::Inner;
use super::tracer::Tracer;
use crate::observe::Observer;
use hoth_core::domain::AdapterCalled;
use hoth_core::domain::AdapterEntry;
use hoth_core::domain::CallHold;
use hoth_core::domain::CredentialObtained;
use hoth_core::domain::Ended;
use hoth_core::domain::JobEvent;
use hoth_core::domain::JobEventKind;
use hoth_core::domain::JobRecord;
use hoth_core::domain::Operation;
use hoth_core::domain::QueuedJob;
use hoth_core::domain::RequestTried;
use hoth_core::domain::RunTrace;
use hoth_core::domain::SpanId;
use hoth_core::domain::StepWord;
use hoth_core::domain::TraceContext;
use hoth_core::domain::Waiting;
use hoth_queue::QueueName;

/// The most spans of one run. The usual run has five; one that uses up every
/// bound would have thousands.
const RUN_SPANS_MAX: usize = 256;

impl Tracer {
    /// Begins the trace of a run of `queued`. Returns `None` if no spans are
    /// made.
    ///
    /// The first run is in the trace of the job. A later run, perhaps days after
    /// it, has a trace of its own: many receivers lose spans that come that late.
    pub fn run(&self, queued: &QueuedJob) -> Option<RunTrace> {
        let tracer = self.0.as_ref()?;
        let job = queued.trace.clone();
        let context = match (&job, &queued.resumption) {
            (Some(job), None) => job.created.with_span(new_span_id()),
            // The decision is that of the job: all of its runs are kept, or none.
            (Some(job), Some(_)) => tracer.new_root_sampled(job.created.is_sampled()),
            (None, _) => tracer.new_root(),
        };
        Some(RunTrace { context, job, at: tracer.clock.wall(), settling: None })
    }
}

/// Returns the context of the span of a call: the one of this number, from 1, of
/// a request, counted from 1 in the job. The id follows from that of the run, so
/// that the span, which is made later, has the id that the CSP has seen.
pub fn call_context(run: &TraceContext, request: u32, call: u32) -> TraceContext {
    let mut hasher = Sha256::new();
    hasher.update(run.trace_id.as_bytes());
    hasher.update(run.span_id.as_bytes());
    hasher.update(request.to_be_bytes());
    hasher.update(call.to_be_bytes());
    let digest = hasher.finalize();
    let mut id = [0; 8];
    id.copy_from_slice(&digest[..8]);
    run.with_span(SpanId::new(id).unwrap_or_else(new_span_id))
}

impl Observer for Tracer {
    fn observe(&self, record: &Arc<JobRecord>) {
        let (Some(tracer), Some(trace)) = (&self.0, &record.trace) else { return };
        let run = Run { tracer, record, trace };
        let Some(end) = run.end() else { return };
        if trace.context.is_sampled() || end.error_type.is_some() {
            tracer.export(run.spans(end));
        }
    }
}

/// A finished run.
struct Run<'a> {
    tracer: &'a Inner,
    record: &'a JobRecord,
    trace: &'a RunTrace,
}

/// The end of a run.
struct End {
    /// The word in `hoth.end`.
    word: &'static str,
    at: Duration,
    /// The class of the error, if the run has failed.
    error_type: Option<String>,
}

impl Run<'_> {
    /// Returns the end of the run. Returns `None` for a message that was given
    /// back before its job ran.
    fn end(&self) -> Option<End> {
        let mut events = self.record.events.iter().rev();
        let end = |event: &JobEvent, word, error_type: Option<String>| {
            Some(End { word, at: event.offset, error_type })
        };
        let is_dead_letter =
            |event: &JobEvent| matches!(event.what, JobEventKind::DeadLettered { .. });
        let last = events.next()?;
        match &last.what {
            JobEventKind::Ended(ended) => {
                let error_type = error_type_of(ended);
                let word = match (events.next().is_some_and(is_dead_letter), &error_type) {
                    (true, _) => "dead-letter",
                    (false, Some(_)) => "fail",
                    (false, None) => "done",
                };
                end(last, word, error_type)
            }
            JobEventKind::Waits(_) => end(last, "wait", None),
            JobEventKind::LeaseLost => end(last, "lost", Some("lease-lost".to_owned())),
            JobEventKind::Interrupted => end(last, "interrupted", Some("interrupted".to_owned())),
            JobEventKind::Held { .. } => None,
            // Not the last event of any run.
            JobEventKind::Accepted { .. }
            | JobEventKind::Received { .. }
            | JobEventKind::AdapterCalled(_)
            | JobEventKind::Logged { .. }
            | JobEventKind::Delayed { .. }
            | JobEventKind::CallHeld { .. }
            | JobEventKind::CredentialObtained(_)
            | JobEventKind::RequestTried(_)
            | JobEventKind::DeadLettered { .. }
            | JobEventKind::Leased { .. }
            | JobEventKind::Released { .. }
            | JobEventKind::Collected { .. }
            | JobEventKind::Redelivered { .. }
            | JobEventKind::Redriven { .. }
            | JobEventKind::Purged { .. }
            | JobEventKind::LookedNow { .. }
            | JobEventKind::Cancelled { .. }
            | JobEventKind::SettledByHand { .. }
            | JobEventKind::Unknown => end(last, "unknown", None),
        }
    }

    fn spans(&self, end: End) -> Vec<Span> {
        let mut process = self.process(&end);
        let mut children: Vec<Span> = Vec::new();
        for event in &self.record.events {
            if children.len() == RUN_SPANS_MAX {
                process.set("hoth.spans_left_out", true);
                break;
            }
            match &event.what {
                JobEventKind::AdapterCalled(called) => children.push(self.adapter(event, called)),
                // The lines follow the call that wrote them.
                JobEventKind::Logged { level, text } => {
                    let above = children.last_mut().unwrap_or(&mut process);
                    above.events.push(SpanEvent {
                        name: "log",
                        at_ns: self.ns(event.offset).min(above.end_ns),
                        attributes: vec![
                            ("hoth.log.level", Value::from(level.as_str())),
                            ("hoth.log.text", Value::from(&**text)),
                        ],
                    });
                }
                JobEventKind::Delayed { by_ms } => {
                    let by_ms = i64::try_from(*by_ms).unwrap_or(i64::MAX);
                    process.events.push(SpanEvent {
                        name: "delay",
                        at_ns: self.ns(event.offset),
                        attributes: vec![("hoth.delay_ms", Value::from(by_ms))],
                    });
                }
                JobEventKind::CallHeld { cause } => {
                    let name = match cause {
                        CallHold::Breaker => "breaker wait",
                        CallHold::CallLimit => "call limit wait",
                    };
                    children.push(self.child(event, name, SpanKind::Internal));
                }
                JobEventKind::CredentialObtained(obtained) => {
                    children.push(self.token(event, obtained));
                }
                JobEventKind::RequestTried(tried) => children.push(self.call(event, tried)),
                JobEventKind::Received { attempt, waited_ms, .. } => {
                    process.set("hoth.attempt", *attempt);
                    process.set("hoth.waited_ms", i64::try_from(*waited_ms).unwrap_or(i64::MAX));
                }
                JobEventKind::Waits(waiting) => wait_attributes(&mut process, waiting),
                JobEventKind::Ended(ended) => process.set("hoth.code", ended.code),
                JobEventKind::Accepted { .. }
                | JobEventKind::Held { .. }
                | JobEventKind::DeadLettered { .. }
                | JobEventKind::LeaseLost
                | JobEventKind::Interrupted
                | JobEventKind::Leased { .. }
                | JobEventKind::Released { .. }
                | JobEventKind::Collected { .. }
                | JobEventKind::Redelivered { .. }
                | JobEventKind::Redriven { .. }
                | JobEventKind::Purged { .. }
                | JobEventKind::LookedNow { .. }
                | JobEventKind::Cancelled { .. }
                | JobEventKind::SettledByHand { .. }
                | JobEventKind::Unknown => {}
            }
        }
        children.extend(self.settle(&end));
        children.push(process);
        children
    }

    /// Returns the span of the run itself.
    fn process(&self, end: &End) -> Span {
        let job = &self.record.job;
        let (context, name) = (self.trace.context.clone(), self.queue_name());
        let family = name.as_ref().map_or("jobs", QueueName::family);
        let created = self.trace.job.as_ref().map(|job| &job.created);
        let parent = created.filter(|created| created.trace_id == context.trace_id);
        let mut span = Span::new(
            format!("process {family}"),
            SpanKind::Consumer,
            context,
            parent.map(Parent::remote),
            (self.ns(Duration::ZERO), self.ns(end.at)),
        );
        if parent.is_none()
            && let Some(job) = &self.trace.job
        {
            span.links.push(job.created.clone());
            span.links.extend(job.last_run.clone());
        }
        if let Some(name) = &name {
            span.attributes = self.tracer.of_messaging("process", "process", name);
        }
        span.set("messaging.message.conversation_id", job.id.as_str());
        span.set_some("hoth.csp", job.csp.as_ref().map(|csp| csp.as_str()));
        span.set_some("hoth.operation", job.operation.map(Operation::api_name));
        span.set("hoth.end", end.word);
        if let Some(error_type) = &end.error_type {
            span.fail(error_type.as_str());
        }
        span
    }

    fn adapter(&self, event: &JobEvent, called: &AdapterCalled) -> Span {
        let name = match called.entry {
            AdapterEntry::Begin => "adapter begin",
            AdapterEntry::Resume => "adapter resume",
        };
        let mut span = self.child(event, name, SpanKind::Internal);
        let csp = self.record.job.csp.as_ref();
        let adapter = csp.and_then(|csp| self.tracer.adapters.get(csp));
        span.set_some("hoth.adapter.name", adapter.map(String::as_str));
        span.set("hoth.adapter.version", &*called.version);
        span.set("hoth.adapter.digest", &*called.digest);
        let integer = |number| i64::try_from(number).unwrap_or(i64::MAX);
        span.set("hoth.adapter.memory_bytes", integer(called.memory_bytes));
        span.set("hoth.adapter.computed_us", integer(called.computed_us));
        span.set("hoth.step", called.step.as_str());
        if called.step == StepWord::Broken {
            span.fail("adapter-broken");
        }
        span
    }

    fn token(&self, event: &JobEvent, obtained: &CredentialObtained) -> Span {
        let mut span = self.child(event, "token", SpanKind::Client);
        span.set("hoth.credential", obtained.name.as_deref().unwrap_or("default"));
        span.set("hoth.renewed", obtained.renewed);
        if let Some(failure) = obtained.failure {
            span.fail(failure.as_str());
        }
        span
    }

    /// Returns the span of one call. Its target is left out: queries and paths
    /// hold data of the job.
    fn call(&self, event: &JobEvent, tried: &RequestTried) -> Span {
        let method = tried.method.as_str();
        // The host has refused the request, and made no call.
        let is_refused = tried.attempt == 0;
        let (name, kind) = match is_refused {
            true => ("refuse request", SpanKind::Internal),
            false => (method, SpanKind::Client),
        };
        let mut span = self.child(event, name, kind);
        if !is_refused {
            span.context = call_context(&self.trace.context, tried.request, tried.attempt);
        }
        span.set("http.request.method", method);
        if let Ok(origin) = Url::parse(&tried.origin) {
            span.set_some("server.address", origin.host_str());
            span.set_some("server.port", origin.port_or_known_default());
        }
        if tried.attempt > 1 {
            span.set("http.request.resend_count", tried.attempt - 1);
        }
        span.set_some("http.response.status_code", tried.status);
        span.set("hoth.request", tried.request);
        span.set_some("hoth.endpoint", tried.endpoint.as_deref());
        if self.tracer.csp_paths {
            span.set("url.path", &*tried.path);
        }
        if tried.credential_refused {
            span.set("hoth.credential_refused", true);
        }
        let integer = |ms: u64| i64::try_from(ms).unwrap_or(i64::MAX);
        span.set_some("hoth.retry_after_ms", tried.retry_after_ms.map(integer));
        span.set_some("hoth.next_ms", tried.next_ms.map(integer));
        match (tried.failure, tried.status) {
            (Some(failure), _) => span.fail(failure.as_str()),
            (None, Some(status @ 400..)) => span.fail(status.to_string()),
            (None, _) => {}
        }
        span
    }

    /// Returns the span of the settlement, if it has begun.
    fn settle(&self, end: &End) -> Option<Span> {
        let (started, queue) = (self.trace.settling?, self.queue_name()?);
        let context = self.trace.context.with_span(new_span_id());
        let name = format!("settle {}", queue.family());
        let parent = Some(Parent::local(&self.trace.context));
        let times = (self.ns(started), self.ns(end.at));
        let mut span = Span::new(name, SpanKind::Client, context, parent, times);
        span.attributes = self.tracer.of_messaging("settle", "settle", &queue);
        if end.word == "lost" {
            span.fail("lease-lost");
        }
        Some(span)
    }

    /// Returns a span below that of the run, with the times of an event.
    fn child(&self, event: &JobEvent, name: &str, kind: SpanKind) -> Span {
        let context = self.trace.context.with_span(new_span_id());
        let parent = Some(Parent::local(&self.trace.context));
        let end = event.offset + event.took.unwrap_or_default();
        Span::new(name, kind, context, parent, (self.ns(event.offset), self.ns(end)))
    }

    /// Returns the queue from which the message came.
    fn queue_name(&self) -> Option<QueueName> {
        let job = &self.record.job;
        let resumed = self
            .record
            .events
            .iter()
            .any(|event| matches!(event.what, JobEventKind::Received { resumed: true, .. }));
        let csp = job.csp.as_ref()?;
        Some(match resumed {
            true => QueueName::polls(job.kind, csp),
            false => QueueName::requests(job.kind, csp),
        })
    }

    fn ns(&self, offset: Duration) -> u64 {
        nanos(self.trace.at, offset)
    }
}

fn wait_attributes(span: &mut Span, waiting: &Waiting) {
    span.set("hoth.wait.purpose", waiting.purpose.as_str());
    span.set("hoth.waits", waiting.waits);
}

/// Returns the class of a job's failure. A code from 400 on is a failure, with a
/// class or without.
fn error_type_of(ended: &Ended) -> Option<String> {
    (ended.code >= 400).then(|| {
        ended.class.as_ref().map_or_else(|| ended.code.to_string(), |class| class.to_string())
    })
}
