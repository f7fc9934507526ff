//! The location of one job over its whole way.

use std::time::Duration;

use tempfile::TempDir;

use super::backend::EmbeddedQueue;
use super::config::Config;
use super::config::LOG_MAX_BYTES;
use crate::conformance::receive;
use crate::contract::Holder;
use crate::contract::Queue;
use crate::contract::Receive;
use crate::lease::Delivery;
use crate::message::NewMessage;
use crate::name::QueueName;
use crate::state::Location;
use crate::state::MessageState;
use hoth_core::domain::CspName;
use hoth_core::domain::JobKind;
use hoth_core::domain::PortfolioId;
use hoth_core::domain::QueuedJob;
use hoth_core::domain::QueuedOutcome;
use hoth_core::domain::Resumption;
use hoth_core::domain::Timestamp;
use hoth_platform::clock::Clock;

const START: Timestamp = Timestamp::from_millis(1_900_000_000_000);
const MINUTE: Duration = Duration::from_secs(60);

struct Fixture {
    _folder: TempDir,
    clock: Clock,
    queue: EmbeddedQueue,
}

impl Fixture {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let clock = Clock::manual(START);
        let path = folder.path().join("queue.db");
        let config = Config { path, redelivery_hours: 24, log_max_bytes: LOG_MAX_BYTES };
        let queue = EmbeddedQueue::open(&config, clock.clone()).expect("a new file opens");
        Self { _folder: folder, clock, queue }
    }

    /// Locates a job with and without its portfolio, which must not matter.
    async fn locate(&self, id: &str) -> Location {
        let portfolio: PortfolioId = "p-1".parse().expect("an id");
        let kind = JobKind::Provisioning;
        let with = self.queue.locate(kind, id, Some(&portfolio)).await.expect("it answers");
        let without = self.queue.locate(kind, id, None).await.expect("it answers");
        assert_eq!(with.message, without.message, "{id}");
        with
    }

    async fn take(&self, queue: &QueueName, lease: Duration) -> Delivery {
        let mut taken = self.queue.receive(queue, receive(1, lease)).await.expect("it answers");
        taken.pop().expect("there is a message")
    }
}

fn job(id: &str) -> QueuedJob {
    let text = include_str!("../../../core/src/domain/fixtures/job-v1-accepted.json");
    QueuedJob::decode(&text.replace("job-1", id)).expect("a fixture")
}

fn waiting(id: &str, due_at: Timestamp) -> QueuedJob {
    let text = include_str!("../../../core/src/domain/fixtures/job-v1-waiting.json");
    let from = QueuedJob::decode(text).expect("a fixture").resumption.expect("it waits");
    job(id).waiting(Resumption { due_at, ..from })
}

fn csp() -> CspName {
    "CSP_A".parse().expect("a name")
}

#[tokio::test]
async fn a_job_is_located_on_its_whole_way() {
    let f = Fixture::new();
    let kind = JobKind::Provisioning;
    let [requests, polls, outcomes] = [
        QueueName::requests(kind, &csp()),
        QueueName::polls(kind, &csp()),
        QueueName::outcomes(kind),
    ];
    for id in ["a", "b"] {
        f.queue.send(&requests, NewMessage::accepted(&job(id))).await.expect("it is sent");
    }
    let state = async |id: &str| {
        let found = f.locate(id).await.message.expect("a message");
        (found.queue, found.state, found.receive_count, found.before)
    };
    assert_eq!(state("a").await, (requests.clone(), MessageState::Ready, 0, 0));
    assert_eq!(state("b").await, (requests.clone(), MessageState::Ready, 0, 1));

    let held = f.take(&requests, MINUTE).await;
    let leased = MessageState::LeasedToWorker { until: START + MINUTE };
    assert_eq!(state("a").await, (requests.clone(), leased, 1, 0));

    let due_at = START + 2 * MINUTE;
    let next = NewMessage::waiting(&waiting("a", due_at));
    let receipt = held.lease.keep();
    f.queue.settle(&requests, &receipt, &polls, next).await.expect("it is settled");
    assert_eq!(state("a").await, (polls.clone(), MessageState::NotDue { until: due_at }, 0, 0));
    assert_eq!(state("b").await.3, 0, "it is first now");
    let body = f.locate("a").await.message.expect("a message").body;
    let resumption = QueuedJob::decode(&body).expect("a job").resumption.expect("it waits");
    assert_eq!(resumption.due_at, due_at);

    f.clock.advance(2 * MINUTE);
    let held = f.take(&polls, MINUTE).await.lease.keep();
    let message = serde_json::value::to_raw_value(&1).expect("JSON");
    let outcome = QueuedOutcome::new("a".to_owned(), kind, message);
    let outcome = NewMessage::outcome(&job("a"), &outcome);
    f.queue.settle(&polls, &held, &outcomes, outcome).await.expect("it is settled");
    assert_eq!(state("a").await, (outcomes.clone(), MessageState::Ready, 0, 0));
    let lease = Receive { holder: Holder::Client, ..receive(1, MINUTE) };
    let held = f.queue.receive(&outcomes, lease).await.expect("it answers").remove(0).lease.keep();
    let leased = MessageState::LeasedToClient { until: f.clock.now() + MINUTE };
    assert_eq!(state("a").await, (outcomes.clone(), leased, 1, 0));
    f.queue.delete(&outcomes, &[held]).await.expect("it is deleted");
    let found = f.locate("a").await;
    assert!(found.message.is_none() && found.dead_letter.is_none());
    let (collected_at, text) = found.collected.expect("it is archived");
    assert_eq!(collected_at, f.clock.now());
    assert_eq!(QueuedOutcome::decode(&text).expect("an outcome").id, "a");
}

#[tokio::test]
async fn a_dead_letter_is_located_beside_its_failure_message() {
    let f = Fixture::new();
    let kind = JobKind::Provisioning;
    let requests = QueueName::requests(kind, &csp());
    f.queue.send(&requests, NewMessage::accepted(&job("a"))).await.expect("it is sent");
    let held = f.take(&requests, MINUTE).await;
    let message = serde_json::value::to_raw_value(&1).expect("JSON");
    let outcome =
        NewMessage::outcome(&job("a"), &QueuedOutcome::new("a".to_owned(), kind, message));
    let (received, receipt) = (held.message, held.lease.keep());
    let report = Some((QueueName::outcomes(kind), outcome));
    let done = f.queue.dead_letter(&requests, &receipt, &received, "it trapped", report).await;
    done.expect("it is dead-lettered");
    let found = f.locate("a").await;
    let (queue, letter) = found.dead_letter.expect("a dead letter");
    assert_eq!((queue, letter.reason.as_str()), (requests, "it trapped"));
    assert_eq!(found.message.expect("the failure message").queue, QueueName::outcomes(kind));
    let none = f.locate("b").await;
    assert!(none.message.is_none() && none.dead_letter.is_none() && none.collected.is_none());
}
