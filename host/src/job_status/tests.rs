//! The status of jobs on a real queue, with and without a trail.

use std::time::Duration;

use super::*;
use hoth_core::domain::Ended;
use hoth_core::domain::JobEventKind;
use hoth_core::domain::JobFacts;
use hoth_core::domain::JobRecord;
use hoth_core::domain::QueuedOutcome;
use hoth_core::domain::Resumption;
use hoth_queue::Holder;
use hoth_queue::NewMessage;
use hoth_queue::QueueName;
use hoth_queue::Receive;
use hoth_queue::embedded::Config;
use hoth_queue::embedded::EmbeddedQueue;
use hoth_queue::embedded::LOG_MAX_BYTES;

const NOW: Timestamp = Timestamp::from_millis(1_893_542_400_000);
const MINUTE: Duration = Duration::from_secs(60);

struct Fixture {
    _folder: tempfile::TempDir,
    clock: Clock,
    statuses: Statuses,
}

impl Fixture {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let clock = Clock::manual(NOW);
        let path = folder.path().join("queue.db");
        let config = Config { path, redelivery_hours: 24, log_max_bytes: LOG_MAX_BYTES };
        let queue = EmbeddedQueue::open(&config, clock.clone()).expect("a new file opens");
        let statuses = Statuses {
            queue: Arc::new(queue),
            trail: Trail::off(),
            clock: clock.clone(),
            holds: Arc::new(|_| None),
            deadline: 240 * 60 * MINUTE,
            host: "host-1".to_owned(),
        };
        Self { _folder: folder, clock, statuses }
    }

    async fn status(&self, id: &str) -> JobStatus {
        let found = self.statuses.find(JobKind::Provisioning, id).await.expect("it answers");
        found.expect("it is known")
    }

    async fn send(&self, queue: &QueueName, message: NewMessage) {
        self.statuses.queue.send(queue, message).await.expect("it is sent");
    }
}

fn job(id: &str) -> QueuedJob {
    let text = include_str!("../../core/src/domain/fixtures/job-v1-accepted.json");
    QueuedJob::decode(&text.replace("job-1", id)).expect("a fixture")
}

fn csp() -> CspName {
    "CSP_A".parse().expect("a name")
}

fn requests() -> QueueName {
    QueueName::requests(JobKind::Provisioning, &csp())
}

#[tokio::test]
async fn a_job_is_followed_without_a_trail() {
    let mut f = Fixture::new();
    for id in ["a", "b"] {
        f.send(&requests(), NewMessage::accepted(&job(id))).await;
    }
    let first = f.status("a").await;
    assert_eq!(first.state, StatusWord::Queued);
    assert_eq!(first.detail, "Accepted at 00:00 UTC; it is sent to CSP_A next.");
    assert_eq!((first.job_id.as_deref(), first.portfolio_id.as_deref()), (Some("a"), Some("p-1")));
    assert_eq!(first.operation_type.as_deref(), Some("ADD_ENVIRONMENT"));
    let second = f.status("b").await;
    assert_eq!(second.state, StatusWord::Held);
    let earlier = "An earlier job of its portfolio is unfinished; this one follows it.";
    assert_eq!(second.detail, earlier);

    f.statuses.holds = Arc::new(|_| Some(CspHold::Paused));
    let held = f.status("a").await;
    assert_eq!(held.state, StatusWord::Held);
    let paused = "Operators have paused CSP_A; the job goes on when they resume it.";
    assert_eq!(held.detail, paused);
    f.statuses.holds = Arc::new(|_| None);

    let receive = Receive { max: 1, wait: Duration::ZERO, lease: MINUTE, holder: Holder::Process };
    let queue = &f.statuses.queue;
    let held = queue.receive(&requests(), receive).await.expect("it answers").remove(0);
    let receipt = held.lease.keep();
    let running = f.status("a").await;
    assert_eq!(running.state, StatusWord::Running);
    assert_eq!(running.detail, "HOTH works on it with CSP_A since 00:00 UTC.");

    let text = include_str!("../../core/src/domain/fixtures/job-v1-waiting.json");
    let from = QueuedJob::decode(text).expect("a fixture").resumption.expect("it waits");
    let progress = hoth_core::domain::Progress {
        reference: Some("https://csp/1".to_owned()),
        note: "IN_PROGRESS for ada@example.mil".to_owned(),
        details: None,
    };
    let due_at = NOW + 29 * MINUTE;
    let waiting_since = NOW + 2 * MINUTE;
    let resumption =
        Resumption { due_at, waiting_since, progress, continues: false, requests: 3, ..from };
    let polls = QueueName::polls(JobKind::Provisioning, &csp());
    let next = NewMessage::waiting(&job("a").waiting(resumption));
    queue.settle(&requests(), &receipt, &polls, next).await.expect("it is settled");
    f.clock.advance(3 * MINUTE);
    let waiting = f.status("a").await;
    assert_eq!(waiting.state, StatusWord::Waiting);
    assert_eq!(
        waiting.detail,
        "CSP_A accepted it at 00:02 UTC and reports IN_PROGRESS for (address); next look at 00:29 \
         UTC, given up on 2030-01-12."
    );
    assert_eq!((waiting.next_look_at, waiting.requests), (Some(due_at), 3));
    assert_eq!(f.status("b").await.state, StatusWord::Queued);

    let none = f.statuses.find(JobKind::Cost, "a").await.expect("it answers");
    assert!(none.is_none(), "the kind is part of the id");
}

