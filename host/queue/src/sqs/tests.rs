//! The suite on SQS, and what only this backend promises.
//!
//! `cargo xtask test` starts localstack-core, pinned, and hands over where it
//! is; with `HOTH_TEST_SQS=aws` the suite runs on AWS itself, with the
//! credentials and the region of the environment.
//!
//! localstack-core 2026.3.0 differs from AWS in these ways. The first three have
//! checks of their own, which show the gap there and the promise on AWS; on the
//! others the backend does not rely, so that no check is left out for them:
//!
//! - *A handle whose lease has ended deletes a message that was received again*
//!   (V6).
//! - *Changing a lease that has ended says that it was done* (V9).
//! - *The end of a lease is not seen while a message that was received earlier is
//!   held, and what is behind it in its group is offered meanwhile* (G4, G8).
//! - *A lease beyond 12 hours is accepted* (V10). The trait refuses it first.
//! - *`ReceiveRequestAttemptId` has no effect* (A1). It matters where an answer
//!   of SQS is lost; the message is then late by its lease.
//! - *A message that SQS moves to the dead letters keeps its deduplication id*
//!   (R5). No two messages of a queue share one while SQS remembers it.
//! - *Redriving to a FIFO queue by `StartMessageMoveTask` moves nothing* (R8), *a
//!   queue that is not FIFO is accepted for dead letters* (R3), *a delayed
//!   message blocks its group* (G11). The backend uses neither.
//!
//! Its memory of deduplication ids (D9) is set to a minute by `cargo xtask
//! test`, instead of five, to save the time.

use std::time::Duration;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::QueueAttributeName;

use super::OpenError;
use super::SqsQueue;
use super::client;
use crate::Delivery;
use crate::Holder;
use crate::NewMessage;
use crate::Queue;
use crate::QueueError;
use crate::QueueName;
use crate::Receipt;
use crate::Receive;
use crate::Redeliver;
use crate::SqsConfig;
use crate::conformance;
use crate::conformance::Fixture;
use crate::conformance::message;
use crate::conformance::names;
use crate::conformance::outcomes;
use crate::conformance::receive;
use crate::conformance::requests;
use hoth_core::domain::Digest;

const LONG: Duration = Duration::from_secs(600);
const SHORT: Duration = Duration::from_secs(2);

/// Where the tests find SQS.
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

/// Queues of its own on SQS; those on AWS are deleted in the end.
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
        let config = SqsConfig { region, endpoint_url, prefix };
        let queue = open(&config).await.expect("the queues can be made");
        Self { server, config, queue }
    }

    /// Another host on the same queues.
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
        let place = self.queue.place(&requests()).expect("it is open");
        let shared = &self.queue.shared;
        let dead = shared.attributes(&place.dead_url, vec![QueueAttributeName::QueueArn]).await;
        let dead = dead.expect("it can be read").remove(&QueueAttributeName::QueueArn);
        let policy = serde_json::json!({"deadLetterTargetArn": dead, "maxReceiveCount": 3});
        let call = shared.client.set_queue_attributes().queue_url(&place.url);
        let call = call.attributes(QueueAttributeName::RedrivePolicy, policy.to_string());
        call.send().await.expect("it can be changed");
        3
    }

    fn tells_repetitions(&self) -> bool {
        false
    }

    fn counts_within(&self) -> Duration {
        Duration::from_secs(90)
    }
}

impl Drop for Sqs {
    fn drop(&mut self) {
        match self.server {
            // It ends with the tests.
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

crate::common_suite!(Sqs::new().await);

/// G4; see above.
#[tokio::test]
async fn what_was_given_back_waits_for_what_is_held_before_it() {
    let f = Sqs::new().await;
    match f.server {
        Server::Aws => {
            conformance::what_was_given_back_waits_for_what_is_held_before_it(&f).await;
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
            assert_eq!(names(take(&f.queue, LONG).await), ["m2"], "the gap: m1 has run out");
        }
    }
}

/// V9; see above.
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
            changed.expect("the gap: this server says that it was done");
            assert_eq!(names(take(&f.queue, LONG).await), ["m1"]);
        }
    }
}

