//! Tests of the replay gate, with small real components.

use std::sync::Arc;

use serde_json::value::RawValue;

use super::*;
use hoth_core::domain::Digest;
use hoth_core::domain::Timestamp;
use hoth_platform::clock::Clock;
use hoth_runtime::Adapter;
use hoth_runtime::Engine;
use hoth_runtime::testing::ECHO_BEGIN;
use hoth_runtime::testing::TestGuest;

/// Ends with code 200, and the settings as request and response.
const SETTINGS_TWICE: &str = "
    (i32.store8 (i32.const 512) (i32.const 2))
    (i32.store16 (i32.const 520) (i32.const 200))
    (i32.store (i32.const 524) (local.get 6))
    (i32.store (i32.const 528) (local.get 7))
    (i32.store (i32.const 532) (local.get 6))
    (i32.store (i32.const 536) (local.get 7))
    (i32.const 512)";

/// Computes for some milliseconds, and then does the same as [`ECHO_BEGIN`].
const SLOW: &str = "
    (local $n i32)
    (local.set $n (i32.const 20000000))
    (loop $again
        (local.set $n (i32.sub (local.get $n) (i32.const 1)))
        (br_if $again (local.get $n)))
    (i32.store8 (i32.const 512) (i32.const 2))
    (i32.store16 (i32.const 520) (i32.const 200))
    (i32.store (i32.const 524) (local.get 6))
    (i32.store (i32.const 528) (local.get 7))
    (i32.store (i32.const 532) (local.get 4))
    (i32.store (i32.const 536) (local.get 5))
    (i32.const 512)";

struct TestReplay {
    engine: Engine,
    store: Arc<JournalStore>,
    _directory: tempfile::TempDir,
}

fn test_replay() -> TestReplay {
    let directory = tempfile::tempdir().unwrap();
    let config = hoth_runtime::Config {
        directory: directory.path().to_owned(),
        // Longer than any guest here takes on a slow machine.
        deadline_ms: 60_000,
        ..hoth_runtime::Config::default()
    };
    let limits = Config::default().limits();
    TestReplay {
        engine: Engine::new(&config).unwrap(),
        store: Arc::new(JournalStore::new(directory.path().join("journals"), limits)),
        _directory: directory,
    }
}

impl TestReplay {
    async fn load(&self, begin: &'static str) -> Adapter {
        let guest = TestGuest { begin, ..TestGuest::default() };
        self.engine.load("guest", guest.build()).await.unwrap()
    }

    /// Writes `count` journals of jobs whose only call returned `step`.
    fn write_journals(&self, count: u64, step: &StepKind) {
        for n in 0..count {
            let raw = |text: String| RawValue::from_string(text).unwrap();
            let job = JournalJob {
                id: format!("job-{n}"),
                operation: "add-portfolio".to_owned(),
                input: raw(format!("{{\"number\":{n}}}")),
                settings: raw("{}".to_owned()),
            };
            let now = Timestamp::from_millis(1_000 + n);
            let (input, step) = (Input::Begin, step.clone());
            let (entropy, context) = ((n, n), Vec::new());
            let calls = vec![JournalCall { attempt: 1, now, entropy, context, input, step }];
            let csp = "CSP_A".parse().unwrap();
            let journal = Journal::new("guest".to_owned(), Digest::of(b"v"), csp, now, job, calls);
            self.store.write(&journal.job.id, &journal).unwrap();
        }
    }

    async fn replay(&self, active: &Adapter, candidate: &Adapter, config: Config) -> ReplayReport {
        let clock = Clock::manual(Timestamp::from_millis(10_000));
        let replayer = Replayer::new(config, Arc::clone(&self.store), clock);
        replayer.replay("guest", Some(active), candidate, Policy::Block).await
    }
}

/// Returns a configuration for tests that are not about time: no replay reaches
/// its time limit, and no candidate is slower because the machine is busy.
fn patient() -> Config {
    Config { max_ms: 60_000, slower_ratio: 1_000.0, ..Config::default() }
}

const DONE: StepKind = StepKind::Done { code: 200 };

#[tokio::test]
async fn a_component_does_not_differ_from_itself() {
    let test = test_replay();
    test.write_journals(5, &DONE);
    let echo = test.load(ECHO_BEGIN).await;
    let report = test.replay(&echo, &echo, patient()).await;
    assert_eq!(report.verdict, Verdict::Same, "{report}");
    assert_eq!(report.jobs, JobCounts { journals: 5, same: 5, ..JobCounts::default() });
    assert!(report.timing.is_some_and(|timing| timing.active_us > 0 && !timing.slower), "{report}");
    assert!(!report.refuses());
}

