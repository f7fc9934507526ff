//! The trail as a whole: a writer on its thread, and its queries.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use std::time::Instant;

use crate::Act;
use crate::ActFilter;
use crate::Config;
use crate::JobFilter;
use crate::JobState;
use crate::Trail;
use crate::TrailError;
use hoth_core::domain::AdapterCalled;
use hoth_core::domain::AdapterEntry;
use hoth_core::domain::CspName;
use hoth_core::domain::Ended;
use hoth_core::domain::JobEvent;
use hoth_core::domain::JobEventKind;
use hoth_core::domain::JobFacts;
use hoth_core::domain::JobKind;
use hoth_core::domain::JobRecord;
use hoth_core::domain::Method;
use hoth_core::domain::Operation;
use hoth_core::domain::RequestTried;
use hoth_core::domain::StepWord;
use hoth_core::domain::Timestamp;
use hoth_core::domain::WaitPurpose;
use hoth_core::domain::Waiting;
use hoth_platform::clock::Clock;

const START: Timestamp = Timestamp::from_millis(1_800_000_000_000);
const HOUR: Duration = Duration::from_secs(3_600);

/// A trail in a directory of its own, on a clock that stands still.
struct Fixture {
    config: Config,
    clock: Clock,
    trail: Trail,
    writer: Option<JoinHandle<()>>,
}

impl Fixture {
    fn start(directory: &Path) -> Self {
        Self::with(Config { path: directory.join("trail.db"), ..Config::default() })
    }

    fn with(config: Config) -> Self {
        let clock = Clock::manual(START);
        let (trail, writer) = Trail::new(&config, clock.clone());
        let writer = writer.map(|writer| std::thread::spawn(|| writer.run()));
        Self { config, clock, trail, writer }
    }

    fn tell(&self, job: &JobFacts, at: Timestamp, events: Vec<JobEventKind>) {
        let mut record = JobRecord::new(job.clone(), at);
        for what in events {
            record.push(JobEvent { offset: Duration::ZERO, took: None, what });
        }
        self.trail.observe(&Arc::new(record));
    }

    /// Lets the writer store the rest, and begins again with the same file.
    fn restart(mut self) -> Self {
        self.end();
        let restarted = Self::with(self.config.clone());
        restarted.clock.set(self.clock.now());
        restarted
    }

    fn end(&mut self) {
        self.trail.close();
        if let Some(writer) = self.writer.take() {
            writer.join().expect("the writer does not panic");
        }
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        self.trail.close();
    }
}

fn job(id: &str) -> JobFacts {
    JobFacts {
        kind: JobKind::Provisioning,
        id: id.to_owned(),
        csp: Some(csp()),
        operation: Some(Operation::AddPortfolio),
        portfolio_id: Some("portfolio-1".parse().expect("it is an id")),
        accepted_at: Some(START),
    }
}

fn csp() -> CspName {
    "CSP_A".parse().expect("it is a name")
}

fn after(millis: u64) -> Timestamp {
    START + Duration::from_millis(millis)
}

fn accepted() -> JobEventKind {
    JobEventKind::Accepted { by: Some("snow".into()), repeated: false }
}

fn received() -> JobEventKind {
    JobEventKind::Received { attempt: 1, resumed: false, waited_ms: 0, trace_id: None }
}

fn called() -> JobEventKind {
    JobEventKind::AdapterCalled(AdapterCalled {
        entry: AdapterEntry::Begin,
        version: "1.2.0".into(),
        digest: "0123456789ab".into(),
        step: StepWord::Send,
        computed_us: 90,
        memory_bytes: 65_536,
    })
}

fn tried(status: u16) -> JobEventKind {
    JobEventKind::RequestTried(Box::new(RequestTried {
        request: 1,
        attempt: 1,
        method: Method::Post,
        endpoint: None,
        origin: "https://csp.example".into(),
        path: "/portfolios".into(),
        status: Some(status),
        failure: None,
        retry_after_ms: None,
        credential_refused: false,
        next_ms: None,
    }))
}

