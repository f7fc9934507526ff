//! The decision on the next move of a job, at the end of a run of its adapter.

use std::time::Duration;

use super::Finding;
use super::JobError;
use super::Report;
use crate::domain::Digest;
use crate::domain::Failure;
use crate::domain::FailureClass;
use crate::domain::Job;
use crate::domain::Outcome;
use crate::domain::Progress;
use crate::domain::Resumption;
use crate::domain::Timestamp;
use crate::domain::WaitPurpose;
use crate::domain::WaitStep;

/// The schedule of polls for a job that its CSP works on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PollPolicy {
    /// The delay of the first poll; doubled for each further one.
    pub initial: Duration,
    /// The longest scheduled delay. A CSP's `Retry-After` may exceed it.
    pub max: Duration,
    /// The time after its first wait at which a job that still waits ends.
    pub deadline: Duration,
    /// The code of a job that the CSP accepted and then failed.
    pub async_failure_code: u16,
}

/// The context of a job with the names of the extensions that this host knows:
/// there are none yet.
const FEATURES: (&str, &str) = ("host-features", "");

impl PollPolicy {
    /// Returns the values that accompany a job: `job.context` in the WIT.
    pub fn context_of(&self, resumption: Option<&Resumption>) -> Vec<(String, String)> {
        let deadline = resumption.map(|from| from.waiting_since + self.deadline);
        let deadline = deadline.map(|at| ("deadline-ms".to_owned(), at.as_millis().to_string()));
        let (name, value) = FEATURES;
        [(name.to_owned(), value.to_owned())].into_iter().chain(deadline).collect()
    }
}

/// The delay of a job that no version of its adapter can resume, before the
/// worker tries again.
pub const NO_VERSION_PAUSE: Duration = Duration::from_secs(10);

/// The most polls in a row that a CSP may answer with "not found".
const NOT_FOUND_MAX: u32 = 5;

/// The most checkpoints of one job. The longest known job has four; the bound
/// ends adapters that loop.
const CHECKPOINTS_MAX: u32 = 256;

/// The most waits of one job that may be shorter than the schedule, as the
/// adapter or the CSP's `Retry-After` asks. A CSP that is polled once a second
/// gets four minutes. Later waits follow the schedule, so that a job which
/// never ends costs no more than any other.
const SHORT_WAITS_MAX: u32 = 256;

/// The position of a job at the start of a run.
#[derive(Debug, Clone, Copy)]
pub struct RunContext<'a> {
    /// The job. Reports name it.
    pub job: &'a Job,
    /// `None` in the run that begins the job.
    pub resumption: Option<&'a Resumption>,
}

/// The end of a run of an adapter.
#[derive(Debug)]
pub enum RunEnd {
    /// The adapter waits.
    Wait {
        step: WaitStep,
        /// The digest of the version that wrote the step's state.
        adapter: Digest,
    },
    /// The adapter reported the outcome.
    Done(Outcome),
    /// The adapter reported a failure.
    Fail(Failure),
    /// The run could not be completed.
    Broken(JobError),
}

/// The exchanges of a run, as far as they matter for the next move.
#[derive(Debug, Clone, Copy, Default)]
pub struct RunTotals {
    /// The job's requests so far, earlier runs included.
    pub requests: u32,
    /// The delay that the CSP's last answer of this run asked for.
    pub retry_after: Option<Duration>,
    /// The finding of the last exchange of this run.
    pub finding: Option<Finding>,
}

/// The next move of a job.
#[derive(Debug)]
pub enum Decision {
    /// The job is over; put this on the outcome queue.
    Report(Report),
    /// The job waits; resume it from here.
    Resume(Resumption),
}

/// Decides a job's next move.
pub fn decide(
    policy: &PollPolicy,
    run: RunContext<'_>,
    end: RunEnd,
    now: Timestamp,
    totals: RunTotals,
) -> Decision {
    let decider = Decider { policy, run, now, totals };
    match end {
        RunEnd::Done(outcome) => Decision::Report(Report::of_outcome(outcome)),
        RunEnd::Broken(error) => Decision::Report(decider.error(&error)),
        RunEnd::Wait { step, adapter } => decider.wait(step, adapter),
        RunEnd::Fail(failure) => decider.fail(failure),
    }
}

