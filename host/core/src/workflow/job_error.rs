//! The failures of jobs for which no CSP is the cause.

use std::time::Duration;

use crate::domain::CspName;
use crate::domain::Job;
use crate::domain::MESSAGE_BYTES_MAX;
use crate::domain::QueuedJob;

/// The classes of failures that operators decide: cancelled jobs, and failures
/// that they report by hand.
pub const OPERATOR_CLASSES: [&str; 2] = [CANCELLED, BY_HAND];

const CANCELLED: &str = "cancelled";
pub(super) const BY_HAND: &str = "settled-by-hand";

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
    /// The CSP is not told of it.
    #[error("an operator of HOTH cancelled the job{0}")]
    Cancelled(CancelledAt),
}

/// The point that a job had reached when it was cancelled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CancelledAt {
    #[error(" before anything was sent to {0}")]
    Start(CspName),
    /// A run of it was begun, and its end is not known.
    #[error("; {0} may have its request, is not told, and may carry it out")]
    FirstRun(CspName),
    /// The CSP works on it.
    #[error(", which {0} had accepted; {0} is not told, and may go on with it")]
    Poll(CspName),
    /// Its adapter works on it in steps.
    #[error(" after {} to {csp}, which is not told; what was done stays", counted(*.requests))]
    Step { csp: CspName, requests: u32 },
}

fn counted(requests: u32) -> String {
    match requests {
        1 => "1 request".to_owned(),
        requests => format!("{requests} requests"),
    }
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

    /// Makes the error of a job that an operator cancels. `deliveries` is the
    /// number of times that work on its message was begun.
    pub fn cancelled(queued: &QueuedJob, deliveries: u32) -> Self {
        let csp = queued.job.csp.clone();
        Self::Cancelled(match &queued.resumption {
            Some(from) if from.is_poll() => CancelledAt::Poll(csp),
            Some(from) => CancelledAt::Step { csp, requests: from.requests },
            // A redriven job had been begun before.
            None if deliveries == 0 && queued.generation == 0 => CancelledAt::Start(csp),
            None => CancelledAt::FirstRun(csp),
        })
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
            Self::Cancelled(_) => CANCELLED,
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
            | Self::Unreadable(_)
            | Self::Cancelled(_) => 500,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::workflow::Report;

    #[test]
    fn a_cancelled_job_says_how_far_it_had_come() {
        let waiting = include_str!("../domain/fixtures/job-v1-waiting.json");
        let mut waiting = QueuedJob::decode(waiting).expect("a stored job");
        waiting.resumption.as_mut().expect("it waits").continues = false;
        let mut accepted = waiting.clone();
        (accepted.resumption, accepted.generation) = (None, 0);
        let mut redriven = accepted.clone();
        redriven.generation = 1;
        let mut in_steps = waiting.clone();
        let from = in_steps.resumption.as_mut().expect("it waits");
        (from.continues, from.requests) = (true, 3);
        let csp = &waiting.job.csp;
        for (queued, deliveries, expected) in [
            (&accepted, 0, format!(" before anything was sent to {csp}")),
            (
                &accepted,
                1,
                format!("; {csp} may have its request, is not told, and may carry it out"),
            ),
            (
                &redriven,
                0,
                format!("; {csp} may have its request, is not told, and may carry it out"),
            ),
            (
                &waiting,
                0,
                format!(", which {csp} had accepted; {csp} is not told, and may go on with it"),
            ),
            (
                &in_steps,
                1,
                format!(" after 3 requests to {csp}, which is not told; what was done stays"),
            ),
        ] {
            let error = JobError::cancelled(queued, deliveries);
            let details = format!("an operator of HOTH cancelled the job{expected}");
            assert_eq!(error.to_string(), details);
            let report = Report::of_error(&queued.job, queued.resumption.as_ref(), &error);
            assert_eq!(report.code, 500);
            let response: Value = serde_json::from_str(report.response.get()).expect("JSON");
            assert_eq!(response["details"], *details);
            assert_eq!(report.ended(3).class.as_deref(), Some("cancelled"));
        }
    }
}
