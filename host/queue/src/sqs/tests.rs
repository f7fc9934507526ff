//! The conformance suite on SQS, and the promises of this backend alone.
//!
//! `cargo xtask test` starts a pinned localstack-core, and passes its address;
//! with `HOTH_TEST_SQS=aws` the suite runs on AWS itself, with the credentials
//! and the region of the environment.
//!
//! localstack-core 2026.3.0 differs from AWS in these ways. The first three
//! have tests of their own, which show the gap there and the promise on AWS.
//! The backend does not rely on the rest, so no check is left out for it:
//!
//! - *A handle whose lease has ended deletes a message that was received again*
//!   (V6).
//! - *Changing a lease that has ended says that it was done* (V9).
//! - *The end of a lease is not noticed while a message that was received
//!   earlier is held, and the messages behind it in its group are offered
//!   meanwhile* (G4, G8).
//! - *A lease beyond 12 hours is accepted* (V10). The contract refuses it first.
//! - *`ReceiveRequestAttemptId` has no effect* (A1). It matters if an answer of
//!   SQS is lost; the message is then late by its lease.
//! - *A message that SQS moves to the dead letters keeps its deduplication id*
//!   (R5). No two messages of a queue share one while SQS remembers it.
//! - *Redriving to a FIFO queue by `StartMessageMoveTask` moves nothing* (R8), *a
//!   queue that is not FIFO is accepted for dead letters* (R3), *a delayed
//!   message blocks its group* (G11). The backend uses neither.
//!
//! `cargo xtask test` sets its memory of deduplication ids (D9) to a minute
//! instead of five, to save time.

use std::time::Duration;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::QueueAttributeName;

use super::backend::SqsQueue;
use super::client;
use super::error::OpenError;
use crate::conformance;
use crate::conformance::Fixture;
use crate::conformance::message;
use crate::conformance::names;
use crate::conformance::outcomes;
use crate::conformance::receive;
use crate::conformance::requests;
use crate::contract::Holder;
use crate::contract::Queue;
use crate::contract::Receive;
use crate::contract::Redeliver;
use crate::error::InvalidArgument;
use crate::error::QueueError;
use crate::lease::Delivery;
use crate::lease::Receipt;
use crate::message::NewMessage;
use crate::name::QueueName;
use crate::sqs_config::SqsConfig;
use crate::state::DeadLetterId;
use hoth_core::domain::Digest;
use hoth_core::domain::MESSAGE_BYTES_MAX;

const LONG: Duration = Duration::from_secs(600);
const SHORT: Duration = Duration::from_secs(2);

/// The SQS server of the tests.
enum Server {
    Local { endpoint: String, dedup_window: Duration },
    Aws,
}

impl Server {
    fn found() -> Self {
        let set = |wanted: &str| std::env::vars().find(|(name, _)| name == wanted).map(|v| v.1);
        if set("HOTH_TEST_SQS").as_deref() == Some("aws") {
            return Self::Aws;
        }
        let endpoint = set("HOTH_TEST_SQS_ENDPOINT").expect(
            "these tests need SQS: `cargo xtask test` starts a local one and sets \
             HOTH_TEST_SQS_ENDPOINT; HOTH_TEST_SQS=aws runs them on AWS",
        );
        let window = set("HOTH_TEST_SQS_DEDUP_SECONDS").and_then(|seconds| seconds.parse().ok());
        Self::Local { endpoint, dedup_window: Duration::from_secs(window.unwrap_or(300)) }
    }
}

/// Queues on SQS that only one test uses. Queues on AWS are deleted at its end.
struct Sqs {
    server: Server,
    config: SqsConfig,
    queue: SqsQueue,
}

