//! The spans of a request to the API.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

use http::HeaderMap;

use super::collecting::Collecting;
use super::incoming::context_in;
use super::span::Attribute;
use super::span::LINKS_MAX;
use super::span::Moment;
use super::span::Parent;
use super::span::Span;
use super::span::SpanKind;
use super::span::Value;
use super::span::new_span_id;
use super::tracer::Inner;
use super::tracer::Tracer;
use hoth_core::domain::JobTrace;
use hoth_core::domain::TraceContext;
use hoth_queue::QueueError;
use hoth_queue::QueueName;

/// The trace of a request. Clones share it. A handler adds to it, and the last
/// clone that is dropped ends its span.
#[derive(Debug, Clone)]
pub struct RequestTrace {
    /// The context that the client has sent.
    remote: Option<TraceContext>,
    /// `None` if no spans are made.
    server: Option<Arc<Server>>,
}

/// The server's span, while the request is handled.
#[derive(Debug)]
struct Server {
    tracer: Arc<Inner>,
    name: String,
    context: TraceContext,
    parent: Option<Parent>,
    started: Moment,
    gathered: Mutex<Gathered>,
}

#[derive(Debug, Default)]
struct Gathered {
    attributes: Vec<Attribute>,
    links: Vec<TraceContext>,
    /// Finished spans below the server's.
    children: Vec<Span>,
    status: Option<u16>,
    /// True if the sender may use the API. Anyone can send other requests, and
    /// must not fill the queue of spans with them.
    is_authorized: bool,
}

/// The send of a job to its queue, while it is under way.
#[derive(Debug)]
pub struct Sending {
    trace: Option<JobTrace>,
    child: Option<Child>,
}

/// The receive of outcomes, while it is under way.
#[derive(Debug)]
pub struct Receiving(Option<Child>);

/// A span below that of the request, while it is under way.
#[derive(Debug)]
struct Child {
    server: Arc<Server>,
    name: String,
    kind: SpanKind,
    context: TraceContext,
    started: Moment,
    attributes: Vec<Attribute>,
}

impl Tracer {
    /// Begins the trace of a request with these headers. `route` is the path
    /// without its parameters.
    pub fn request(&self, method: &str, route: &str, headers: &HeaderMap) -> RequestTrace {
        RequestTrace::begin(self.0.as_ref(), method, route, context_in(headers))
    }
}

impl RequestTrace {
    fn begin(
        tracer: Option<&Arc<Inner>>,
        method: &str,
        route: &str,
        remote: Option<TraceContext>,
    ) -> Self {
        let server = tracer.map(|tracer| {
            let context = match &remote {
                Some(remote) => remote.with_span(new_span_id()),
                None => tracer.new_root(),
            };
            let attributes = vec![
                ("http.request.method", Value::from(method)),
                ("http.route", Value::from(route)),
            ];
            Arc::new(Server {
                tracer: Arc::clone(tracer),
                name: format!("{method} {route}"),
                context,
                parent: remote.as_ref().map(Parent::remote),
                started: Moment::new(tracer.clock.wall()),
                gathered: Mutex::new(Gathered { attributes, ..Gathered::default() }),
            })
        });
        Self { remote, server }
    }

    /// Returns the context of the request. Returns `None` if no spans are made.
    pub fn context(&self) -> Option<&TraceContext> {
        self.server.as_ref().map(|server| &server.context)
    }

    /// Notes that the sender may use the API, and the name of its key. Without
    /// it the request has no span.
    pub fn authorize(&self, key: Option<&str>) {
        if let Some(server) = &self.server {
            server.gathered().is_authorized = true;
        }
        self.set_some("hoth.key", key);
    }

    /// Adds an attribute to the span of the request.
    pub fn set(&self, name: &'static str, value: impl Into<Value>) {
        if let Some(server) = &self.server {
            server.gathered().attributes.push((name, value.into()));
        }
    }

    /// Adds an attribute that may be missing.
    pub fn set_some<V: Into<Value>>(&self, name: &'static str, value: Option<V>) {
        value.into_iter().for_each(|value| self.set(name, value));
    }

