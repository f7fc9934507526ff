//! The events of a job: what happened to it, when, and for how long.
//!
//! The trail, the metrics, the traces and the log are derived from these values
//! alone. They hold no payload: ids, words, numbers, and cut text of other
//! parties.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde::Serialize;

use super::CspName;
use super::Job;
use super::JobKind;
use super::Method;
use super::Operation;
use super::PortfolioId;
use super::QueuedJob;
use super::Resumption;
use super::RunTrace;
use super::Timestamp;
use super::TransportCode;
use super::WaitPurpose;
use super::event_id;
use super::event_text;
use super::rfc3339;

/// The most log lines of one call of an adapter that become events.
pub const EVENT_LINES_MAX: usize = 20;

/// The most events of one record. A run makes 64 requests at most, each with a
/// few tries, so only an adapter that uses up every bound exceeds this.
pub const RECORD_EVENTS_MAX: usize = 2_000;

/// Room beyond [`RECORD_EVENTS_MAX`] for the end of a run: a dead letter and
/// the end of its job.
const ENDS_MAX: usize = 2;

/// One job, as far as its events name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobFacts {
    pub kind: JobKind,
    /// The job id or the request id.
    pub id: String,
    /// `None` where only the id is known, such as at a collection.
    pub csp: Option<CspName>,
    pub operation: Option<Operation>,
    pub portfolio_id: Option<PortfolioId>,
    pub accepted_at: Option<Timestamp>,
}

/// Events of one job that belong together: of one run, or of one request to the
/// API.
#[derive(Debug, Clone, PartialEq)]
pub struct JobRecord {
    pub job: JobFacts,
    /// The time from which the events' offsets count.
    pub at: Timestamp,
    /// In the order in which they ended.
    pub events: Vec<JobEvent>,
    /// Events beyond [`RECORD_EVENTS_MAX`].
    pub dropped: u32,
    /// The trace of the run. `None` for other records, and without traces.
    pub trace: Option<Box<RunTrace>>,
}

/// One event.
#[derive(Debug, Clone, PartialEq)]
pub struct JobEvent {
    /// The start of the event, since [`JobRecord::at`], by the monotonic clock.
    pub offset: Duration,
    /// `None` for an event without a duration.
    pub took: Option<Duration>,
    pub what: JobEventKind,
}

/// The kind of an event, with its facts.
///
/// The serialized form is stored in the trail and read by later releases: a
/// new kind or a new optional field may be added, and none be renamed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum JobEventKind {
    /// The API accepted the request.
    Accepted {
        /// The name of the caller's key; `None` without keys.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        by: Option<Box<str>>,
        /// True if the same request had been accepted before.
        #[serde(skip_serializing_if = "is_false", default)]
        repeated: bool,
    },
    /// A worker received the job's message.
    Received {
        /// The deliveries of the message so far, this one included.
        attempt: u32,
        /// True if the job continues after a wait.
        #[serde(skip_serializing_if = "is_false", default)]
        resumed: bool,
        /// The time in milliseconds since the message could have been received.
        waited_ms: u64,
        /// The id of the trace of the run, or of the client's if the host makes
        /// no spans.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        trace_id: Option<Box<str>>,
    },
    /// The adapter was called; the event's duration includes the wait for an
    /// instance.
    AdapterCalled(AdapterCalled),
    /// The adapter wrote a line to the log.
    Logged { level: LogLevel, text: Box<str> },
    /// The adapter asked for a delay before its next request.
    Delayed { by_ms: u64 },
    /// A call of a request was held back.
    CallHeld { cause: CallHold },
    /// A credential was not at hand: a token was fetched or a secret read.
    CredentialObtained(CredentialObtained),
    /// A request to the CSP was tried once.
    RequestTried(Box<RequestTried>),
    /// The message was given back, because the job cannot run now.
    Held { cause: HoldCause },
    /// The job waits.
    Waits(Box<Waiting>),
    /// The job ended, and its outcome is ready.
    Ended(Box<Ended>),
    /// The job's message became a dead letter. [`JobEventKind::Ended`] follows
    /// with the failure message.
    DeadLettered { reason: Box<str> },
    /// The worker lost the lease of the message, and another one owns it.
    LeaseLost,
    /// The host stopped, or the run was given up before its end.
    Interrupted,
    /// A client received the outcome under a lease.
    Leased { by: Option<Box<str>> },
    /// A client gave the outcome back.
    Released { by: Option<Box<str>> },
    /// A client collected the outcome.
    Collected { by: Option<Box<str>> },
    /// The outcome was made available again.
    Redelivered { by: Option<Box<str>> },
    /// A dead letter of the job was sent again.
    Redriven { by: Option<Box<str>> },
    /// A dead letter of the job was deleted.
    Purged { by: Option<Box<str>> },
    /// An operator had the job resumed before it was due.
    LookedNow { by: Option<Box<str>> },
    /// An operator cancelled the job. [`JobEventKind::Ended`] follows with the
    /// failure message.
    Cancelled { by: Option<Box<str>>, reason: Box<str> },
    /// An operator gave the outcome. [`JobEventKind::Ended`] follows with it.
    SettledByHand { by: Option<Box<str>>, reason: Box<str> },
    /// A kind of a later release.
    #[serde(other)]
    Unknown,
}

