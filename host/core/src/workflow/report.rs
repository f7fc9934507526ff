//! The outcome of a job, as ServiceNow reads it.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;
use serde_json::json;
use serde_json::value::RawValue;
use serde_json::value::to_raw_value;

use crate::domain::CspName;
use crate::domain::Failure;
use crate::domain::FailureClass;
use crate::domain::Job;
use crate::domain::JobKind;
use crate::domain::MESSAGE_BYTES_MAX;
use crate::domain::Outcome;
use crate::domain::OutcomeMessage;
use crate::domain::PortfolioId;
use crate::domain::QueuedOutcome;
use crate::domain::Resumption;

/// The content of an outcome message; `request` and `response` are JSON
/// objects.
#[derive(Debug, Clone)]
pub struct Report {
    pub code: u16,
    pub request: Box<RawValue>,
    pub response: Box<RawValue>,
    /// The failure, for operators; `None` for an outcome that the adapter
    /// reports as done.
    pub failed: Option<Failed>,
}

/// The cause of a failed job, for operators. ServiceNow reads the report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failed {
    /// The adapter's class of the failure, or that of a [`JobError`].
    pub class: &'static str,
    /// A sentence.
    pub reason: String,
}

/// A failure of a job for which no CSP is the cause.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JobError {
    /// The adapter trapped, exceeded a limit, or broke its contract.
    #[error("the adapter failed: {0}")]
    Adapter(String),
    /// The adapter does not describe the operation, so it is not called.
    #[error("{csp} cannot do this: its adapter has no operation {operation}")]
    NotOffered { csp: CspName, operation: &'static str },
    #[error("the adapter asked for more than {0} requests in one run")]
    TooManySteps(u32),
    #[error("the adapter asked for more than {0} requests in one job")]
    TooManyRequests(u32),
    #[error("the adapter computed for more than {} ms in one run", .0.as_millis())]
    TooMuchComputing(Duration),
    #[error(
        "one run of the adapter took more than {}; a wait with the purpose `checkpoint` is a point to resume from",
        hours(*.0)
    )]
    RunTooLong(Duration),
    #[error("the adapter made more than {0} checkpoints")]
    TooManyCheckpoints(u32),
    #[error("the CSP was still working on it after {}; last progress: {last}", hours(*deadline))]
    PollingDeadline { deadline: Duration, last: String },
    #[error("the job was started {0} times and never ended")]
    TooManyDeliveries(u32),
    /// A panic. The log has its text, which may hold data of the job.
    #[error("HOTH failed while it processed the job; its log has the reason")]
    Panicked,
    /// Another program has put the message on this queue.
    #[error("the stored job belongs on the queue {belongs}, and was found on {found}")]
    WrongQueue { belongs: String, found: String },
    #[error(
        "the next message of the job has {bytes} bytes, and its queue takes messages of up to \
         {bytes_max} bytes"
    )]
    MessageTooLarge { bytes: usize, bytes_max: usize },
    /// The CSP was configured when the job was accepted.
    #[error("{0} is no longer in the configuration of HOTH")]
    CspRemoved(CspName),
    #[error("the stored job cannot be read: {0}")]
    Unreadable(String),
    #[error("the outcome of {bytes} bytes does not fit a message of {MESSAGE_BYTES_MAX} bytes")]
    OutcomeTooLarge { bytes: usize },
}

fn hours(duration: Duration) -> String {
    match duration.as_secs() {
        seconds if seconds >= 3_600 => format!("{} hours", seconds / 3_600),
        seconds => format!("{seconds} seconds"),
    }
}

impl JobError {
    /// Makes the error for an operation that the adapter does not describe.
    pub fn not_offered(job: &Job) -> Self {
        Self::NotOffered { csp: job.csp.clone(), operation: job.operation.wit_name() }
    }