#[tokio::test]
async fn an_outcome_is_followed_to_its_collection() {
    let f = Fixture::new();
    let outcomes = QueueName::outcomes(JobKind::Provisioning);
    for (id, code) in [("a", 200), ("b", 502)] {
        let message = serde_json::value::to_raw_value(&serde_json::json!({"code": code}));
        let message = message.expect("JSON");
        let outcome = QueuedOutcome::new(id.to_owned(), JobKind::Provisioning, message);
        f.send(&outcomes, NewMessage::outcome(&job(id), &outcome)).await;
    }
    let (good, bad) = (f.status("a").await, f.status("b").await);
    assert_eq!((good.state, bad.state), (StatusWord::Succeeded, StatusWord::Failed));
    assert_eq!(bad.outcome.as_ref().and_then(|outcome| outcome.code), Some(502));
    let ready = "It failed at 00:00 UTC with code 502; the outcome is ready to be collected.";
    assert_eq!(bad.detail, ready);

    f.clock.advance(MINUTE);
    let receive = Receive { max: 10, wait: Duration::ZERO, lease: MINUTE, holder: Holder::Client };
    let queue = &f.statuses.queue;
    let leased = queue.receive(&outcomes, receive).await.expect("it answers");
    assert!(f.status("a").await.detail.ends_with("; a client has leased the outcome."));
    let receipts: Vec<_> = leased.into_iter().map(|delivery| delivery.lease.keep()).collect();
    queue.delete(&outcomes, &receipts).await.expect("they are deleted");
    let collected = f.status("b").await;
    assert_eq!(collected.state, StatusWord::Collected);
    let detail = "It ended with code 502; the outcome was collected at 00:01 UTC.";
    assert_eq!(collected.detail, detail);
}

#[tokio::test]
async fn a_backend_that_cannot_be_looked_into_tells_what_this_host_has_seen() {
    let mut f = Fixture::new();
    f.statuses.queue = Arc::new(hoth_queue::model::Model::opaque(f.clock.clone()));
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let path = folder.path().join("trail.db");
    let config = hoth_trail::Config { path, ..hoth_trail::Config::default() };
    let (trail, writer) = Trail::new(&config, f.clock.clone());
    let facts = JobFacts { accepted_at: Some(NOW), ..JobFacts::of_job(&job("a").job, NOW) };
    let tell = |what| trail.observe(&Arc::new(JobRecord::of_one(facts.clone(), NOW, what)));
    tell(JobEventKind::Accepted { by: None, repeated: false });
    let (code, class) = (502, Some("refused".into()));
    let reason = Some("the name is taken".into());
    tell(JobEventKind::Ended(Box::new(Ended { code, class, reason, requests: 2, took_ms: None })));
    trail.close();
    writer.expect("the trail is on").run();
    f.statuses.trail = trail;
    let status = f.status("a").await;
    assert_eq!((status.state, status.requests), (StatusWord::Failed, 2));
    assert_eq!(status.observed_by, Some(vec!["host-1".to_owned()]));
    assert_eq!(
        status.detail,
        "It failed at 00:00 UTC with code 502: the name is taken; the outcome is ready to be \
         collected."
    );
}
