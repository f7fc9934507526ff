//! The outcome of a job, as ServiceNow reads it.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;
use serde_json::json;
use serde_json::value::RawValue;
use serde_json::value::to_raw_value;

use super::JobError;
use super::job_error::BY_HAND;
use crate::domain::Ended;
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
use crate::domain::event_text;

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
        Self {
            code: error.code(),
            request: request_about(resumption),
            response: raw(&no_answer_about(job, &error.to_string())),
            failed: Some(Failed::of_error(error)),
        }
    }

    /// Reports an outcome that an operator gave, who knows it from elsewhere. A
    /// code from 400 on is a failure.
    pub fn by_hand(outcome: Outcome) -> Self {
        let failed = (outcome.code >= 400).then(|| Failed {
            class: BY_HAND,
            reason: "an operator of HOTH settled the job by hand, as failed".to_owned(),
        });
        Self { failed, ..Self::of_outcome(outcome) }
    }

    /// Returns the message about `job` for the outcome queue, with the report
    /// that it holds. A message over [`MESSAGE_BYTES_MAX`] becomes a failure
    /// message that says so.
    pub fn into_queued(self, job: &Job) -> (Self, QueuedOutcome) {
        match self.try_queued(job) {
            Ok(queued) => (self, queued),
            Err(error) => {
                // Without the reference of the resumption: the adapter chose
                // its length.
                let report = Self::of_error(job, None, &error);
                let queued = report.queued(job.kind, job.id.as_str(), &job.request);
                (report, queued)
            }
        }
    }

    /// Returns the message about `job` for the outcome queue.
    ///
    /// # Errors
    ///
    /// [`JobError::OutcomeTooLarge`] for one over [`MESSAGE_BYTES_MAX`].
    pub fn try_queued(&self, job: &Job) -> Result<QueuedOutcome, JobError> {
        let queued = self.queued(job.kind, job.id.as_str(), &job.request);
        match queued.encoded_len() {
            ..=MESSAGE_BYTES_MAX => Ok(queued),
            bytes => Err(JobError::OutcomeTooLarge { bytes }),
        }
    }

    /// Returns the event of the job's end with this report. `requests` counts
    /// the requests of the job.
    pub fn ended(&self, requests: u32) -> Ended {
        let failed = self.failed.as_ref();
        Ended {
            code: self.code,
            class: failed.map(|failed| failed.class.into()),
            reason: failed.map(|failed| event_text(&failed.reason)),
            requests,
            took_ms: None,
        }
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

/// Returns the request of a job that ends without an answer of its CSP: the
/// reference that it waited for, or nothing.
pub fn request_about(resumption: Option<&Resumption>) -> Box<RawValue> {
    let reference = resumption.and_then(|from| from.progress.reference.as_deref());
    raw(&reference.map_or_else(|| json!({}), |location| json!({"location": location})))
}

fn no_answer_about(job: &Job, details: &str) -> Value {
    let portfolio = job.portfolio_id.as_ref().map(PortfolioId::as_str);
    no_answer(job.kind, job.id.as_str(), portfolio, details)
}

fn raw(value: &Value) -> Box<RawValue> {
    to_raw_value(value).expect("a JSON value has string keys and writing to memory succeeds")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outcome_by_hand_fails_from_400_on() {
        let outcome = |code| {
            let empty = || raw(&json!({}));
            Report::by_hand(Outcome { code, request: empty(), response: empty() })
        };
        assert_eq!(outcome(200).ended(0).class, None);
        assert_eq!(outcome(399).ended(0).class, None);
        assert_eq!(outcome(400).ended(0).class.as_deref(), Some("settled-by-hand"));
    }
}