    /// Adds a link from the span of the request to a job.
    pub fn link(&self, job: &TraceContext) {
        if let Some(server) = &self.server {
            let mut gathered = server.gathered();
            if gathered.links.len() < LINKS_MAX {
                gathered.links.push(job.clone());
            }
        }
    }

    /// Notes the status of the response.
    pub fn respond(&self, status: u16) {
        if let Some(server) = &self.server {
            server.gathered().status = Some(status);
        }
    }

    /// Begins the send of a job to `queue`.
    pub fn send(&self, queue: &QueueName, job_id: &str) -> Sending {
        let Some(server) = &self.server else {
            return Sending { trace: self.remote.clone().map(JobTrace::new), child: None };
        };
        let mut child = Child::begin(server, "send", queue, SpanKind::Producer);
        child.attributes.push(("messaging.message.conversation_id", Value::from(job_id)));
        Sending { trace: Some(JobTrace::new(child.context.clone())), child: Some(child) }
    }

    /// Begins a receive of outcomes from `queue`.
    pub fn receive(&self, queue: &QueueName) -> Receiving {
        let begin = |server| Child::begin(server, "receive", queue, SpanKind::Client);
        Receiving(self.server.as_ref().map(begin))
    }

    /// Links the request to the jobs whose outcomes it returns, and begins the
    /// spans of their collection.
    pub fn collect(&self, queue: &QueueName, jobs: Vec<(String, JobTrace)>) -> Collecting {
        let Some(server) = &self.server else { return Collecting::untraced() };
        jobs.iter().for_each(|(_, job)| self.link(&job.created));
        Collecting::begin(&server.tracer, &server.context, queue, jobs)
    }
}

impl Server {
    fn gathered(&self) -> MutexGuard<'_, Gathered> {
        // A panic elsewhere leaves whole values behind.
        self.gathered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let gathered = std::mem::take(&mut *self.gathered());
        let is_failure = gathered.status.is_none_or(|status| status >= 500);
        if !gathered.is_authorized || !self.context.is_sampled() && !is_failure {
            return;
        }
        let mut span = Span::new(
            std::mem::take(&mut self.name),
            SpanKind::Server,
            self.context.clone(),
            self.parent,
            self.started.until_now(),
        );
        span.attributes = gathered.attributes;
        span.links = gathered.links;
        span.set_some("http.response.status_code", gathered.status);
        match gathered.status {
            // The client has closed the connection before there was a response.
            None => span.fail("cancelled"),
            Some(status @ 500..) => span.fail(status.to_string()),
            Some(_) => {}
        }
        let mut spans = gathered.children;
        spans.push(span);
        self.tracer.export(spans);
    }
}

impl Sending {
    /// Returns the traces to keep with the job.
    pub fn job_trace(&self) -> Option<JobTrace> {
        self.trace.clone()
    }

    /// Ends the send, which may have failed.
    pub fn end(self, error: Option<&QueueError>) {
        if let Some(child) = self.child {
            child.end(error);
        }
    }
}

impl Receiving {
    /// Ends the receive of so many outcomes.
    pub fn end(self, received: Result<usize, &QueueError>) {
        let Some(mut child) = self.0 else { return };
        let count = received.ok().map(|count| i64::try_from(count).unwrap_or(i64::MAX));
        child.attributes.extend(count.map(|n| ("messaging.batch.message_count", Value::from(n))));
        child.end(received.err());
    }
}

impl Child {
    fn begin(
        server: &Arc<Server>,
        operation: &'static str,
        queue: &QueueName,
        kind: SpanKind,
    ) -> Self {
        Self {
            server: Arc::clone(server),
            name: format!("{operation} {}", queue.family()),
            kind,
            context: server.context.with_span(new_span_id()),
            started: Moment::new(server.tracer.clock.wall()),
            attributes: server.tracer.of_messaging(operation, operation, queue),
        }
    }

    fn end(self, error: Option<&QueueError>) {
        let Self { server, name, kind, context, started, attributes } = self;
        let parent = Some(Parent::local(&server.context));
        let mut span = Span::new(name, kind, context, parent, started.until_now());
        span.attributes = attributes;
        if let Some(error) = error {
            span.fail(queue_error_type(error));
        }
        server.gathered().children.push(span);
    }
}