impl Sqs {
    async fn new() -> Self {
        let server = Server::found();
        let (region, endpoint_url) = match &server {
            Server::Local { endpoint, .. } => {
                (Some("us-east-1".to_owned()), Some(endpoint.parse().expect("a URL")))
            }
            Server::Aws => (None, None),
        };
        let unique = uuid::Uuid::new_v4().simple().to_string();
        let prefix = format!("hoth-test-{}-", &unique[..12]);
        let config = SqsConfig { region, endpoint_url, proxy: None, prefix };
        let queue = open(&config).await.expect("the queues can be made");
        Self { server, config, queue }
    }

    /// Opens the same queues as another host does.
    async fn other_host(&self) -> SqsQueue {
        open(&self.config).await.expect("the queues are there")
    }
}

async fn open(config: &SqsConfig) -> Result<SqsQueue, OpenError> {
    SqsQueue::open(config, vec![requests(), outcomes()]).await
}

impl Fixture for Sqs {
    fn queue(&self) -> &dyn Queue {
        &self.queue
    }

    async fn advance(&self, by: Duration) {
        tokio::time::sleep(by).await;
    }

    fn dedup_window(&self) -> Duration {
        match self.server {
            Server::Local { dedup_window, .. } => dedup_window,
            Server::Aws => Duration::from_secs(300),
        }
    }

    async fn deliveries_max(&self) -> u32 {
        let queue = self.queue.pair(&requests()).expect("it is open");
        let shared = &self.queue.shared;
        let dead = shared.attributes(&queue.dead_url, vec![QueueAttributeName::QueueArn]).await;
        let dead = dead.expect("it can be read").remove(&QueueAttributeName::QueueArn);
        let policy = serde_json::json!({"deadLetterTargetArn": dead, "maxReceiveCount": 3});
        let call = shared.client.set_queue_attributes().queue_url(&queue.url);
        let call = call.attributes(QueueAttributeName::RedrivePolicy, policy.to_string());
        call.send().await.expect("it can be changed");
        3
    }

    fn reports_repetitions(&self) -> bool {
        false
    }

    fn counts_within(&self) -> Duration {
        Duration::from_secs(90)
    }
}

