//! Tests of the decisions: one line for each.

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
        content: None,
        request: raw(r#"{"jobId":"job-1"}"#),
    }
}

fn outcome(code: u16) -> Outcome {
    Outcome { code, request: raw(r#"{"r":1}"#), response: raw(r#"{"a":1}"#) }
}

fn failure(class: FailureClass, code: u16) -> RunEnd {
    RunEnd::Fail(Failure { class, message: "it broke".to_owned(), outcome: outcome(code) })
}

fn progress() -> Progress {
    Progress { reference: Some("/s".to_owned()), note: "busy".to_owned(), details: None }
}

fn wait(after_ms: Option<u64>) -> RunEnd {
    wait_for(WaitPurpose::Poll, after_ms)
}

fn checkpoint() -> RunEnd {
    wait_for(WaitPurpose::Checkpoint, None)
}

fn wait_for(purpose: WaitPurpose, after_ms: Option<u64>) -> RunEnd {
    RunEnd::Wait {
        step: WaitStep {
            after_ms,
            purpose,
            state: AdapterState { version: 1, bytes: vec![7] },
            progress: progress(),
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
        progress: progress(),
        waiting_since: START,
        due_at: START,
        continues: false,
        pause: false,
        checkpoints: 0,
        waits: polls,
        not_found,
        requests: 1,
    }
}

/// Returns the decision as one line.
fn line(before: Option<&Resumption>, end: RunEnd, after: Duration, asked: Option<u64>) -> String {
    let job = job();
    let run = RunContext { job: &job, resumption: before };
    let asked = asked.map(Duration::from_secs);
    let totals = RunTotals { requests: 3, retry_after: asked, finding: None };
    match decide(&POLICY, run, end, START + after, totals) {
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
        let expected =
            format!("resume in {seconds}s, wait {}, 0 not found, 0 checkpoints, busy", polls + 1);
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
        (256, Some(0), None, "resume in 60s"),
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
        let expected =
            format!("resume in 10s, wait 2, {} not found, 0 checkpoints, it broke", not_found + 1);
        check(Some(&polled(1, not_found)), failure(NotFound, 404), &expected);
    }
    check(Some(&polled(1, 4)), failure(NotFound, 404), r#"report 404 {"r":1} {"a":1}"#);
    check(Some(&polled(1, 0)), failure(Refused, 403), r#"report 403 {"r":1} {"a":1}"#);
    check(Some(&polled(1, 0)), failure(JobFailed, 200), r#"report 500 {"r":1} {"a":1}"#);
}

#[test]
fn a_failure_after_a_checkpoint_is_reported() {
    check(None, checkpoint(), "resume in 0ns, wait 1, 0 not found, 1 checkpoints, busy");
    let checkpoint = Resumption { continues: true, checkpoints: 1, ..polled(1, 0) };
    let reported =
        line(Some(&checkpoint), failure(FailureClass::Unavailable, 503), Duration::ZERO, None);
    assert!(reported.starts_with("report 503"), "{reported}");
}

#[test]
fn a_pause_takes_time_and_a_failure_after_it_is_reported() {
    let pause = || wait_for(WaitPurpose::Pause, Some(90_000));
    check(None, pause(), "resume in 90s, wait 1, 0 not found, 0 checkpoints, busy");
    let paused = Resumption { continues: true, pause: true, ..polled(1, 0) };
    let ended = |class| line(Some(&paused), failure(class, 503), Duration::ZERO, None);
    assert!(ended(FailureClass::Unavailable).starts_with("report 503"));
    assert!(ended(FailureClass::NotFound).starts_with("report 503"));
    let late = line(Some(&paused), pause(), POLICY.deadline, None);
    assert!(late.starts_with("report 504"), "{late}");
}

#[test]
fn a_checkpoint_has_no_delay() {
    let asked = line(None, wait_for(WaitPurpose::Checkpoint, Some(7)), Duration::ZERO, Some(9));
    assert_eq!(asked, "resume in 0ns, wait 1, 0 not found, 1 checkpoints, busy");
}

#[test]
fn the_context_of_a_job_has_its_deadline_after_the_first_wait() {
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(POLICY.context_of(None), [pair("host-features", "")]);
    let deadline = pair("deadline-ms", "865000000");
    assert_eq!(POLICY.context_of(Some(&polled(1, 0))), [pair("host-features", ""), deadline]);
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
fn a_job_that_is_looked_at_now_is_due_and_keeps_all_but_its_number() {
    let before = polled(3, 2);
    let now = Timestamp::from_millis(before.due_at.as_millis() - 1);
    let after = look_now(&before, now);
    assert_eq!((after.due_at, after.waits), (now, before.waits + 1));
    assert_eq!(Resumption { due_at: before.due_at, waits: before.waits, ..after }, before);
}

#[test]
fn checkpoints_have_a_bound() {
    let last = Resumption { continues: true, checkpoints: CHECKPOINTS_MAX, ..polled(300, 0) };
    let reported = line(Some(&last), checkpoint(), Duration::ZERO, None);
    assert!(reported.starts_with("report 500"), "{reported}");
}

#[test]
fn a_job_that_no_version_can_resume_waits_until_its_deadline() {
    let job = job();
    let checkpoint = Resumption { continues: true, checkpoints: 1, ..polled(1, 0) };
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

/// Returns the decision on a failure, for a run whose last exchange had this
/// finding.
fn found(before: Option<&Resumption>, end: RunEnd, finding: Finding) -> String {
    let job = job();
    let run = RunContext { job: &job, resumption: before };
    let totals = RunTotals { requests: 3, retry_after: None, finding: Some(finding) };
    match decide(&POLICY, run, end, START, totals) {
        Decision::Report(report) => format!("report {} {}", report.code, report.response),
        Decision::Resume(_) => "resume".to_owned(),
    }
}

#[test]
fn a_poll_with_a_request_that_the_host_refuses_ends_the_job() {
    use FailureClass::*;
    let poll =
        |class, code| found(Some(&polled(1, 0)), failure(class, code), Finding::RequestRefused);
    assert_eq!(
        poll(Unavailable, 0),
        r#"report 502 {"cspResponse":{"a":1},"details":"it broke","status":{"portfolioId":"p-1","provisioningJobId":"job-1","status":"FAILURE"}}"#
    );
    assert_eq!(poll(NotFound, 404), r#"report 404 {"a":1}"#);
}

#[test]
fn a_pause_that_is_too_long_ends_the_job_with_the_answer_of_the_csp() {
    let asked = Finding::AskedToWait(Duration::from_secs(7_200));
    for class in [FailureClass::Unavailable, FailureClass::Refused] {
        assert_eq!(
            found(None, failure(class, 429), asked),
            r#"report 429 {"a":1,"details":"CSP_A asks for a pause of 7200 s, which is longer than HOTH waits"}"#
        );
    }
}
