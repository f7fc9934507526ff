//! The events of one run of a job: from the receipt of its message to the
//! settlement.

use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use super::Context;
use crate::observe::Observers;
use crate::registry::Version;
use crate::traces::Tracer;
use hoth_core::domain::AdapterCalled;
use hoth_core::domain::AdapterEntry;
use hoth_core::domain::Ended;
use hoth_core::domain::JobEvent;
use hoth_core::domain::JobEventKind;
use hoth_core::domain::JobFacts;
use hoth_core::domain::JobRecord;
use hoth_core::domain::JobTrace;
use hoth_core::domain::QueuedJob;
use hoth_core::domain::RunTrace;
use hoth_core::domain::Step;
use hoth_core::domain::StepWord;
use hoth_egress::ExchangeEvents;
use hoth_queue::Delivery;
use hoth_runtime::Measured;

/// Events that a job without a failure has in one run: receipt, two calls of
/// its adapter, one request, its end.
const EVENTS_USUAL: usize = 5;

/// Collects the events of one run, and hands them to the observers when it is
/// dropped: also if the run is cancelled or panics.
pub struct RunEvents {
    observers: Observers,
    began: Instant,
    record: JobRecord,
    /// True once the message is settled or its lease is lost.
    closed: bool,
}

impl RunEvents {
    /// Begins the record of a delivery. [`RunEvents::of_queued`] adds the facts
    /// when they have been read.
    pub fn begin(context: &Context, delivery: &Delivery) -> Self {
        let queue = delivery.lease.queue();
        let mut job = JobFacts::of_id(queue.kind, delivery.message.key.as_str());
        job.csp = queue.csp().cloned();
        let mut record = JobRecord::new(job, context.clock.now());
        record.events.reserve(EVENTS_USUAL);
        let observers = context.observers.clone();
        Self { observers, began: Instant::now(), record, closed: false }
    }

    /// Takes the facts of the job from its message, begins the trace of the run,
    /// and adds the receipt.
    pub fn of_queued(&mut self, tracer: &Tracer, queued: &QueuedJob, delivery: &Delivery) {
        self.record.trace = tracer.run(queued).map(Box::new);
        let created = queued.trace.as_ref().map(|trace| &trace.created);
        let trace = self.trace().map(|trace| &trace.context).or(created);
        let trace_id = trace.map(|trace| trace.trace_id.to_string().into());
        // The CSP of the queue stays: that of a job on a wrong queue is another
        // one, whose runs these are not.
        let csp = self.record.job.csp.take();
        self.record.job = JobFacts::of_queued(queued);
        self.record.job.csp = csp.or(self.record.job.csp.take());
        let due = queued.resumption.as_ref().map(|from| from.due_at);
        let waited = self.record.at.since(due.unwrap_or(delivery.message.sent_at));
        self.add(JobEventKind::Received {
            attempt: delivery.message.receive_count,
            resumed: queued.resumption.is_some(),
            waited_ms: millis(waited),
            trace_id,
        });
    }

    /// Returns the trace of the run, unless no spans are made.
    pub fn trace(&self) -> Option<&RunTrace> {
        self.record.trace.as_deref()
    }

    /// Returns the traces to keep with the job after the run, unless no spans
    /// are made.
    pub fn job_trace(&self) -> Option<JobTrace> {
        self.trace().map(RunTrace::job_after)
    }

    /// Notes that the settlement begins.
    pub fn begin_settling(&mut self) {
        let now = self.began.elapsed();
        if let Some(trace) = &mut self.record.trace {
            trace.settling = Some(now);
        }
    }

    /// Adds an event without a duration.
    pub fn add(&mut self, what: JobEventKind) {
        let offset = self.began.elapsed();
        self.record.push(JobEvent { offset, took: None, what });
    }

    /// Adds an event that began at `started` and has just ended.
    pub fn add_since(&mut self, started: Instant, what: JobEventKind) {
        self.add_timed(started, started.elapsed(), what);
    }

    fn add_timed(&mut self, started: Instant, took: Duration, what: JobEventKind) {
        let offset = started.saturating_duration_since(self.began);
        self.record.push(JobEvent { offset, took: Some(took), what });
    }

    /// Adds a call of the adapter that began at `started`, and its log lines.
    pub fn add_call<E>(
        &mut self,
        started: Instant,
        entry: AdapterEntry,
        version: &Version,
        step: &Result<Step, E>,
        measured: Measured,
    ) {
        let called = AdapterCalled {
            entry,
            version: Arc::clone(version.label()),
            digest: Arc::clone(version.digest_prefix()),
            step: match step {
                Ok(Step::Send(_)) => StepWord::Send,
                Ok(Step::Wait(_)) => StepWord::Wait,
                Ok(Step::Done(_)) => StepWord::Done,
                Ok(Step::Fail(_)) => StepWord::Fail,
                Err(_) => StepWord::Broken,
            },
            computed_us: u64::try_from(measured.time.as_micros()).unwrap_or(u64::MAX),
            memory_bytes: measured.memory_bytes as u64,
        };
        self.add_since(started, JobEventKind::AdapterCalled(called));
        for (level, text) in measured.log {
            self.add(JobEventKind::Logged { level, text });
        }
    }

    /// Adds the tries of a request, and the waits before them.
    pub fn add_exchange(&mut self, exchanged: ExchangeEvents) {
        for event in exchanged.events {
            self.add_timed(event.started, event.took, event.what);
        }
        self.record.dropped = self.record.dropped.saturating_add(exchanged.dropped);
    }

    /// Adds the last event of the run.
    pub fn close(&mut self, what: JobEventKind) {
        self.add(what);
        self.closed = true;
    }

    /// Returns the time since the run began.
    pub fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// Returns `ended` with the time from the job's acceptance until now.
    pub fn ended_now(&self, ended: Ended) -> Ended {
        let now = self.record.at + self.began.elapsed();
        let took = self.record.job.accepted_at.map(|accepted| now.since(accepted));
        Ended { took_ms: took.map(millis), ..ended }
    }
}

impl Drop for RunEvents {
    fn drop(&mut self) {
        if !self.closed {
            self.add(JobEventKind::Interrupted);
        }
        let none = JobFacts::of_id(self.record.job.kind, "");
        let empty = JobRecord::new(none, self.record.at);
        self.observers.observe(std::mem::replace(&mut self.record, empty));
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