impl Drop for Sqs {
    fn drop(&mut self) {
        match self.server {
            // The server ends with the tests.
            Server::Local { .. } => {}
            Server::Aws => {
                let config = self.config.clone();
                let deleting = std::thread::spawn(move || delete_queues(&config));
                drop(deleting.join());
            }
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn delete_queues(config: &SqsConfig) {
    let client = client::connect(config).await.expect("a region is known");
    for name in [requests(), outcomes()] {
        for name in [config.messages_of(&name), config.dead_letters_of(&name)] {
            let found = client.get_queue_url().queue_name(name).send().await;
            let url = found.expect("it was made").queue_url.expect("a queue has a URL");
            client.delete_queue().queue_url(url).send().await.expect("it can be deleted");
        }
    }
}

crate::common_conformance_suite!(Sqs::new().await);

/// G4: see the module's documentation.
#[tokio::test]
async fn a_released_message_waits_for_held_messages_before_it() {
    let f = Sqs::new().await;
    match f.server {
        Server::Aws => {
            conformance::a_released_message_waits_for_held_messages_before_it(&f).await;
        }
        Server::Local { .. } => {
            for name in ["m1", "m2", "m3"] {
                send(&f.queue, name).await;
            }
            let held: Vec<_> =
                take(&f.queue, LONG).await.into_iter().map(|one| one.lease.keep()).collect();
            let release = async |receipt: &Receipt| {
                let receipts = std::slice::from_ref(receipt);
                f.queue.change_lease(&requests(), receipts, Duration::ZERO).await.expect("held");
            };
            release(&held[0]).await;
            assert_eq!(names(take(&f.queue, SHORT).await), ["m1"]);
            release(&held[1]).await;
            f.advance(SHORT + SHORT).await;
            assert_eq!(
                names(take(&f.queue, LONG).await),
                ["m2"],
                "the gap: the lease of m1 has run out"
            );
        }
    }
}

/// V9: see the module's documentation.
#[tokio::test]
async fn an_ended_lease_is_not_extended() {
    let f = Sqs::new().await;
    match f.server {
        Server::Aws => conformance::an_ended_lease_is_not_extended(&f).await,
        Server::Local { .. } => {
            send(&f.queue, "m1").await;
            let ended = take(&f.queue, SHORT).await.remove(0).lease.keep();
            f.advance(SHORT + SHORT).await;
            let receipts = std::slice::from_ref(&ended);
            let changed = f.queue.change_lease(&requests(), receipts, LONG).await;
            changed.expect("the gap: this server returns success");
            assert_eq!(names(take(&f.queue, LONG).await), ["m1"]);
        }
    }
}

/// V9: see the module's documentation.
#[tokio::test]
async fn an_ended_lease_gives_nothing_back() {
    let f = Sqs::new().await;
    match f.server {
        Server::Aws => conformance::an_ended_lease_gives_nothing_back(&f).await,
        Server::Local { .. } => {
            send(&f.queue, "m1").await;
            let ended = take(&f.queue, SHORT).await.remove(0).lease.keep();
            f.advance(SHORT + SHORT).await;
            let given_back = f.queue.give_back(&requests(), &[ended], Duration::ZERO).await;
            given_back.expect("the gap: this server returns success");
            let got = take(&f.queue, LONG).await.remove(0);
            assert_eq!((got.message.body.as_str(), got.message.receive_count), ("m1", 2));
        }
    }
}

/// V6: see the module's documentation.
#[tokio::test]
async fn an_ended_lease_does_not_affect_the_next_holder() {
    let f = Sqs::new().await;
    match f.server {
        Server::Aws => {
            conformance::an_ended_lease_does_not_affect_the_next_holder(&f).await;
        }
        Server::Local { .. } => {
            send(&f.queue, "m1").await;
            let ended = take(&f.queue, SHORT).await.remove(0).lease.keep();
            f.advance(SHORT + SHORT).await;
            let current = take(&f.queue, LONG).await.remove(0).lease.keep();
            let deleted = f.queue.delete(&requests(), std::slice::from_ref(&ended)).await;
            deleted.expect("the gap: this server accepts the ended handle");
            f.queue.delete(&requests(), std::slice::from_ref(&current)).await.expect("it is gone");
        }
    }
}

async fn take(queue: &SqsQueue, lease: Duration) -> Vec<Delivery> {
    queue.receive(&requests(), receive(10, lease)).await.expect("it can be received")
}

async fn send(queue: &SqsQueue, name: &str) {
    queue.send(&requests(), message("g", name)).await.expect("it can be sent");
}

#[tokio::test]
async fn another_host_settles_under_the_same_lease() {
    let f = Sqs::new().await;
    let (here, there) = (&f.queue, f.other_host().await);
    send(here, "m1").await;
    let held = take(here, LONG).await.remove(0).lease.keep();
    assert_eq!(take(&there, LONG).await.len(), 0, "the first host holds it");
    for _ in 0..2 {
        there
            .delete(&requests(), std::slice::from_ref(&held))
            .await
            .expect("a repetition is harmless");
    }
    send(here, "m2").await;
    let held = take(here, LONG).await.remove(0).lease.keep();
    there
        .change_lease(&requests(), std::slice::from_ref(&held), Duration::ZERO)
        .await
        .expect("held");
    let held = take(&there, LONG).await.remove(0).lease.keep();
    here.settle(&requests(), &held, &outcomes(), message("g", "end")).await.expect("held");
    let twice = here.settle(&requests(), &held, &outcomes(), message("g", "twice")).await;
    assert!(matches!(twice, Err(QueueError::LeaseEnded)), "{twice:?}");
    let got = there.receive(&outcomes(), receive(10, LONG)).await.expect("it can be received");
    assert_eq!(names(got), ["end"]);
}

/// V3: SQS itself reports that a lease has ended, to a host that did not take
/// it.
#[tokio::test]
async fn another_host_does_not_delete_under_an_ended_lease() {
    let f = Sqs::new().await;
    let there = f.other_host().await;
    send(&f.queue, "m1").await;
    let ended = take(&f.queue, SHORT).await.remove(0).lease.keep();
    f.advance(SHORT + SHORT).await;
    let refused = there.delete(&requests(), std::slice::from_ref(&ended)).await;
    assert!(matches!(refused, Err(QueueError::LeaseEnded)), "{refused:?}");
    assert_eq!(names(take(&there, LONG).await), ["m1"]);
}

/// On SQS the same key with other content is another job: it has no conflicts.
#[tokio::test]
async fn the_same_key_with_other_content_is_another_message() {
    let f = Sqs::new().await;
    send(&f.queue, "m1").await;
    let mut other = message("g", "m1");
    other.dedup.content = Digest::of(b"other");
    other.body = "other".to_owned();
    f.queue.send(&requests(), other).await.expect("it can be sent");
    assert_eq!(names(take(&f.queue, LONG).await), ["m1", "other"]);
}

/// A successor is recognised by its key alone: a job that runs again after a
/// crash may end with another text.
#[tokio::test]
async fn a_second_outcome_of_a_job_is_dropped() {
    let f = Sqs::new().await;
    for (name, text) in [("m1", "first"), ("m2", "second")] {
        send(&f.queue, name).await;
        let held = take(&f.queue, LONG).await.remove(0).lease.keep();
        let end = NewMessage { body: text.to_owned(), ..message("g", "end") };
        f.queue.settle(&requests(), &held, &outcomes(), end).await.expect("held");
    }
    let got = f.queue.receive(&outcomes(), receive(10, LONG)).await.expect("it can be received");
    assert_eq!(names(got), ["first"]);
}

#[tokio::test]
async fn texts_that_sqs_refuses_are_delivered_unchanged() {
    let f = Sqs::new().await;
    let body = "{\"a\":\"\u{ffff}\",\"b\":\"\u{1}\"}".to_owned();
    let key = "\u{0}key ü".to_owned();
    let sent = NewMessage { body: body.clone(), key: key.clone(), ..message("g", "m1") };
    f.queue.send(&requests(), sent).await.expect("it can be sent");
    let got = take(&f.queue, LONG).await.remove(0);
    assert_eq!((&got.message.body, &got.message.key), (&body, &key));
    let (message, held) = (got.message, got.lease.keep());
    f.queue.dead_letter(&requests(), &held, &message, "grün", None).await.expect("held");
    let letter =
        f.queue.dead_letters(&requests(), None, 10).await.expect("it can be read").remove(0);
    assert_eq!((letter.body, letter.key, letter.reason.as_str()), (body, key, "grün"));
    assert_eq!((letter.group.as_str(), letter.receive_count), ("g", 1));
    assert_eq!(letter.sent_at, message.sent_at);
}

#[tokio::test]
async fn more_dead_letters_are_listed_than_one_receive_returns() {
    let f = Sqs::new().await;
    let sent: Vec<String> = (0..23).map(|n| format!("m{n:02}")).collect();
    for name in &sent {
        send(&f.queue, name).await;
        let got = take(&f.queue, LONG).await.remove(0);
        let (message, held) = (got.message, got.lease.keep());
        f.queue.dead_letter(&requests(), &held, &message, "bad", None).await.expect("held");
    }
    let mut listed = Vec::new();
    let mut after: Option<DeadLetterId> = None;
    loop {
        let page = f.queue.dead_letters(&requests(), after.as_ref(), 10).await;
        let page = page.expect("it can be read");
        let Some(last) = page.last() else { break };
        after = Some(last.id.clone());
        listed.extend(page.into_iter().map(|letter| letter.body));
    }
    assert_eq!(listed, sent);
}

#[tokio::test]
async fn redelivery_and_blocked_groups_are_not_offered() {
    let f = Sqs::new().await;
    let redelivered = f.queue.redeliver(&outcomes(), Redeliver::Keys(Vec::new())).await;
    assert!(matches!(redelivered, Err(QueueError::NotOffered(_))), "{redelivered:?}");
    let blocked = f.queue.blocked(&requests()).await;
    assert!(matches!(blocked, Err(QueueError::NotOffered(_))), "{blocked:?}");
}

#[tokio::test]
async fn a_queue_that_differs_is_refused_when_a_host_starts() {
    let f = Sqs::new().await;
    let queue = f.queue.pair(&requests()).expect("it is open");
    let client: &Client = &f.queue.shared.client;
    let call = client.set_queue_attributes().queue_url(&queue.url);
    let call = call.attributes(QueueAttributeName::MessageRetentionPeriod, "345600");
    call.send().await.expect("it can be changed");
    let refused = open(&f.config).await.expect_err("it differs").to_string();
    assert!(refused.contains("MessageRetentionPeriod is 345600 and must be 1209600"), "{refused}");
}

#[tokio::test]
async fn a_queue_that_takes_less_refuses_larger_messages_with_both_sizes() {
    let f = Sqs::new().await;
    let sized = |bytes: usize| NewMessage { body: "x".repeat(bytes), ..message("g", "m") };
    let sent = async |queue: &SqsQueue, message: NewMessage| match queue
        .send(&requests(), message)
        .await
    {
        Err(QueueError::Refused(InvalidArgument::MessageTooLarge { bytes, bytes_max })) => {
            Some((bytes, bytes_max))
        }
        sent => {
            sent.expect("it fits");
            None
        }
    };
    // Quoted as a JSON string, because of its last character.
    let mut quoted = sized(MESSAGE_BYTES_MAX - 3);
    quoted.body.push('\u{ffff}');
    let bytes = MESSAGE_BYTES_MAX - 3 + "\"\\uffff\"".len();
    assert_eq!(sent(&f.queue, quoted).await, Some((bytes, MESSAGE_BYTES_MAX)));

    let queue = f.queue.pair(&requests()).expect("one of the queues");
    let client: &Client = &f.queue.shared.client;
    let call = client.set_queue_attributes().queue_url(&queue.url);
    let call = call.attributes(QueueAttributeName::MaximumMessageSize, "262144");
    call.send().await.expect("it can be changed");
    let smaller = open(&f.config).await.expect("such a queue can be used");
    let bytes_max = 262_144 - 2_048;
    assert_eq!(sent(&smaller, sized(bytes_max + 1)).await, Some((bytes_max + 1, bytes_max)));
    assert_eq!(sent(&smaller, sized(bytes_max)).await, None);
    smaller.close().await;
}

/// An outage: the endpoint is a port that is bound and does not listen.
#[tokio::test]
async fn an_outage_of_sqs_is_reported_as_unreachable() {
    let f = Sqs::new().await;
    let closed = tokio::net::TcpSocket::new_v4().expect("there are sockets");
    closed.bind(([127, 0, 0, 1], 0).into()).expect("there is a free port");
    let address = closed.local_addr().expect("it is bound");
    let nowhere =
        SqsConfig { endpoint_url: format!("http://{address}").parse().ok(), ..f.config.clone() };
    let mut queue = f.other_host().await;
    let shared = std::sync::Arc::get_mut(&mut queue.shared).expect("nothing is under way");
    shared.client = client::connect(&nowhere).await.expect("a region is known");
    let wait = Receive { wait: SHORT, holder: Holder::Process, ..receive(1, LONG) };
    let name: QueueName = requests();
    let down = [
        queue.send(&name, message("g", "m1")).await.map(drop),
        queue.receive(&name, wait).await.map(drop),
        queue.check().await,
        queue.stats(&name).await.map(drop),
    ];
    for result in down {
        assert!(matches!(result, Err(QueueError::Unreachable(_))), "{result:?}");
    }
    queue.close().await;
}