    /// Returns the class of the failure, for operators: a word that stays the
    /// same when the sentence changes.
    pub fn class(&self) -> &'static str {
        match self {
            Self::Adapter(_) => "adapter-failed",
            Self::NotOffered { .. } => "not-offered",
            Self::TooManySteps(_) => "too-many-steps",
            Self::TooManyRequests(_) => "too-many-requests",
            Self::TooMuchComputing(_) => "too-much-computing",
            Self::RunTooLong(_) => "run-too-long",
            Self::TooManyCheckpoints(_) => "too-many-checkpoints",
            Self::PollingDeadline { .. } => "polling-deadline",
            Self::TooManyDeliveries(_) => "too-many-deliveries",
            Self::Panicked => "host-failed",
            Self::WrongQueue { .. } => "wrong-queue",
            Self::MessageTooLarge { .. } => "message-too-large",
            Self::CspRemoved(_) => "csp-removed",
            Self::Unreadable(_) => "unreadable",
            Self::OutcomeTooLarge { .. } => "outcome-too-large",
        }
    }

    /// Returns the code of the outcome message.
    pub fn code(&self) -> u16 {
        match self {
            Self::NotOffered { .. } => 400,
            Self::PollingDeadline { .. } => 504,
            Self::OutcomeTooLarge { .. } | Self::MessageTooLarge { .. } => 502,
            Self::Adapter(_)
            | Self::TooManySteps(_)
            | Self::TooManyRequests(_)
            | Self::TooMuchComputing(_)
            | Self::RunTooLong(_)
            | Self::TooManyCheckpoints(_)
            | Self::TooManyDeliveries(_)
            | Self::Panicked
            | Self::WrongQueue { .. }
            | Self::CspRemoved(_)
            | Self::Unreadable(_) => 500,
        }
    }
}

impl Failure {
    /// Adds that the CSP asked for a pause which is too long. Such a CSP has
    /// refused the request, whatever the adapter makes of its answer.
    pub(super) fn after_asking_to_wait(mut self, job: &Job, asked: Duration) -> Self {
        let (csp, asked) = (&job.csp, asked.as_secs());
        let details =
            format!("{csp} asks for a pause of {asked} s, which is longer than HOTH waits");
        if matches!(self.class, FailureClass::Refused | FailureClass::Unavailable) {
            self.class = FailureClass::Refused;
            self.message = format!("{}; {details}", self.message);
            self.outcome.response = with_details(&self.outcome.response, details);
        }
        self
    }
}

/// Adds `details` to a JSON object, behind its own details if they are text.
fn with_details(object: &RawValue, details: String) -> Box<RawValue> {
    let Ok(entries) = entries(object) else { return object.to_owned() };
    let details = match entries.get("details").map(|own| serde_json::from_str::<String>(own.get()))
    {
        None => details,
        Some(Ok(own)) if own.is_empty() => details,
        Some(Ok(own)) => format!("{own}; {details}"),
        Some(Err(_)) => return object.to_owned(),
    };
    with_entry(object, "details", raw(&Value::String(details)))
}

/// Sets one key of a JSON object. Other values stay as they are, digit for
/// digit. A text that is not an object is returned as it is.
fn with_entry(object: &RawValue, key: &str, value: Box<RawValue>) -> Box<RawValue> {
    let Ok(mut entries) = entries(object) else { return object.to_owned() };
    entries.insert(key.to_owned(), value);
    to_raw_value(&entries).expect("raw values in a map are valid JSON")
}

fn entries(object: &RawValue) -> serde_json::Result<BTreeMap<String, Box<RawValue>>> {
    serde_json::from_str(object.get())
}

impl Report {
    /// Reports an outcome as the adapter gave it.
    pub fn of_outcome(outcome: Outcome) -> Self {
        let Outcome { code, request, response } = outcome;
        Self { code, request, response, failed: None }
    }

    /// Reports that the CSP accepted the job and then failed it. The operator's
    /// `code` replaces the adapter's.
    pub fn of_job_failed(failure: Failure, code: u16) -> Self {
        let failed = Some(Failed::of(&failure));
        Self { code, failed, ..Self::of_outcome(failure.outcome) }
    }

    /// Reports a refusal as the adapter gave it. A code below 400, which would
    /// read as success, becomes 502.
    pub fn of_refusal(failure: Failure) -> Self {
        let failed = Some(Failed::of(&failure));
        let mut report = Self { failed, ..Self::of_outcome(failure.outcome) };
        if report.code < 400 {
            report.code = 502;
        }
        report
    }

