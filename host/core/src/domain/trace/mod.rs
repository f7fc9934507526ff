//! Trace contexts: the place of a job in the traces of its callers.
//!
//! The rules are those of the W3C recommendation "Trace Context". A context
//! that breaks them is ignored: it never costs a job.

mod context;
mod state;

use std::time::Duration;

use serde::Deserialize;
use serde::Deserializer;
use serde::Serialize;
use serde_json::Value;

use super::Timestamp;

pub use context::SpanId;
pub use context::TRACEPARENT;
pub use context::TRACESTATE;
pub use context::TraceContext;
pub use context::TraceId;

/// The traces of a job, kept with its message. They are no part of the job's
/// identity: a repetition with another context is still a repetition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobTrace {
    /// The context in which the job was created: that of the client, or of the
    /// span in which the host sent the job to its queue.
    pub created: TraceContext,
    /// The context of the last run. `None` before the first wait, and while the
    /// host makes no spans.
    pub last_run: Option<TraceContext>,
}

impl JobTrace {
    /// Makes the traces of a job that has not run.
    pub fn new(created: TraceContext) -> Self {
        Self { created, last_run: None }
    }

    /// Returns the same traces after this run.
    pub fn after(self, run: TraceContext) -> Self {
        Self { last_run: Some(run), ..self }
    }

    /// Reads the traces of a stored job. Returns `None` for a value that is none,
    /// whatever it is.
    pub(super) fn read<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Self>, D::Error> {
        let value = Value::deserialize(deserializer)?;
        Ok(Stored::deserialize(value).ok().and_then(|stored| stored.to_trace()))
    }

    /// Writes the traces of a job to be stored.
    pub(super) fn write<S: serde::Serializer>(
        trace: &Option<Self>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        trace.as_ref().map(Stored::of).serialize(serializer)
    }
}

/// The trace of one run, for the observers of the job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunTrace {
    /// The context of the run.
    pub context: TraceContext,
    /// The traces of the job before this run. `None` if the job has none yet.
    pub job: Option<JobTrace>,
    /// The start of the run by the wall clock, by which traces are dated.
    pub at: Timestamp,
    /// The time from the start of the run to that of its settlement. `None`
    /// until the settlement.
    pub settling: Option<Duration>,
}

impl RunTrace {
    /// Returns the traces to keep with the job after this run.
    pub fn job_after(&self) -> JobTrace {
        let job = self.job.clone().unwrap_or_else(|| JobTrace::new(self.context.clone()));
        job.after(self.context.clone())
    }
}

/// The stored form of [`JobTrace`].
#[derive(Serialize, Deserialize)]
struct Stored {
    traceparent: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    tracestate: String,
    /// Without a state: links need none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last_run: Option<String>,
}

impl Stored {
    fn of(trace: &JobTrace) -> Self {
        Self {
            traceparent: trace.created.traceparent(),
            tracestate: trace.created.state().to_owned(),
            last_run: trace.last_run.as_ref().map(TraceContext::traceparent),
        }
    }

    fn to_trace(&self) -> Option<JobTrace> {
        let created = TraceContext::parse(&self.traceparent, &self.tracestate)?;
        let last_run = self.last_run.as_ref().and_then(|text| TraceContext::parse(text, ""));
        Some(JobTrace { created, last_run })
    }
}