fn ended(code: u16) -> JobEventKind {
    let class = (code >= 400).then_some("refused".into());
    let reason = (code >= 400).then_some("the name is taken".into());
    JobEventKind::Ended(Box::new(Ended { code, class, reason, requests: 1, took_ms: Some(7) }))
}

fn waits() -> JobEventKind {
    JobEventKind::Waits(Box::new(Waiting {
        purpose: WaitPurpose::Poll,
        note: "IN_PROGRESS".into(),
        reference: Some("https://csp.example/status/1".into()),
        next_at: after(60_000),
        deadline_at: after(864_000_000),
        waits: 1,
        requests: 1,
    }))
}

fn by() -> Option<Box<str>> {
    Some("snow".into())
}

#[tokio::test]
async fn the_state_of_a_job_follows_from_its_events() {
    let directory = tempfile::tempdir().expect("a directory");
    let redriven = JobEventKind::Redriven { by: by() };
    let dead = JobEventKind::DeadLettered { reason: "it trapped".into() };
    let collected = JobEventKind::Collected { by: by() };
    let redelivered = JobEventKind::Redelivered { by: by() };
    let purged = JobEventKind::Purged { by: by() };
    let cases = [
        ("accepted", vec![accepted()], JobState::Queued),
        (
            "run",
            vec![accepted(), received(), called(), tried(201), ended(200)],
            JobState::Succeeded,
        ),
        ("failed", vec![accepted(), received(), ended(502)], JobState::Failed),
        ("waits", vec![accepted(), received(), waits()], JobState::Waiting),
        ("ends", vec![accepted(), waits(), received(), ended(200)], JobState::Succeeded),
        ("collected", vec![accepted(), ended(200), collected.clone()], JobState::Collected),
        ("early", vec![collected.clone(), accepted(), ended(200)], JobState::Collected),
        ("late", vec![ended(200), accepted()], JobState::Succeeded),
        ("dead", vec![accepted(), dead.clone(), ended(500), collected.clone()], JobState::Dead),
        ("again", vec![dead.clone(), ended(500), collected.clone(), redriven], JobState::Queued),
        ("purged", vec![dead, ended(500), purged], JobState::Failed),
        ("redelivered", vec![ended(200), collected, redelivered], JobState::Succeeded),
    ];
    let mut fixture = Fixture::start(directory.path());
    for (id, events, _) in &cases {
        // As several records: the writer merges them.
        for (n, event) in events.iter().enumerate() {
            fixture.tell(&job(id), after(n as u64), vec![event.clone()]);
        }
    }
    fixture.end();
    for (id, events, state) in &cases {
        let found = fixture.trail.job(JobKind::Provisioning, id).await.expect("the trail answers");
        let found = found.expect(id);
        assert_eq!(found.job.state, *state, "{id}");
        let kinds: Vec<_> = found.events.iter().map(|event| event.what.clone()).collect();
        assert_eq!(&kinds, events, "{id}");
    }
    let none = fixture.trail.job(JobKind::Cost, "accepted").await.expect("the trail answers");
    assert!(none.is_none(), "the kind is part of the id");
}

#[tokio::test]
async fn a_job_keeps_its_facts_over_a_restart() {
    let directory = tempfile::tempdir().expect("a directory");
    let fixture = Fixture::start(directory.path());
    fixture.tell(&job("a"), START, vec![accepted()]);
    fixture.tell(&job("a"), after(5), vec![received(), called(), tried(202), waits()]);
    let mut fixture = fixture.restart();
    let mode = std::fs::metadata(&fixture.config.path).expect("a file").permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "the trail is private");
    fixture.clock.advance(Duration::from_secs(60));
    fixture.tell(&job("a"), after(60_000), vec![received(), called(), tried(200), ended(200)]);
    fixture.end();
    let found = fixture.trail.job(JobKind::Provisioning, "a").await.expect("the trail answers");
    let found = found.expect("the job is known");
    let row = &found.job;
    assert_eq!((row.accepted_at, row.accepted_by.as_deref()), (Some(START), Some("snow")));
    assert_eq!(
        (row.csp.as_ref(), row.portfolio_id.as_deref()),
        (Some(&csp()), Some("portfolio-1"))
    );
    assert_eq!((row.version.as_deref(), row.requests), (Some("1.2.0"), 1));
    assert_eq!((row.code, row.note.as_deref()), (Some(200), Some("IN_PROGRESS")));
    assert_eq!((row.next_look_at, row.ended_at), (None, Some(after(60_000))));
    assert_eq!(found.events.len(), 9);
    let minutes = fixture.trail.minutes(START).await.expect("the trail answers");
    let of = |minute: &crate::Minute| (minute.accepted, minute.calls, minute.ended_ok);
    assert_eq!(minutes.iter().map(of).collect::<Vec<_>>(), [(1, 1, 0), (0, 1, 1)]);
}