    /// Reports that the CSP gave no usable answer. The CSP's last JSON answer
    /// is kept as `cspResponse`.
    pub fn of_unavailable(job: &Job, failure: Failure) -> Self {
        let code = failure.outcome.code;
        let failed = Some(Failed::of(&failure));
        let mut response = raw(&no_answer_about(job, &failure.message));
        if failure.outcome.response.get() != "{}" {
            response = with_entry(&response, "cspResponse", failure.outcome.response);
        }
        Self {
            // ServiceNow must see a failure of the CSP, whatever code came with
            // it.
            code: if (500..=599).contains(&code) { code } else { 502 },
            request: failure.outcome.request,
            response,
            failed,
        }
    }

    /// Reports that the job could not be carried out.
    pub fn of_error(job: &Job, resumption: Option<&Resumption>, error: &JobError) -> Self {
        let reference = resumption.and_then(|r| r.progress.reference.as_deref());
        let request = reference.map_or_else(|| json!({}), |location| json!({"location": location}));
        Self {
            code: error.code(),
            request: raw(&request),
            response: raw(&no_answer_about(job, &error.to_string())),
            failed: Some(Failed::of_error(error)),
        }
    }

    /// Returns the message about `job` for the outcome queue, with the report
    /// that it holds. A message over [`MESSAGE_BYTES_MAX`] becomes a failure
    /// message that says so.
    pub fn into_queued(self, job: &Job) -> (Self, QueuedOutcome) {
        let queued = self.queued(job.kind, job.id.as_str(), &job.request);
        let bytes = queued.encoded_len();
        if bytes <= MESSAGE_BYTES_MAX {
            return (self, queued);
        }
        // Without the reference of the resumption: the adapter chose its
        // length.
        let report = Self::of_error(job, None, &JobError::OutcomeTooLarge { bytes });
        let queued = report.queued(job.kind, job.id.as_str(), &job.request);
        (report, queued)
    }

    /// Returns the message about a job of which only the id is known.
    pub fn of_lost(kind: JobKind, id: &str, error: &JobError) -> QueuedOutcome {
        let initial = match kind {
            JobKind::Provisioning => json!({"jobId": id}),
            JobKind::Cost => json!({"requestId": id}),
        };
        let response = no_answer(kind, id, None, &error.to_string());
        let failed = Some(Failed::of_error(error));
        let (request, response) = (raw(&json!({})), raw(&response));
        let report = Self { code: error.code(), request, response, failed };
        report.queued(kind, id, &raw(&initial))
    }

    fn queued(&self, kind: JobKind, id: &str, initial: &RawValue) -> QueuedOutcome {
        let message = OutcomeMessage::new(kind, initial, self.code, &self.request, &self.response);
        QueuedOutcome::new(id.to_owned(), kind, message.to_json())
    }
}

impl Failed {
    fn of(failure: &Failure) -> Self {
        Self { class: failure.class.as_str(), reason: failure.message.clone() }
    }

    /// Returns the cause of a job that could not be carried out.
    pub fn of_error(error: &JobError) -> Self {
        Self { class: error.class(), reason: error.to_string() }
    }
}

/// Returns the response for a job without an answer of its CSP.
fn no_answer(kind: JobKind, id: &str, portfolio: Option<&str>, details: &str) -> Value {
    let mut response = json!({"details": details});
    if kind == JobKind::Provisioning {
        let mut status = json!({"provisioningJobId": id, "status": "FAILURE"});
        if let Some(portfolio) = portfolio {
            status["portfolioId"] = json!(portfolio);
        }
        response["status"] = status;
    }
    response
}

fn no_answer_about(job: &Job, details: &str) -> Value {
    let portfolio = job.portfolio_id.as_ref().map(PortfolioId::as_str);
    no_answer(job.kind, job.id.as_str(), portfolio, details)
}

fn raw(value: &Value) -> Box<RawValue> {
    to_raw_value(value).expect("a JSON value has string keys and writing to memory succeeds")
}