/// V6; see above.
#[tokio::test]
async fn an_ended_lease_takes_nothing_from_its_next_holder() {
    let f = Sqs::new().await;
    match f.server {
        Server::Aws => {
            conformance::an_ended_lease_takes_nothing_from_its_next_holder(&f).await;
        }
        Server::Local { .. } => {
            send(&f.queue, "m1").await;
            let ended = take(&f.queue, SHORT).await.remove(0).lease.keep();
            f.advance(SHORT + SHORT).await;
            let current = take(&f.queue, LONG).await.remove(0).lease.keep();
            let deleted = f.queue.delete(&requests(), std::slice::from_ref(&ended)).await;
            deleted.expect("the gap: this server takes the handle that has ended");
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
async fn what_one_host_leases_another_settles() {
    let f = Sqs::new().await;
    let (here, there) = (&f.queue, f.other_host().await);
    send(here, "m1").await;
    let held = take(here, LONG).await.remove(0).lease.keep();
    assert_eq!(take(&there, LONG).await.len(), 0, "one host holds it");
    for _ in 0..2 {
        there.delete(&requests(), std::slice::from_ref(&held)).await.expect("twice is once");
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

/// V3: SQS itself says that a lease has ended.
#[tokio::test]
async fn what_one_host_leased_and_lost_another_does_not_delete() {
    let f = Sqs::new().await;
    let there = f.other_host().await;
    send(&f.queue, "m1").await;
    let ended = take(&f.queue, SHORT).await.remove(0).lease.keep();
    f.advance(SHORT + SHORT).await;
    let refused = there.delete(&requests(), std::slice::from_ref(&ended)).await;
    assert!(matches!(refused, Err(QueueError::LeaseEnded)), "{refused:?}");
    assert_eq!(names(take(&there, LONG).await), ["m1"]);
}

/// The same key with other content is another job: SQS has no conflicts.
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

/// A successor counts by its key alone: a job that is run again after a crash
/// may come to other words.
#[tokio::test]
async fn a_second_outcome_of_a_job_is_dropped() {
    let f = Sqs::new().await;
    for (name, words) in [("m1", "first"), ("m2", "second")] {
        send(&f.queue, name).await;
        let held = take(&f.queue, LONG).await.remove(0).lease.keep();
        let end = NewMessage { body: words.to_owned(), ..message("g", "end") };
        f.queue.settle(&requests(), &held, &outcomes(), end).await.expect("held");
    }
    let got = f.queue.receive(&outcomes(), receive(10, LONG)).await.expect("it can be received");
    assert_eq!(names(got), ["first"]);
}

#[tokio::test]
async fn texts_that_sqs_refuses_arrive_as_they_were() {
    let f = Sqs::new().await;
    let body = "{\"a\":\"\u{ffff}\",\"b\":\"\u{1}\"}".to_owned();
    let key = "\u{0}key ü".to_owned();
    let sent = NewMessage { body: body.clone(), key: key.clone(), ..message("g", "m1") };
    f.queue.send(&requests(), sent).await.expect("it can be sent");
    let got = take(&f.queue, LONG).await.remove(0);
    assert_eq!((&got.message.body, &got.message.key), (&body, &key));
    let (message, held) = (got.message, got.lease.keep());
    f.queue.bury(&requests(), &held, &message, "grün", None).await.expect("held");
    let letter =
        f.queue.dead_letters(&requests(), None, 10).await.expect("it can be read").remove(0);
    assert_eq!((letter.body, letter.key, letter.reason.as_str()), (body, key, "grün"));
    assert_eq!((letter.group.as_str(), letter.receive_count), ("g", 1));
    assert_eq!(letter.sent_at, message.sent_at);
}

#[tokio::test]
async fn more_dead_letters_of_a_group_are_seen_than_one_receive_brings() {
    let f = Sqs::new().await;
    let sent: Vec<String> = (0..23).map(|n| format!("m{n:02}")).collect();
    for name in &sent {
        send(&f.queue, name).await;
        let got = take(&f.queue, LONG).await.remove(0);
        let (message, held) = (got.message, got.lease.keep());
        f.queue.bury(&requests(), &held, &message, "bad", None).await.expect("held");
    }
    let mut listed = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let page = f.queue.dead_letters(&requests(), after.as_deref(), 10).await;
        let page = page.expect("it can be read");
        let Some(last) = page.last() else { break };
        after = Some(last.id.clone());
        listed.extend(page.into_iter().map(|letter| letter.body));
    }
    assert_eq!(listed, sent);
}

#[tokio::test]
async fn what_sqs_does_not_offer_is_said() {
    let f = Sqs::new().await;
    let redelivered = f.queue.redeliver(&outcomes(), Redeliver::Keys(Vec::new())).await;
    assert!(matches!(redelivered, Err(QueueError::NotOffered(_))), "{redelivered:?}");
    let blocked = f.queue.blocked(&requests()).await;
    assert!(matches!(blocked, Err(QueueError::NotOffered(_))), "{blocked:?}");
}

#[tokio::test]
async fn a_queue_that_differs_is_refused_when_a_host_starts() {
    let f = Sqs::new().await;
    let place = f.queue.place(&requests()).expect("it is open");
    let client: &Client = &f.queue.shared.client;
    let call = client.set_queue_attributes().queue_url(&place.url);
    let call = call.attributes(QueueAttributeName::MessageRetentionPeriod, "345600");
    call.send().await.expect("it can be changed");
    let refused = open(&f.config).await.expect_err("it differs").to_string();
    assert!(refused.contains("MessageRetentionPeriod is 345600 and must be 1209600"), "{refused}");
}

/// A port that is bound and does not listen: what an outage looks like.
#[tokio::test]
async fn an_sqs_that_is_down_is_unreachable_and_not_more() {
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