#[tokio::test]
async fn equal_differences_of_several_jobs_are_one_finding() {
    let test = test_replay();
    test.write_journals(5, &DONE);
    let (echo, other) = (test.load(ECHO_BEGIN).await, test.load(SETTINGS_TWICE).await);
    let report = test.replay(&echo, &other, patient()).await;
    assert_eq!(report.verdict, Verdict::Different, "{report}");
    assert_eq!(report.jobs, JobCounts { journals: 5, different: 5, ..JobCounts::default() });
    let [finding] = &report.findings[..] else { panic!("{report}") };
    // The newest job is shown.
    assert_eq!((finding.jobs, finding.example.as_str()), (5, "job-4"));
    assert_eq!(finding.calls[0].at, "call 1 (begin)");
    assert_eq!(
        finding.calls[0].differences,
        [Difference::new("outcome.response /number:", Some("4"), None::<String>)]
    );
    assert!(report.refuses());
}

#[tokio::test]
async fn the_replay_of_a_candidate_that_breaks_ends_early() {
    let test = test_replay();
    test.write_journals(30, &DONE);
    let (echo, trap) = (test.load(ECHO_BEGIN).await, test.load("unreachable").await);
    let report = test.replay(&echo, &trap, patient()).await;
    assert_eq!(report.verdict, Verdict::Trap, "{report}");
    assert_eq!((report.jobs.trap, report.jobs.not_replayed), (10, 20));
    assert!(report.to_string().contains("+ step the adapter trapped"), "{report}");
    assert!(report.notes[0].contains("the candidate broke 10 jobs"), "{report}");
}

#[tokio::test]
async fn a_candidate_that_fixes_a_broken_job_is_accepted() {
    let test = test_replay();
    test.write_journals(3, &StepKind::Broken);
    let (trap, echo) = (test.load("unreachable").await, test.load(ECHO_BEGIN).await);
    let report = test.replay(&trap, &echo, patient()).await;
    assert_eq!(report.jobs, JobCounts { journals: 3, mended: 3, ..JobCounts::default() });
    assert_eq!(report.verdict, Verdict::Same, "{report}");
    assert_eq!(report.findings[0].kind, FindingKind::Mended);
}

#[tokio::test]
async fn a_candidate_that_takes_longer_is_slower() {
    let test = test_replay();
    test.write_journals(3, &DONE);
    let (echo, slow) = (test.load(ECHO_BEGIN).await, test.load(SLOW).await);
    // Twenty million turns of a loop against none: far more than twice as much
    // on any machine.
    let config = || Config { slower_ratio: 2.0, ..patient() };
    let report = test.replay(&echo, &slow, config()).await;
    assert_eq!(report.verdict, Verdict::Slower, "{report}");
    assert_eq!(report.jobs.same, 3);
    assert!(report.refuses());
    let faster = test.replay(&slow, &echo, config()).await;
    assert_eq!(faster.verdict, Verdict::Same, "{faster}");
}

#[tokio::test]
async fn a_replay_ends_at_its_time_limit() {
    let test = test_replay();
    test.write_journals(100, &DONE);
    let slow = test.load(SLOW).await;
    let config = Config { max_ms: 100, ..Config::default() };
    let report = test.replay(&slow, &slow, config).await;
    assert!(report.jobs.not_replayed > 0, "{report}");
    assert_eq!(report.jobs.same + report.jobs.not_replayed, 100, "{report}");
    assert!(report.notes[0].contains("time limit reached"), "{report}");
}

#[tokio::test]
async fn a_job_that_the_active_version_does_not_repeat_is_not_comparable() {
    let test = test_replay();
    test.write_journals(2, &StepKind::Send { method: "GET".to_owned(), target: "/a".to_owned() });
    let echo = test.load(ECHO_BEGIN).await;
    let report = test.replay(&echo, &echo, patient()).await;
    assert_eq!((report.verdict, report.jobs.not_comparable), (Verdict::Untested, 2), "{report}");
    assert!(report.notes[0].contains("done 200 instead of GET /a"), "{report}");
    assert!(!report.refuses());
}

#[tokio::test]
async fn the_verdict_is_untested_without_journals_or_an_active_version() {
    let test = test_replay();
    let echo = test.load(ECHO_BEGIN).await;
    let report = test.replay(&echo, &echo, patient()).await;
    assert_eq!(report.verdict, Verdict::Untested);
    test.write_journals(2, &DONE);
    let replayer = Replayer::new(
        patient(),
        Arc::clone(&test.store),
        Clock::manual(Timestamp::from_millis(10_000)),
    );
    let report = replayer.replay("guest", None, &echo, Policy::Block).await;
    assert_eq!((report.verdict, report.refuses()), (Verdict::Untested, false), "{report}");
}