/// A call of an adapter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AdapterCalled {
    pub entry: AdapterEntry,
    /// The label that the version gives itself.
    pub version: Arc<str>,
    /// The first twelve hexadecimal digits of the component's SHA-256.
    pub digest: Arc<str>,
    pub step: StepWord,
    /// The time on a processor, in microseconds.
    pub computed_us: u64,
    pub memory_bytes: u64,
}

/// An exported function of an adapter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AdapterEntry {
    Begin,
    Resume,
}

/// The step that a call of an adapter returned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StepWord {
    Send,
    Wait,
    Done,
    Fail,
    /// The call returned no step: it trapped, or broke a limit or the contract.
    Broken,
}

/// The level of a log line of an adapter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogLevel {
    Debug,
    Info,
    Warn,
    Error,
}

impl StepWord {
    /// Returns the word as it is stored.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Send => "send",
            Self::Wait => "wait",
            Self::Done => "done",
            Self::Fail => "fail",
            Self::Broken => "broken",
        }
    }
}

impl LogLevel {
    /// Returns the word as it is stored.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }
}

/// The cause for which a call to the CSP was held back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CallHold {
    /// The circuit breaker of the origin was open.
    Breaker,
    /// As many calls as `max_concurrent` permits were under way.
    CallLimit,
}

/// The cause for which a job was given back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HoldCause {
    /// The message was delivered before it is due.
    NotDue,
    /// No version of the adapter can run the job.
    NoAdapter,
}

/// A credential that was fetched or read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CredentialObtained {
    /// The name in the configuration; `None` for the default credential.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub name: Option<Box<str>>,
    /// True if the CSP had refused the one before.
    #[serde(skip_serializing_if = "is_false", default)]
    pub renewed: bool,
    /// `None` if it was obtained.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub failure: Option<TransportCode>,
}

/// One try of a request to a CSP.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RequestTried {
    /// The position of the request in the job, from 1.
    pub request: u32,
    /// The position of this try in the request, from 1; 0 if the host refused
    /// the request.
    pub attempt: u32,
    pub method: Method,
    /// The name of the configured endpoint; `None` for the base URL.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub endpoint: Option<Box<str>>,
    /// Scheme, host and port; empty if the request was refused.
    pub origin: Box<str>,
    /// The path without its query, cut.
    pub path: Box<str>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub status: Option<u16>,
    /// The failure of the transport; `None` after a complete response.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub failure: Option<TransportCode>,
    /// The pause that the CSP asked for, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub retry_after_ms: Option<u64>,
    /// True if the CSP refused the credential.
    #[serde(skip_serializing_if = "is_false", default)]
    pub credential_refused: bool,
    /// The pause in milliseconds before the request is tried again; `None` if
    /// this was the last try, or the next one follows at once.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub next_ms: Option<u64>,
}

/// A wait of a job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Waiting {
    pub purpose: WaitPurpose,
    pub note: Box<str>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reference: Option<Box<str>>,
    /// The time of the next run.
    #[serde(with = "rfc3339")]
    pub next_at: Timestamp,
    /// The time at which the job is given up.
    #[serde(with = "rfc3339")]
    pub deadline_at: Timestamp,
    /// The waits so far, this one included.
    pub waits: u32,
    /// The requests of the job so far.
    pub requests: u32,
}

/// The end of a job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ended {
    /// The code of the outcome.
    pub code: u16,
    /// The class of the failure; `None` for an outcome that the adapter reports
    /// as done.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub class: Option<Cow<'static, str>>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<Box<str>>,
    /// The requests of the job.
    pub requests: u32,
    /// The time since the job was accepted, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub took_ms: Option<u64>,
}

impl JobFacts {
    /// Returns the facts of a job of which only the kind and id are known.
    pub fn of_id(kind: JobKind, id: impl Into<String>) -> Self {
        let id = id.into();
        Self { kind, id, csp: None, operation: None, portfolio_id: None, accepted_at: None }
    }

    /// Returns the facts of a queued job.
    pub fn of_queued(queued: &QueuedJob) -> Self {
        Self::of_job(&queued.job, queued.accepted_at)
    }

    /// Returns the facts of a job.
    pub fn of_job(job: &Job, accepted_at: Timestamp) -> Self {
        Self {
            kind: job.kind,
            id: job.id.as_str().to_owned(),
            csp: Some(job.csp.clone()),
            operation: Some(job.operation),
            portfolio_id: job.portfolio_id.clone(),
            accepted_at: Some(accepted_at),
        }
    }
}

impl JobRecord {
    /// Makes a record without events.
    pub fn new(job: JobFacts, at: Timestamp) -> Self {
        Self { job, at, events: Vec::new(), dropped: 0, trace: None }
    }