#[tokio::test]
async fn a_job_that_is_accepted_once_more_begins_anew() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut fixture = Fixture::start(directory.path());
    fixture.tell(&job("a"), START, vec![accepted(), ended(502)]);
    let later = JobFacts { accepted_at: Some(after(9)), ..job("a") };
    fixture.tell(&later, after(9), vec![accepted()]);
    fixture.end();
    let row = fixture.trail.job_row(JobKind::Provisioning, "a").await.expect("the trail answers");
    let row = row.expect("the job is known");
    assert_eq!((row.state, row.code, row.accepted_at), (JobState::Queued, None, Some(after(9))));
}

#[tokio::test]
async fn lists_are_filtered_and_continued() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut fixture = Fixture::start(directory.path());
    for n in 0..5 {
        let other =
            JobFacts { csp: "CSP_B".parse().ok(), portfolio_id: None, ..job(&n.to_string()) };
        let facts = if n == 3 { other } else { job(&n.to_string()) };
        let code = if n == 4 { 502 } else { 200 };
        fixture.tell(&facts, after(n), vec![accepted(), ended(code)]);
    }
    fixture.end();
    let ids = async |filter: JobFilter| -> Vec<String> {
        let page = fixture.trail.jobs(filter, None, 10).await.expect("the trail answers");
        page.jobs.into_iter().map(|job| job.id).collect()
    };
    let all = JobFilter::default;
    assert_eq!(ids(all()).await, ["4", "3", "2", "1", "0"]);
    let failed = JobFilter { states: vec![JobState::Failed, JobState::Dead], ..all() };
    assert_eq!(ids(failed).await, ["4"]);
    assert_eq!(ids(JobFilter { csp: "CSP_B".parse().ok(), ..all() }).await, ["3"]);
    assert_eq!(ids(JobFilter { id: Some("2".to_owned()), ..all() }).await, ["2"]);
    let portfolio = Some("portfolio-1".to_owned());
    assert_eq!(ids(JobFilter { id: portfolio.clone(), ..all() }).await, ["4", "2", "1", "0"]);
    let of_portfolio = JobFilter { portfolio_id: portfolio, since: Some(after(2)), ..all() };
    assert_eq!(ids(of_portfolio).await, ["4", "2"]);
    assert_eq!(ids(JobFilter { until: Some(after(1)), ..all() }).await, ["0"]);
    let costs = JobFilter { operation: Some(Operation::CostByClin), ..all() };
    assert!(ids(costs).await.is_empty());

    let first = fixture.trail.jobs(all(), None, 3).await.expect("the trail answers");
    let rest = fixture.trail.jobs(all(), first.next.as_deref(), 3).await.expect("it answers");
    assert_eq!((first.jobs.len(), rest.jobs.len(), rest.next), (3, 2, None));
    let bad = fixture.trail.jobs(all(), Some("x'"), 3).await;
    assert!(matches!(bad, Err(TrailError::BadCursor)));
    let reasons = fixture.trail.failed_reasons(START).await.expect("the trail answers");
    assert_eq!((reasons.len(), reasons[0].jobs, reasons[0].example.as_str()), (1, 1, "4"));
}

