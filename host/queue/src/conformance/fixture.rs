//! The backend under test, and the acts that the checks are made of.

use std::time::Duration;

use hoth_core::domain::Digest;
use hoth_core::domain::JobKind;

use crate::contract::Holder;
use crate::contract::Queue;
use crate::contract::Receive;
use crate::contract::Sent;
use crate::error::QueueError;
use crate::lease::Delivery;
use crate::lease::Receipt;
use crate::message::Dedup;
use crate::message::DedupKey;
use crate::message::GroupId;
use crate::message::NewMessage;
use crate::name::QueueName;
use crate::state::QueueStats;

/// A backend under test: empty queues, and a clock that can be moved.
pub trait Fixture: Sync {
    /// Returns the backend.
    fn queue(&self) -> &dyn Queue;

    /// Moves the clock by this time, or waits for as long.
    fn advance(&self, by: Duration) -> impl Future<Output = ()> + Send;

    /// Returns the time for which a deduplication key is remembered.
    fn dedup_window(&self) -> Duration;

    /// Returns the number of deliveries after which a request becomes a dead
    /// letter. A fixture may lower the limit of its queue first, to save time.
    fn deliveries_max(&self) -> impl Future<Output = u32> + Send {
        let limit = requests().deliveries_max();
        std::future::ready(limit.expect("requests have a limit"))
    }

    /// Returns true if a send reports a repetition.
    fn reports_repetitions(&self) -> bool {
        true
    }

    /// Returns the time that counts may take to be correct.
    fn counts_within(&self) -> Duration {
        Duration::ZERO
    }
}

/// A lease that a check lets run out.
pub const SHORT: Duration = Duration::from_secs(2);

/// A lease that a check changes before it runs out, even on a backend with a
/// real clock, a slow server and a slow machine.
pub const CHANGED_IN_TIME: Duration = Duration::from_secs(15);

/// A lease that outlasts every check.
pub const LONG: Duration = Duration::from_secs(600);

/// Names the queue of requests that the checks use.
pub fn requests() -> QueueName {
    QueueName::requests(JobKind::Provisioning, &"CSP_A".parse().expect("a valid name"))
}

/// Names the queue of outcomes that the checks use.
pub fn outcomes() -> QueueName {
    QueueName::outcomes(JobKind::Provisioning)
}

/// Makes a message of `group` whose body, key and deduplication key are `name`.
pub fn message(group: &str, name: &str) -> NewMessage {
    NewMessage {
        group: GroupId::new(group).expect("a valid group"),
        dedup: Dedup { key: dedup_key(name), content: Digest::of(name.as_bytes()) },
        key: name.to_owned(),
        body: name.to_owned(),
        not_before: None,
    }
}

pub fn dedup_key(text: &str) -> DedupKey {
    DedupKey::new(text).expect("a valid key")
}

/// Makes the parameters of a receive that does not wait.
pub fn receive(max: usize, lease: Duration) -> Receive {
    Receive { max, wait: Duration::ZERO, lease, holder: Holder::Process }
}

pub async fn send_all(f: &impl Fixture, group: &str, names: &[&str]) {
    for name in names {
        let sent = f.queue().send(&requests(), message(group, name)).await;
        assert_eq!(sent.expect("it can be sent"), Sent::Queued);
    }
}

pub async fn take(f: &impl Fixture, max: usize, lease: Duration) -> Vec<Delivery> {
    f.queue().receive(&requests(), receive(max, lease)).await.expect("it can be received")
}

pub async fn take_names(f: &impl Fixture, max: usize) -> Vec<String> {
    names(take(f, max, LONG).await)
}

/// Returns the bodies, and leaves the messages leased.
pub fn names(deliveries: Vec<Delivery>) -> Vec<String> {
    deliveries
        .into_iter()
        .map(|delivery| {
            delivery.lease.keep();
            delivery.message.body
        })
        .collect()
}

/// Returns the receipts, and leaves the messages leased.
pub fn receipts(deliveries: Vec<Delivery>) -> Vec<Receipt> {
    deliveries.into_iter().map(|delivery| delivery.lease.keep()).collect()
}

pub async fn delete(f: &impl Fixture, receipt: &Receipt) -> Result<(), QueueError> {
    f.queue().delete(&requests(), std::slice::from_ref(receipt)).await
}

/// Makes a lease end `after` from now.
pub async fn change(
    f: &impl Fixture,
    receipt: &Receipt,
    after: Duration,
) -> Result<(), QueueError> {
    f.queue().change_lease(&requests(), std::slice::from_ref(receipt), after).await
}

/// Gives messages back, hidden for `after`.
pub async fn give_back(
    f: &impl Fixture,
    receipts: &[Receipt],
    after: Duration,
) -> Result<(), QueueError> {
    f.queue().give_back(&requests(), receipts, after).await
}

pub async fn dead_letter(
    f: &impl Fixture,
    delivery: Delivery,
    report: Option<(QueueName, NewMessage)>,
) {
    let (message, held) = (delivery.message, delivery.lease.keep());
    let done = f.queue().dead_letter(&requests(), &held, &message, "unreadable", report).await;
    done.expect("held");
}

/// Waits for counts that satisfy `right`, as long as the backend may take.
pub async fn assert_counts(f: &impl Fixture, right: impl Fn(&QueueStats) -> bool) {
    let started = std::time::Instant::now();
    loop {
        let stats = f.queue().stats(&requests()).await.expect("it can be read");
        if right(&stats) {
            return;
        }
        assert!(started.elapsed() < f.counts_within(), "{stats:?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Sends a message again, and checks the result.
pub async fn repeat(f: &impl Fixture, repetition: NewMessage) {
    let sent = f.queue().send(&requests(), repetition).await.expect("it can be sent");
    if f.reports_repetitions() {
        assert_eq!(sent, Sent::Duplicate);
    }
}

#[track_caller]
pub fn assert_ended(result: Result<(), QueueError>) {
    assert!(matches!(result, Err(QueueError::LeaseEnded)), "{result:?}");
}