    /// Makes a record of one event without a duration.
    pub fn of_one(job: JobFacts, at: Timestamp, what: JobEventKind) -> Self {
        let event = JobEvent { offset: Duration::ZERO, took: None, what };
        Self { job, at, events: vec![event], dropped: 0, trace: None }
    }

    /// Adds an event, or counts it if the record is full.
    pub fn push(&mut self, event: JobEvent) {
        // An end must not be lost to the events before it.
        let is_end = matches!(
            event.what,
            JobEventKind::Ended(_) | JobEventKind::Waits(_) | JobEventKind::DeadLettered { .. }
        );
        let room = if is_end { RECORD_EVENTS_MAX + ENDS_MAX } else { RECORD_EVENTS_MAX };
        match self.events.len() < room {
            true => self.events.push(event),
            false => self.dropped = self.dropped.saturating_add(1),
        }
    }

    /// Returns the start of an event, to the millisecond.
    pub fn start_of(&self, event: &JobEvent) -> Timestamp {
        self.at + event.offset
    }

    /// Returns the end of the job, if this record has it.
    pub fn ended(&self) -> Option<&Ended> {
        self.events.iter().rev().find_map(|event| {
            if let JobEventKind::Ended(ended) = &event.what { Some(&**ended) } else { None }
        })
    }
}

impl Waiting {
    /// Returns the wait that ends with `resumption`; `deadline` counts from the
    /// first wait.
    pub fn of(resumption: &Resumption, deadline: Duration) -> Self {
        let progress = &resumption.progress;
        Self {
            purpose: resumption.purpose(),
            note: event_text(&progress.note),
            reference: progress.reference.as_deref().map(event_id),
            next_at: resumption.due_at,
            deadline_at: resumption.waiting_since + deadline,
            waits: resumption.waits,
            requests: resumption.requests,
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_false(value: &bool) -> bool {
    !value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_record_counts_events_and_keeps_the_end() {
        let mut record =
            JobRecord::new(JobFacts::of_id(JobKind::Cost, "r"), Timestamp::from_millis(5));
        let event = |what| JobEvent { offset: Duration::ZERO, took: None, what };
        for _ in 0..RECORD_EVENTS_MAX + 3 {
            record.push(event(JobEventKind::Delayed { by_ms: 1 }));
        }
        let ended = Ended { code: 200, class: None, reason: None, requests: 1, took_ms: None };
        record.push(event(JobEventKind::Ended(Box::new(ended))));
        assert_eq!((record.events.len(), record.dropped), (RECORD_EVENTS_MAX + 1, 3));
        assert_eq!(record.ended().map(|ended| ended.code), Some(200));
    }

    #[test]
    fn stored_events_stay_readable() {
        let stored = [
            r#"{"event":"accepted","by":"snow"}"#,
            r#"{"event":"received","attempt":2,"resumed":true,"waitedMs":7}"#,
            r#"{"event":"received","attempt":1,"waitedMs":7,"traceId":"4bf92f3577b34da6a3ce929d0e0e4736"}"#,
            r#"{"event":"adapter-called","entry":"begin","version":"1.0","digest":"0123456789ab","step":"send","computedUs":90,"memoryBytes":65536}"#,
            r#"{"event":"logged","level":"warn","text":"slow"}"#,
            r#"{"event":"call-held","cause":"call-limit"}"#,
            r#"{"event":"credential-obtained","name":"billing","failure":"token-refused"}"#,
            r#"{"event":"request-tried","request":1,"attempt":2,"method":"POST","origin":"https://csp.example","path":"/v1","status":429,"retryAfterMs":1000,"nextMs":1000}"#,
            r#"{"event":"held","cause":"no-adapter"}"#,
            r#"{"event":"waits","purpose":"poll","note":"IN_PROGRESS","nextAt":"2026-12-01T10:00:00.005Z","deadlineAt":"2026-12-08T10:00:00Z","waits":1,"requests":1}"#,
            r#"{"event":"ended","code":502,"class":"refused","reason":"no","requests":3,"tookMs":12}"#,
            r#"{"event":"lease-lost"}"#,
            r#"{"event":"collected","by":null}"#,
            r#"{"event":"looked-now","by":"ops"}"#,
            r#"{"event":"cancelled","by":"ops","reason":"posted twice"}"#,
            r#"{"event":"settled-by-hand","by":"ops","reason":"done by phone"}"#,
        ];
        for text in stored {
            let event: JobEventKind = serde_json::from_str(text).expect(text);
            assert_eq!(serde_json::to_string(&event).expect("events can be written"), text);
        }
        let later: JobEventKind = serde_json::from_str(r#"{"event":"teleported","by":"x"}"#)
            .expect("a later kind can be read");
        assert_eq!(later, JobEventKind::Unknown);
    }

    #[test]
    fn events_are_small() {
        // A thousand jobs a second keep several of them each.
        assert!(size_of::<JobEvent>() <= 104, "{}", size_of::<JobEvent>());
    }
}