#[tokio::test]
async fn acts_are_listed_by_key_and_object() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut fixture = Fixture::start(directory.path());
    for (n, (act, object)) in
        [("pause", "CSP_A"), ("resume", "CSP_A"), ("pause", "CSP_B")].into_iter().enumerate()
    {
        let (act, object) = (act.to_owned(), object.to_owned());
        let (at, by) = (after(n as u64), "ops".to_owned());
        fixture.trail.act(Act { at, act, by, object, details: String::new() });
    }
    fixture.end();
    let list = async |filter: ActFilter| -> Vec<String> {
        let (acts, _) = fixture.trail.acts(filter, None, 10).await.expect("the trail answers");
        acts.into_iter().map(|act| format!("{} {}", act.act, act.object)).collect()
    };
    let of_csp = ActFilter { object: Some("CSP_A".to_owned()), ..ActFilter::default() };
    assert_eq!(list(of_csp).await, ["resume CSP_A", "pause CSP_A"]);
    let pauses = ActFilter { act: Some("pause".to_owned()), ..ActFilter::default() };
    assert_eq!(list(pauses).await, ["pause CSP_B", "pause CSP_A"]);
}

#[tokio::test]
async fn a_job_with_very_many_events_keeps_its_first_and_last_ones() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("trail.db");
    let mut store = crate::store::Store::open(&path, 256 << 20).expect("the file opens");
    let waits = |n: u64| {
        let JobEventKind::Waits(mut waiting) = waits() else { unreachable!("it waits") };
        waiting.waits = n as u32;
        let what = JobEventKind::Waits(waiting);
        let record = JobRecord::of_one(job("a"), after(n), what);
        crate::buffer::Gathered::of(vec![Arc::new(record)])
    };
    for n in 1..=600 {
        store.write(&waits(n)).expect("it is written");
    }
    let (trail, _) = Trail::new(&Config { path, ..Config::default() }, Clock::manual(START));
    let found = trail.job(JobKind::Provisioning, "a").await.expect("the trail answers");
    let found = found.expect("the job is known");
    assert_eq!(found.events.len(), 512);
    let number = |event: &crate::TimelineEvent| {
        let JobEventKind::Waits(waiting) = &event.what else { panic!("{event:?}") };
        waiting.waits
    };
    assert_eq!(number(&found.events[63]), 64);
    assert_eq!(found.events.last().map(number), Some(600));
}

#[test]
fn old_jobs_go_by_age_and_by_size() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("trail.db");
    let max_bytes = 16 << 20;
    let mut store = crate::store::Store::open(&path, max_bytes).expect("the file opens");
    let mut write = |n: u64| {
        let records = (0..500).map(|m| {
            let mut record = JobRecord::new(job(&format!("{n}-{m}")), after(n));
            for what in [accepted(), received(), called(), tried(200), called(), ended(502)] {
                record.push(JobEvent { offset: Duration::ZERO, took: None, what });
            }
            Arc::new(record)
        });
        crate::prune::by_size(&store.sql, false).expect("it is pruned");
        let records = crate::buffer::Gathered::of(records.collect());
        store.write(&records).expect("it is written");
        let bytes = |name: &str| {
            std::fs::metadata(directory.path().join(name)).map_or(0, |file| file.len())
        };
        assert!(bytes("trail.db") + bytes("trail.db-wal") <= max_bytes, "at {n}");
    };
    for n in 0..60 {
        write(n);
    }
    let count = |store: &crate::store::Store, what: &str| -> i64 {
        let query = format!("SELECT count(*) FROM {what}");
        store.sql.query_row(&query, [], |row| row.get(0)).expect("it is counted")
    };
    let jobs = count(&store, "jobs");
    assert!((1..30_000).contains(&jobs), "{jobs}");
    assert_eq!(count(&store, "jobs WHERE job = '0-0'"), 0, "the oldest are gone");
    assert_eq!(count(&store, "jobs WHERE job = '59-0'"), 1);
    assert_eq!(count(&store, "events"), jobs, "events go with their jobs");

    let mut cursor = crate::prune::AgeCursor::default();
    let mut passes = 0;
    while !crate::prune::by_age(&store.sql, &mut cursor, after(59), after(0) + 30 * HOUR)
        .expect("it is pruned")
    {
        passes += 1;
        assert!(passes < 100, "a pass ends");
    }
    assert_eq!((count(&store, "jobs"), count(&store, "events")), (500, 500));
    assert_eq!(count(&store, "minutes"), 0);
}

