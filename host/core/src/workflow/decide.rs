//! The decision on the next move of a job, at the end of a run of its adapter.

use std::time::Duration;

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
    /// The adapter waits for its CSP, or makes a checkpoint.
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

/// The next move of a job.
#[derive(Debug)]
pub enum Decision {
    /// The job is over; put this on the outcome queue.
    Report(Report),
    /// The job waits; resume it from here.
    Resume(Resumption),
}

/// Decides a job's next move.
///
/// `requests` counts the job's requests so far, and `retry_after` is the
/// delay that the CSP's last answer of this run asked for.
pub fn decide(
    policy: &PollPolicy,
    run: RunContext<'_>,
    end: RunEnd,
    now: Timestamp,
    requests: u32,
    retry_after: Option<Duration>,
) -> Decision {
    let decider = Decider { policy, run, now, requests, retry_after };
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
        progress: Progress { reference: before.progress.reference.clone(), note: reason },
        due_at: now + NO_VERSION_PAUSE,
        // A new number, and so a new deduplication key: see
        // `replace_early_delivery`.
        waits: before.waits.saturating_add(1),
        ..before.clone()
    })
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
    requests: u32,
    retry_after: Option<Duration>,
}

impl Decider<'_> {
    fn wait(&self, step: WaitStep, adapter: Digest) -> Decision {
        let before = self.run.resumption;
        // In the WIT, a wait of 0 ms is a checkpoint.
        let checkpoint = step.after_ms == Some(0);
        let checkpoints = before.map_or(0, |r| r.checkpoints).saturating_add(u32::from(checkpoint));
        if checkpoints > CHECKPOINTS_MAX {
            return Decision::Report(self.error(&JobError::TooManyCheckpoints(CHECKPOINTS_MAX)));
        }
        let waits = before.map_or(0, |r| r.waits).saturating_add(1);
        // The adapter knows the CSP best, then the CSP's own `Retry-After`,
        // then the schedule.
        let delay = match step.after_ms {
            // No pacing: the bound on checkpoints takes its place.
            Some(0) => Duration::ZERO,
            Some(after_ms) => self.paced(Some(Duration::from_millis(after_ms)), waits, checkpoints),
            None => self.paced(self.retry_after, waits, checkpoints),
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
                checkpoint,
                checkpoints,
                waits,
                // The count is of polls in a row, and this poll found the job.
                not_found: 0,
                requests: self.requests,
            },
        )
    }

    fn fail(&self, failure: Failure) -> Decision {
        // After a checkpoint the adapter resumes its own work: a failure there
        // is final, as in a first run. Only a failed poll is polled again.
        let polled = self.run.resumption.filter(|r| !r.checkpoint);
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
            (FailureClass::JobFailed, _) => Decision::Report(Report::of_outcome(Outcome {
                code: self.policy.async_failure_code,
                ..failure.outcome
            })),
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
        let delay = self.paced(self.retry_after, waits, before.checkpoints);
        self.resume_at(
            delay,
            Resumption {
                progress: Progress {
                    reference: before.progress.reference.clone(),
                    note: failure.message.clone(),
                },
                waits,
                not_found,
                requests: self.requests,
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
        if self.now >= deadline && !resumption.checkpoint {
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
mod tests {
    use serde_json::value::RawValue;

    use super::*;
    use crate::domain::AdapterState;
    use crate::domain::JobKind;
    use crate::domain::Operation;

    const POLICY: PollPolicy = PollPolicy {
        initial: Duration::from_secs(5),
        max: Duration::from_secs(60),
        deadline: Duration::from_secs(240 * 3_600),
        async_failure_code: 500,
    };
    const START: Timestamp = Timestamp::from_millis(1_000_000);

    fn raw(text: &str) -> Box<RawValue> {
        RawValue::from_string(text.to_owned()).expect("the test's JSON is valid")
    }

    fn job() -> Job {
        Job {
            id: "job-1".parse().expect("a valid id"),
            kind: JobKind::Provisioning,
            operation: Operation::AddEnvironment,
            csp: "CSP_A".parse().expect("a valid name"),
            portfolio_id: Some("p-1".parse().expect("a valid id")),
            request: raw(r#"{"jobId":"job-1"}"#),
        }
    }

    fn outcome(code: u16) -> Outcome {
        Outcome { code, request: raw(r#"{"r":1}"#), response: raw(r#"{"a":1}"#) }
    }

    fn failure(class: FailureClass, code: u16) -> RunEnd {
        RunEnd::Fail(Failure { class, message: "it broke".to_owned(), outcome: outcome(code) })
    }

    fn wait(after_ms: Option<u64>) -> RunEnd {
        RunEnd::Wait {
            step: WaitStep {
                after_ms,
                state: AdapterState { version: 1, bytes: vec![7] },
                progress: Progress { reference: Some("/s".to_owned()), note: "busy".to_owned() },
            },
            adapter: Digest::of(b"v1"),
        }
    }

    /// Makes the resumption of a job that has been polled `polls` times since
    /// START.
    fn polled(polls: u32, not_found: u32) -> Resumption {
        Resumption {
            state: AdapterState { version: 1, bytes: vec![7] },
            adapter: Digest::of(b"v1"),
            progress: Progress { reference: Some("/s".to_owned()), note: "busy".to_owned() },
            waiting_since: START,
            due_at: START,
            checkpoint: false,
            checkpoints: 0,
            waits: polls,
            not_found,
            requests: 1,
        }
    }

    /// Returns the decision as one line.
    fn line(
        before: Option<&Resumption>,
        end: RunEnd,
        after: Duration,
        asked: Option<u64>,
    ) -> String {
        let job = job();
        let run = RunContext { job: &job, resumption: before };
        let asked = asked.map(Duration::from_secs);
        match decide(&POLICY, run, end, START + after, 3, asked) {
            Decision::Report(report) => {
                format!("report {} {} {}", report.code, report.request, report.response)
            }
            Decision::Resume(r) => format!(
                "resume in {:?}, wait {}, {} not found, {} checkpoints, {}",
                r.due_at.since(START + after),
                r.waits,
                r.not_found,
                r.checkpoints,
                r.progress.note
            ),
        }
    }

    #[track_caller]
    fn check(before: Option<&Resumption>, end: RunEnd, expected: &str) {
        assert_eq!(line(before, end, Duration::ZERO, None), expected);
    }

    #[test]
    fn every_end_of_a_first_run_leads_to_a_report() {
        use FailureClass::*;
        check(None, RunEnd::Done(outcome(200)), r#"report 200 {"r":1} {"a":1}"#);
        check(None, failure(Refused, 403), r#"report 403 {"r":1} {"a":1}"#);
        check(None, failure(NotFound, 404), r#"report 404 {"r":1} {"a":1}"#);
        check(None, failure(InvalidAnswer, 502), r#"report 502 {"r":1} {"a":1}"#);
        check(None, failure(Unsupported, 400), r#"report 400 {"r":1} {"a":1}"#);
        check(None, failure(JobFailed, 418), r#"report 500 {"r":1} {"a":1}"#);
        check(
            None,
            failure(Unavailable, 503),
            r#"report 503 {"r":1} {"cspResponse":{"a":1},"details":"it broke","status":{"portfolioId":"p-1","provisioningJobId":"job-1","status":"FAILURE"}}"#,
        );
        check(
            None,
            RunEnd::Broken(JobError::TooManySteps(64)),
            r#"report 500 {} {"details":"the adapter asked for more than 64 requests in one run","status":{"portfolioId":"p-1","provisioningJobId":"job-1","status":"FAILURE"}}"#,
        );
    }

    #[test]
    fn polls_back_off_from_the_initial_delay_to_the_longest() {
        check(None, wait(None), "resume in 5s, wait 1, 0 not found, 0 checkpoints, busy");
        for (polls, seconds) in [(1, 10), (2, 20), (3, 40), (4, 60), (40, 60)] {
            let expected = format!(
                "resume in {seconds}s, wait {}, 0 not found, 0 checkpoints, busy",
                polls + 1
            );
            check(Some(&polled(polls, 0)), wait(None), &expected);
        }
    }

    #[test]
    fn a_delay_of_the_adapter_precedes_one_of_the_csp() {
        let asked = line(None, wait(None), Duration::ZERO, Some(120));
        assert_eq!(asked, "resume in 120s, wait 1, 0 not found, 0 checkpoints, busy");
        let said = line(None, wait(Some(70)), Duration::ZERO, Some(120));
        assert_eq!(said, "resume in 70ms, wait 1, 0 not found, 0 checkpoints, busy");
    }

    #[test]
    fn waits_are_paced_by_the_schedule_when_there_have_been_many_short_ones() {
        let pause = |waits, after_ms, asked| {
            line(Some(&polled(waits, 0)), wait(after_ms), Duration::ZERO, asked)
                .split_once(',')
                .map(|(pause, _)| pause.to_owned())
        };
        for (waits, after_ms, asked, expected) in [
            (255, Some(1), None, "resume in 1ms"),
            (256, Some(1), None, "resume in 60s"),
            (256, Some(90_000), None, "resume in 90s"),
            (256, None, Some(0), "resume in 60s"),
            (256, Some(0), None, "resume in 0ns"),
        ] {
            assert_eq!(pause(waits, after_ms, asked).as_deref(), Some(expected), "{waits}");
        }
        let failed = line(
            Some(&polled(256, 0)),
            failure(FailureClass::Unavailable, 503),
            Duration::ZERO,
            Some(0),
        );
        assert!(failed.starts_with("resume in 60s"), "{failed}");
    }

    #[test]
    fn a_failed_poll_is_repeated_at_the_next_wait() {
        use FailureClass::*;
        check(
            Some(&polled(1, 3)),
            failure(Unavailable, 503),
            "resume in 10s, wait 2, 0 not found, 0 checkpoints, it broke",
        );
        for not_found in 0..4 {
            let expected = format!(
                "resume in 10s, wait 2, {} not found, 0 checkpoints, it broke",
                not_found + 1
            );
            check(Some(&polled(1, not_found)), failure(NotFound, 404), &expected);
        }
        check(Some(&polled(1, 4)), failure(NotFound, 404), r#"report 404 {"r":1} {"a":1}"#);
        check(Some(&polled(1, 0)), failure(Refused, 403), r#"report 403 {"r":1} {"a":1}"#);
        check(Some(&polled(1, 0)), failure(JobFailed, 200), r#"report 500 {"r":1} {"a":1}"#);
    }

    #[test]
    fn a_failure_after_a_checkpoint_is_reported() {
        check(None, wait(Some(0)), "resume in 0ns, wait 1, 0 not found, 1 checkpoints, busy");
        let checkpoint = Resumption { checkpoint: true, checkpoints: 1, ..polled(1, 0) };
        let reported =
            line(Some(&checkpoint), failure(FailureClass::Unavailable, 503), Duration::ZERO, None);
        assert!(reported.starts_with("report 503"), "{reported}");
    }

    #[test]
    fn an_early_message_is_replaced_before_its_deliveries_end_the_job() {
        let before = polled(3, 0);
        assert_eq!(replace_early_delivery(&before, 1), None);
        assert_eq!(replace_early_delivery(&before, EARLY_DELIVERIES_MAX - 1), None);
        let again =
            replace_early_delivery(&before, EARLY_DELIVERIES_MAX).expect("it was looked at often");
        assert_eq!(again, Resumption { waits: 4, ..before });
    }

    #[test]
    fn checkpoints_have_a_bound() {
        let last = Resumption { checkpoint: true, checkpoints: CHECKPOINTS_MAX, ..polled(300, 0) };
        let reported = line(Some(&last), wait(Some(0)), Duration::ZERO, None);
        assert!(reported.starts_with("report 500"), "{reported}");
    }

    #[test]
    fn a_job_that_no_version_can_resume_waits_until_its_deadline() {
        let job = job();
        let checkpoint = Resumption { checkpoint: true, checkpoints: 1, ..polled(1, 0) };
        for before in [polled(300, 4), checkpoint] {
            let after =
                |after| postpone(&POLICY, &job, &before, "no version".to_owned(), START + after);
            let Decision::Resume(next) = after(Duration::from_secs(7)) else { panic!("it waits") };
            assert_eq!(next.due_at.since(START), Duration::from_secs(7) + NO_VERSION_PAUSE);
            // Unchanged, but for the counters that tell messages apart.
            let same = Resumption {
                progress: before.progress.clone(),
                due_at: before.due_at,
                waits: before.waits,
                ..next.clone()
            };
            assert_eq!((same, next.waits), (before.clone(), before.waits + 1));
            assert_eq!(next.progress.note, "no version");
            let Decision::Report(report) = after(POLICY.deadline) else { panic!("it ends") };
            assert_eq!(report.code, 500);
        }
    }

    #[test]
    fn the_deadline_gets_one_last_poll_and_then_a_report() {
        let almost = POLICY.deadline - Duration::from_secs(3);
        assert_eq!(
            line(Some(&polled(9, 0)), wait(None), almost, None),
            "resume in 3s, wait 10, 0 not found, 0 checkpoints, busy"
        );
        assert_eq!(
            line(Some(&polled(9, 0)), wait(None), POLICY.deadline, None),
            r#"report 504 {"location":"/s"} {"details":"the CSP was still working on it after 240 hours; last progress: busy","status":{"portfolioId":"p-1","provisioningJobId":"job-1","status":"FAILURE"}}"#
        );
    }
}