/// Returns the class of an error of a queue.
pub(super) fn queue_error_type(error: &QueueError) -> &'static str {
    match error {
        QueueError::Full => "queue-full",
        QueueError::Unreachable(_) => "queue-unreachable",
        QueueError::LeaseEnded => "lease-lost",
        QueueError::Refused(_) => "queue-refused",
        QueueError::NotOffered(_) => "not-offered",
    }
}

#[cfg(test)]
mod tests {
    use super::super::config::Config;
    use super::*;
    use hoth_core::domain::JobKind;
    use http::HeaderValue;

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn headers(traceparent: &str) -> HeaderMap {
        let value = HeaderValue::from_str(traceparent).expect("a value");
        [(http::HeaderName::from_static("traceparent"), value)].into_iter().collect()
    }

    fn requests() -> QueueName {
        QueueName::requests(JobKind::Cost, &"CSP_A".parse().expect("a name"))
    }

    #[test]
    fn the_send_of_a_job_is_below_the_request_and_both_in_the_trace_of_the_client() {
        let (tracer, mut spans) = Tracer::for_tests(&Config::default());
        let request = tracer.request("POST", "/cost-jobs", &headers(PARENT));
        request.authorize(Some("snow"));
        let sending = request.send(&requests(), "job-1");
        let trace = sending.job_trace().expect("the job is traced");
        sending.end(None);
        request.respond(202);
        assert!(spans.try_recv().is_err(), "the request is not over");
        drop(request);
        let (send, server) = (spans.try_recv().unwrap(), spans.try_recv().unwrap());
        assert_eq!((send.name.as_str(), send.kind), ("send cost-requests", SpanKind::Producer));
        assert_eq!((server.name.as_str(), server.kind), ("POST /cost-jobs", SpanKind::Server));
        assert_eq!(send.context, trace.created);
        assert_eq!(send.parent, Some(Parent::local(&server.context)));
        let remote = TraceContext::parse(PARENT, "").unwrap();
        assert_eq!(server.parent, Some(Parent::remote(&remote)));
        assert_eq!(server.context.trace_id, remote.trace_id);
        assert_eq!(trace.created.trace_id, remote.trace_id);
    }

    #[test]
    fn a_request_is_kept_if_its_client_or_the_ratio_says_so_or_if_it_fails() {
        let unsampled = PARENT.replace("-01", "-00");
        for (ratio, traceparent, status, kept) in [
            (1.0, "", Some(200), true),
            (0.0, "", Some(200), false),
            (0.0, PARENT, Some(200), true),
            (1.0, &unsampled, Some(200), false),
            (0.0, "", Some(404), false),
            (0.0, "", Some(503), true),
            (0.0, "", None, true),
            (1.0, &unsampled, Some(503), true),
        ] {
            let config = Config { sample_ratio: ratio, ..Config::default() };
            let (tracer, mut spans) = Tracer::for_tests(&config);
            let request = tracer.request("GET", "/cost-jobs", &headers(traceparent));
            request.authorize(None);
            if let Some(status) = status {
                request.respond(status);
            }
            drop(request);
            let span = spans.try_recv();
            assert_eq!(span.is_ok(), kept, "{ratio} {traceparent} {status:?}");
            if let Ok(span) = span {
                assert_eq!(span.is_error, status != Some(200));
            }
        }
    }

    #[test]
    fn a_request_of_an_unknown_sender_has_no_span() {
        let (tracer, mut spans) = Tracer::for_tests(&Config::default());
        for status in [Some(401), Some(503), None] {
            let request = tracer.request("POST", "/cost-jobs", &headers(PARENT));
            status.into_iter().for_each(|status| request.respond(status));
            drop(request);
            assert!(spans.try_recv().is_err(), "{status:?}");
        }
    }

    #[test]
    fn a_tracer_that_is_off_passes_the_context_of_the_client_on() {
        for (traceparent, expected) in [(PARENT, Some(PARENT)), ("oops", None)] {
            let request = Tracer::off().request("POST", "/cost-jobs", &headers(traceparent));
            let trace = request.send(&requests(), "job-1").job_trace();
            assert_eq!(trace.map(|trace| trace.created.traceparent()).as_deref(), expected);
        }
    }
}