/// Decides about a waiting job that no version of its adapter can resume: until
/// its deadline the job waits again. The wait is a message of its own, so that
/// no receive count grows.
pub fn postpone(
    policy: &PollPolicy,
    job: &Job,
    before: &Resumption,
    reason: String,
    now: Timestamp,
) -> Decision {
    if now >= before.waiting_since + policy.deadline {
        let error = JobError::Adapter(reason);
        return Decision::Report(Report::of_error(job, Some(before), &error));
    }
    Decision::Resume(Resumption {
        progress: Progress { note: reason, ..before.progress.clone() },
        due_at: now + NO_VERSION_PAUSE,
        // A new number, and so a new deduplication key: see
        // `replace_early_delivery`.
        waits: before.waits.saturating_add(1),
        ..before.clone()
    })
}

/// Makes a waiting job due now, as an operator asks. Returns the replacement of
/// its wait.
pub fn look_now(before: &Resumption, now: Timestamp) -> Resumption {
    // A new number: see `replace_early_delivery`.
    let waits = before.waits.saturating_add(1);
    Resumption { due_at: now, waits, ..before.clone() }
}

/// The most deliveries of a message that is not due. SQS delivers such a
/// message early and hides it for 12 hours at most (AWS documentation,
/// `ChangeMessageVisibility`). Each delivery raises the receive count, so the
/// message is replaced before that count would end the job.
const EARLY_DELIVERIES_MAX: u32 = 10;

/// Returns the replacement for a message that was delivered before it is due,
/// for the `deliveries`-th time: a new message, due at the same time. Returns
/// `None` if the message should be hidden once more.
pub fn replace_early_delivery(before: &Resumption, deliveries: u32) -> Option<Resumption> {
    // The number of waits is part of the deduplication key. With the old
    // number, SQS might take the replacement for a repetition and drop it, and
    // the deletion of the original would then lose the job.
    let waits = before.waits.saturating_add(1);
    (deliveries >= EARLY_DELIVERIES_MAX).then(|| Resumption { waits, ..before.clone() })
}

/// The inputs of one decision.
struct Decider<'a> {
    policy: &'a PollPolicy,
    run: RunContext<'a>,
    now: Timestamp,
    totals: RunTotals,
}