#[test]
fn a_full_buffer_drops_records_and_blocks_nothing() {
    // No writer runs, as if the disk were stuck.
    let directory = tempfile::tempdir().expect("a directory");
    let config = Config { path: directory.path().join("trail.db"), ..Config::default() };
    let (trail, writer) = Trail::new(&config, Clock::manual(START));
    let record = Arc::new(JobRecord::of_one(job("a"), START, accepted()));
    for _ in 0..crate::buffer::EVENTS_MAX + 1_000 {
        trail.observe(&record);
    }
    trail.close();
    let writer = writer.expect("the trail is on");
    writer.run();
    let sql = rusqlite::Connection::open(&config.path).expect("the file is there");
    let events: i64 = sql
        .query_row("SELECT sum(json_array_length(body)) FROM events", [], |row| row.get(0))
        .expect("it is counted");
    assert_eq!(events, crate::buffer::EVENTS_MAX as i64);
}

#[tokio::test]
async fn a_damaged_file_is_set_aside_and_others_are_left_alone() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("trail.db");
    std::fs::write(&path, vec![b'x'; 10_000]).expect("a file");
    let mut fixture = Fixture::start(directory.path());
    fixture.tell(&job("a"), START, vec![accepted()]);
    eventually(|| directory.path().join("trail.db.damaged").exists());
    fixture.end();
    assert!(fixture.trail.job_row(JobKind::Provisioning, "a").await.expect("it answers").is_some());

    for (name, statement, expected) in [
        ("later.db", "PRAGMA application_id = 1752134760; PRAGMA user_version = 9", "schema 9"),
        ("other.db", "PRAGMA user_version = 3", "not a trail"),
    ] {
        let path = directory.path().join(name);
        let other = rusqlite::Connection::open(&path).expect("a file");
        other.execute_batch(&format!("CREATE TABLE t (a); {statement}")).expect("it is written");
        drop(other);
        let before = std::fs::read(&path).expect("it is there");
        let Err(error) = crate::store::Store::open(&path, 256 << 20) else { panic!("{name}") };
        assert!(error.to_string().contains(expected), "{error}");
        assert_eq!(std::fs::read(&path).expect("it is there"), before, "{name}");
    }
}

#[tokio::test]
async fn a_deleted_file_and_an_unusable_path_stop_nothing() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut fixture = Fixture::start(directory.path());
    let path = fixture.config.path.clone();
    fixture.tell(&job("a"), START, vec![accepted()]);
    eventually(|| rows(&path) == 1);
    std::fs::remove_file(&path).expect("it is there");
    fixture.tell(&job("b"), START, vec![accepted()]);
    eventually(|| rows(&path) == 1);
    fixture.end();
    assert!(fixture.trail.job_row(JobKind::Provisioning, "b").await.expect("it answers").is_some());

    let file = directory.path().join("file");
    std::fs::write(&file, "").expect("a file");
    let mut fixture = Fixture::with(Config { path: file.join("trail.db"), ..Config::default() });
    fixture.tell(&job("a"), START, vec![accepted()]);
    let read = fixture.trail.job_row(JobKind::Provisioning, "a").await;
    assert!(matches!(read, Err(TrailError::Unavailable(_))));
    fixture.end();
}

#[tokio::test]
async fn a_trail_that_is_off_says_so() {
    let config = Config { enabled: false, ..Config::default() };
    let (trail, writer) = Trail::new(&config, Clock::manual(START));
    assert!(writer.is_none() && !trail.is_on());
    trail.observe(&Arc::new(JobRecord::of_one(job("a"), START, accepted())));
    trail.close();
    let read = trail.jobs(JobFilter::default(), None, 1).await;
    assert!(matches!(read, Err(TrailError::Off)));
}

fn rows(path: &Path) -> i64 {
    let count = || -> rusqlite::Result<i64> {
        rusqlite::Connection::open(path)?
            .query_row("SELECT count(*) FROM jobs", [], |row| row.get(0))
    };
    if path.exists() { count().unwrap_or(0) } else { 0 }
}

#[track_caller]
fn eventually(condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < deadline, "the condition never held");
        std::thread::sleep(Duration::from_millis(10));
    }
}