impl Decider<'_> {
    fn wait(&self, step: WaitStep, adapter: Digest) -> Decision {
        let before = self.run.resumption;
        let checkpoint = step.purpose == WaitPurpose::Checkpoint;
        let checkpoints = before.map_or(0, |r| r.checkpoints).saturating_add(u32::from(checkpoint));
        if checkpoints > CHECKPOINTS_MAX {
            return Decision::Report(self.error(&JobError::TooManyCheckpoints(CHECKPOINTS_MAX)));
        }
        let waits = before.map_or(0, |r| r.waits).saturating_add(1);
        // The adapter knows the CSP best, then the CSP's own `Retry-After`,
        // then the schedule.
        let asked = step.after_ms.map(Duration::from_millis).or(self.totals.retry_after);
        let delay = match step.purpose {
            // No pacing: the bound on checkpoints takes its place.
            WaitPurpose::Checkpoint => Duration::ZERO,
            WaitPurpose::Poll | WaitPurpose::Pause => self.paced(asked, waits, checkpoints),
        };
        self.resume_at(
            delay,
            Resumption {
                state: step.state,
                adapter,
                progress: step.progress,
                // Kept from the first wait: a later wait must not extend the
                // deadline.
                waiting_since: before.map_or(self.now, |r| r.waiting_since),
                // `resume_at` sets the final value.
                due_at: self.now,
                continues: step.purpose != WaitPurpose::Poll,
                pause: step.purpose == WaitPurpose::Pause,
                checkpoints,
                waits,
                // The count is of polls in a row, and this poll found the job.
                not_found: 0,
                requests: self.totals.requests,
            },
        )
    }

    fn fail(&self, failure: Failure) -> Decision {
        // After a checkpoint or a pause the adapter resumes its own work: a
        // failure there is final, as in a first run. Only a failed poll is
        // polled again.
        let polled = self.run.resumption.filter(|r| r.is_poll());
        let (failure, polled) = match self.totals.finding {
            None => (failure, polled),
            // The next poll would be refused too.
            Some(Finding::RequestRefused) => (failure, None),
            Some(Finding::AskedToWait(asked)) => {
                (failure.after_asking_to_wait(self.run.job, asked), polled)
            }
        };
        match (failure.class, polled) {
            (FailureClass::Unavailable, Some(before)) => self.poll_again(before, 0, &failure),
            // This answer is one more than `before.not_found`, so the last
            // permitted one ends the job.
            (FailureClass::NotFound, Some(before)) if before.not_found < NOT_FOUND_MAX - 1 => {
                self.poll_again(before, before.not_found + 1, &failure)
            }
            (FailureClass::Unavailable, None) => {
                Decision::Report(Report::of_unavailable(self.run.job, failure))
            }
            // The operator's code replaces the adapter's: ServiceNow gets the
            // same code for such a job from every CSP.
            (FailureClass::JobFailed, _) => {
                let code = self.policy.async_failure_code;
                Decision::Report(Report::of_job_failed(failure, code))
            }
            (
                FailureClass::Refused
                | FailureClass::NotFound
                | FailureClass::InvalidAnswer
                | FailureClass::Unsupported,
                _,
            ) => Decision::Report(Report::of_refusal(failure)),
        }
    }

    /// Polls again: the job is where it was, and this poll failed.
    fn poll_again(&self, before: &Resumption, not_found: u32, failure: &Failure) -> Decision {
        let waits = before.waits.saturating_add(1);
        let delay = self.paced(self.totals.retry_after, waits, before.checkpoints);
        self.resume_at(
            delay,
            Resumption {
                progress: Progress { note: failure.message.clone(), ..before.progress.clone() },
                waits,
                not_found,
                requests: self.totals.requests,
                ..before.clone()
            },
        )
    }

    /// Sets the due time, no later than the deadline, so that a last poll is
    /// made at the deadline.
    fn resume_at(&self, delay: Duration, resumption: Resumption) -> Decision {
        let deadline = resumption.waiting_since + self.policy.deadline;
        // A checkpoint is resumed even after the deadline, because the adapter
        // continues its own work and does not wait for the CSP.
        if self.now >= deadline && resumption.purpose() != WaitPurpose::Checkpoint {
            let error = JobError::PollingDeadline {
                deadline: self.policy.deadline,
                last: resumption.progress.note,
            };
            return Decision::Report(self.error(&error));
        }
        // `max`, because a checkpoint after the deadline is due now.
        let due_at = (self.now + delay).min(deadline.max(self.now));
        Decision::Resume(Resumption { due_at, ..resumption })
    }

    /// Returns the delay of the job's newest wait; `wanted` is the delay that
    /// the adapter or the CSP asks for.
    fn paced(&self, wanted: Option<Duration>, waits: u32, checkpoints: u32) -> Duration {
        let scheduled = self.scheduled(waits, checkpoints);
        let wanted = wanted.unwrap_or(scheduled);
        // After many waits the schedule is a lower bound; a longer delay
        // stands.
        if waits > SHORT_WAITS_MAX { wanted.max(scheduled) } else { wanted }
    }

    /// Returns the delay of the schedule. The counts come from a stored message
    /// and may have any value, so the arithmetic saturates.
    fn scheduled(&self, waits: u32, checkpoints: u32) -> Duration {
        // Checkpoints take no time, so they must not lengthen the next poll's
        // delay. The newest wait is counted already, hence the exponent less
        // one.
        let polls = waits.saturating_sub(checkpoints);
        let doubled = 2_u32.saturating_pow(polls.saturating_sub(1));
        self.policy.initial.saturating_mul(doubled).min(self.policy.max.max(self.policy.initial))
    }

    fn error(&self, error: &JobError) -> Report {
        Report::of_error(self.run.job, self.run.resumption, error)
    }
}

#[cfg(test)]
mod tests;
