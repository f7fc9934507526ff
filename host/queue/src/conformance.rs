//! The suite that every backend passes.
//!
//! Each check is one statement about SQS FIFO queues that HOTH relies on, told
//! through the trait alone. A backend gives a [`Fixture`] and lists the checks
//! it runs with [`suite`].
//!
//! The marks name the statements: **G** groups and order, **V** leases and
//! receipts (SQS: visibility and handles), **D** deduplication, **B** batches,
//! **P** waiting, **S** sizes, **R** dead letters, **H** counts. Not binding,
//! because the trait has no such act or the host never sees it: sequence
//! numbers, standard queues (V5), content-based deduplication (D4, D5, D7, D8),
//! purging (D10, H2), attempt ids (A1), SQS's own redrive (R8) and the texts of
//! SQS's errors. What only one backend promises is tested beside it: leases
//! over a restart (V14), memory over a restart (D12), no starvation behind a
//! blocked group (G13).

use std::time::Duration;

use super::BATCH_MAX;
use super::Dedup;
use super::Delivery;
use super::Holder;
use super::LEASE_MAX;
use super::NewMessage;
use super::Queue;
use super::QueueError;
use super::QueueName;
use super::QueueStats;
use super::Receipt;
use super::Receive;
use super::Sent;
use super::WAIT_MAX;
use hoth_core::domain::Digest;
use hoth_core::domain::JobKind;
use hoth_core::domain::MESSAGE_BYTES_MAX;

/// A backend under test, empty, with a clock that can be moved.
pub trait Fixture: Sync {
    fn queue(&self) -> &dyn Queue;

    /// Lets `by` pass.
    fn advance(&self, by: Duration) -> impl Future<Output = ()> + Send;

    /// For how long a deduplication key is remembered.
    fn dedup_window(&self) -> Duration;

    /// How often a request is delivered before it dies; a backend may have its
    /// queue set to less for a test, to save the time.
    fn deliveries_max(&self) -> impl Future<Output = u32> + Send {
        let limit = requests().deliveries_max();
        std::future::ready(limit.expect("requests have a limit"))
    }

    /// Whether a send says that it was a repetition.
    fn tells_repetitions(&self) -> bool {
        true
    }

    /// How long counts may take to be right.
    fn counts_within(&self) -> Duration {
        Duration::ZERO
    }
}

/// How long a lease is that a test lets run out.
const SHORT: Duration = Duration::from_secs(2);

/// A lease that a test changes before it expires, also on a backend with a real
/// clock, a slow server and a slow machine.
const CHANGED_IN_TIME: Duration = Duration::from_secs(15);

/// A lease that no test outlives.
const LONG: Duration = Duration::from_secs(600);

pub fn requests() -> QueueName {
    QueueName::requests(JobKind::Provisioning, &"CSP_A".parse().expect("a valid name"))
}

pub fn outcomes() -> QueueName {
    QueueName::outcomes(JobKind::Provisioning)
}

/// A message of `group` whose body, key and deduplication key are `name`.
pub fn message(group: &str, name: &str) -> NewMessage {
    NewMessage {
        group: group.to_owned(),
        dedup: Dedup { key: name.to_owned(), content: Digest::of(name.as_bytes()) },
        key: name.to_owned(),
        body: name.to_owned(),
        not_before: None,
    }
}

pub fn receive(max: usize, lease: Duration) -> Receive {
    Receive { max, wait: Duration::ZERO, lease, holder: Holder::Process }
}

async fn send_all(f: &impl Fixture, group: &str, names: &[&str]) {
    for name in names {
        let sent = f.queue().send(&requests(), message(group, name)).await;
        assert_eq!(sent.expect("it can be sent"), Sent::Queued);
    }
}

async fn take(f: &impl Fixture, max: usize, lease: Duration) -> Vec<Delivery> {
    f.queue().receive(&requests(), receive(max, lease)).await.expect("it can be received")
}

async fn take_names(f: &impl Fixture, max: usize) -> Vec<String> {
    names(take(f, max, LONG).await)
}

/// The bodies, leaving the messages leased.
pub fn names(deliveries: Vec<Delivery>) -> Vec<String> {
    deliveries
        .into_iter()
        .map(|delivery| {
            delivery.lease.keep();
            delivery.message.body
        })
        .collect()
}

/// The receipts, leaving the messages leased.
fn receipts(deliveries: Vec<Delivery>) -> Vec<Receipt> {
    deliveries.into_iter().map(|delivery| delivery.lease.keep()).collect()
}

async fn delete(f: &impl Fixture, receipt: &Receipt) -> Result<(), QueueError> {
    f.queue().delete(&requests(), std::slice::from_ref(receipt)).await
}

async fn hide(f: &impl Fixture, receipt: &Receipt, after: Duration) -> Result<(), QueueError> {
    f.queue().change_lease(&requests(), std::slice::from_ref(receipt), after).await
}

async fn bury(f: &impl Fixture, delivery: Delivery, report: Option<(QueueName, NewMessage)>) {
    let (message, held) = (delivery.message, delivery.lease.keep());
    let buried = f.queue().bury(&requests(), &held, &message, "unreadable", report).await;
    buried.expect("held");
}

/// Waits, as long as the backend may take, for counts of which `right` holds.
async fn assert_counts(f: &impl Fixture, right: impl Fn(&QueueStats) -> bool) {
    let begun = std::time::Instant::now();
    loop {
        let stats = f.queue().stats(&requests()).await.expect("it can be read");
        if right(&stats) {
            return;
        }
        assert!(begun.elapsed() < f.counts_within(), "{stats:?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Sends again what was sent before: nothing is queued.
async fn repeat(f: &impl Fixture, repetition: NewMessage) {
    let sent = f.queue().send(&requests(), repetition).await.expect("it can be sent");
    if f.tells_repetitions() {
        assert_eq!(sent, Sent::Duplicate);
    }
}

#[track_caller]
fn assert_ended(result: Result<(), QueueError>) {
    assert!(matches!(result, Err(QueueError::LeaseEnded)), "{result:?}");
}

/// G2, G3: a group keeps the order of sending, and a batch is filled from one
/// group before the next.
pub async fn a_batch_is_filled_from_one_group_first(f: &impl Fixture) {
    send_all(f, "g1", &["g1-m1"]).await;
    send_all(f, "g2", &["g2-m1"]).await;
    send_all(f, "g1", &["g1-m2", "g1-m3"]).await;
    assert_eq!(take_names(f, BATCH_MAX).await, ["g1-m1", "g1-m2", "g1-m3", "g2-m1"]);
}

/// G4: a group offers its messages up to the first one in flight.
pub async fn a_group_offers_its_messages_up_to_the_first_in_flight(f: &impl Fixture) {
    send_all(f, "g", &["m1", "m2", "m3"]).await;
    let held = receipts(take(f, 2, LONG).await);
    assert_eq!(take_names(f, 10).await, [""; 0], "the head is in flight");
    delete(f, &held[0]).await.expect("held");
    assert_eq!(take_names(f, 10).await, [""; 0], "m2 is in flight");
    hide(f, &held[1], Duration::ZERO).await.expect("held");
    assert_eq!(take_names(f, 10).await, ["m2", "m3"]);
}

/// G4, V12: changing one lease of a batch leaves the others as they are.
pub async fn leases_of_a_batch_change_one_by_one(f: &impl Fixture) {
    send_all(f, "g", &["m1", "m2", "m3"]).await;
    let held = receipts(take(f, 3, LONG).await);
    hide(f, &held[0], Duration::ZERO).await.expect("held");
    assert_eq!(take_names(f, 10).await, ["m1"], "m2 is in flight");
}

/// G4: what was given back waits for what is held before it, and comes with it.
pub async fn what_was_given_back_waits_for_what_is_held_before_it(f: &impl Fixture) {
    send_all(f, "g", &["m1", "m2", "m3"]).await;
    let held = receipts(take(f, 3, LONG).await);
    hide(f, &held[0], Duration::ZERO).await.expect("held");
    assert_eq!(names(take(f, 10, SHORT).await), ["m1"], "m2 is in flight");
    hide(f, &held[1], Duration::ZERO).await.expect("held");
    f.advance(SHORT + SHORT).await;
    assert_eq!(take_names(f, 10).await, ["m1", "m2"], "m3 is in flight");
}

/// G4: what has run out behind a message that is still held stays hidden.
pub async fn what_ran_out_behind_a_held_message_stays_hidden(f: &impl Fixture) {
    send_all(f, "g", &["m1", "m2", "m3"]).await;
    let held = receipts(take(f, 3, CHANGED_IN_TIME).await);
    hide(f, &held[0], LONG).await.expect("held");
    f.advance(CHANGED_IN_TIME + SHORT).await;
    assert_eq!(take_names(f, 10).await, [""; 0]);
}

/// G5, G7: a send into a blocked group frees nothing, and other groups pass.
pub async fn a_blocked_group_blocks_only_itself(f: &impl Fixture) {
    send_all(f, "g1", &["m1"]).await;
    let _held = receipts(take(f, 1, LONG).await);
    send_all(f, "g1", &["m2"]).await;
    assert_eq!(take_names(f, 10).await, [""; 0]);
    send_all(f, "g2", &["n1"]).await;
    assert_eq!(take_names(f, 10).await, ["n1"]);
}

/// G6, P2: deleting the message that blocks a group wakes who waits for it.
pub async fn a_delete_that_frees_a_group_wakes_a_waiting_receive(f: &impl Fixture) {
    send_all(f, "g", &["m1", "m2"]).await;
    let held = receipts(take(f, 1, LONG).await);
    let queue = requests();
    let wait = Receive { wait: WAIT_MAX, ..receive(1, LONG) };
    let (woken, deleted) =
        tokio::join!(f.queue().receive(&queue, wait), async { delete(f, &held[0]).await });
    deleted.expect("held");
    assert_eq!(names(woken.expect("it can be received")), ["m2"]);
}

/// P2: a send wakes who waits.
pub async fn a_send_wakes_a_waiting_receive(f: &impl Fixture) {
    let queue = requests();
    let wait = Receive { wait: WAIT_MAX, ..receive(1, LONG) };
    let (woken, ()) = tokio::join!(f.queue().receive(&queue, wait), send_all(f, "g", &["m1"]));
    assert_eq!(names(woken.expect("it can be received")), ["m1"]);
}

/// G8: what ran out comes back in the same order, before what came later.
pub async fn what_ran_out_comes_back_in_order(f: &impl Fixture) {
    send_all(f, "g", &["m1", "m2"]).await;
    let _ran_out = receipts(take(f, 2, SHORT).await);
    send_all(f, "g", &["m3"]).await;
    f.advance(SHORT + SHORT).await;
    assert_eq!(take_names(f, 10).await, ["m1", "m2", "m3"]);
}

/// Dropping a delivery gives its message back, in order.
pub async fn dropped_deliveries_come_back_in_order(f: &impl Fixture) {
    send_all(f, "g", &["m1", "m2", "m3"]).await;
    drop(take(f, 3, LONG).await);
    assert_eq!(take_names(f, 10).await, ["m1", "m2", "m3"]);
}

/// V2: each receive counts.
pub async fn every_receive_counts(f: &impl Fixture) {
    send_all(f, "g", &["m1"]).await;
    for count in 1..=3 {
        let delivery = take(f, 1, LONG).await.remove(0);
        assert_eq!(delivery.message.receive_count, count);
    }
}

/// V3: a lease that has run out deletes nothing.
pub async fn an_ended_lease_deletes_nothing(f: &impl Fixture) {
    send_all(f, "g", &["m1"]).await;
    let ended = receipts(take(f, 1, SHORT).await).remove(0);
    f.advance(SHORT + SHORT).await;
    assert_ended(delete(f, &ended).await);
    assert_eq!(take_names(f, 1).await, ["m1"]);
}

/// V9: nor is it extended.
pub async fn an_ended_lease_is_not_extended(f: &impl Fixture) {
    send_all(f, "g", &["m1"]).await;
    let ended = receipts(take(f, 1, SHORT).await).remove(0);
    f.advance(SHORT + SHORT).await;
    assert_ended(hide(f, &ended, LONG).await);
    assert_eq!(take_names(f, 1).await, ["m1"]);
}

/// V6: nor does it when somebody else has the message.
pub async fn an_ended_lease_takes_nothing_from_its_next_holder(f: &impl Fixture) {
    send_all(f, "g", &["m1"]).await;
    let ended = receipts(take(f, 1, SHORT).await).remove(0);
    f.advance(SHORT + SHORT).await;
    let current = receipts(take(f, 1, LONG).await).remove(0);
    assert_ended(delete(f, &ended).await);
    assert_ended(hide(f, &ended, LONG).await);
    delete(f, &current).await.expect("held");
}

/// V4, V10: an extended lease holds beyond its first end, counted from now.
pub async fn an_extended_lease_holds(f: &impl Fixture) {
    send_all(f, "g", &["m1"]).await;
    let held = receipts(take(f, 1, CHANGED_IN_TIME).await).remove(0);
    hide(f, &held, LONG).await.expect("held");
    f.advance(CHANGED_IN_TIME + SHORT).await;
    assert_eq!(take_names(f, 1).await, [""; 0]);
    delete(f, &held).await.expect("held");
}

/// V7: deleting twice is harmless.
pub async fn deleting_twice_is_harmless(f: &impl Fixture) {
    send_all(f, "g", &["m1"]).await;
    let held = receipts(take(f, 1, LONG).await).remove(0);
    delete(f, &held).await.expect("held");
    delete(f, &held).await.expect("it is gone, as was asked");
}

/// V8: a text that is no receipt is refused.
pub async fn garbage_is_no_receipt(f: &impl Fixture) {
    let refused = delete(f, &Receipt::new("garbage")).await;
    assert!(matches!(refused, Err(QueueError::Refused(_))), "{refused:?}");
}

/// D1, D2, D3: a repetition queues nothing, also after the first was deleted,
/// and whatever its group.
pub async fn repetitions_are_recognised(f: &impl Fixture) {
    send_all(f, "g", &["m1"]).await;
    repeat(f, message("g", "m1")).await;
    let held = receipts(take(f, 10, LONG).await);
    assert_eq!(held.len(), 1);
    delete(f, &held[0]).await.expect("held");
    repeat(f, message("g", "m1")).await;
    repeat(f, message("h", "m1")).await;
    assert_eq!(take_names(f, 10).await, [""; 0]);
}

/// D6: bodies do not matter, keys do.
pub async fn equal_bodies_under_two_keys_are_two_messages(f: &impl Fixture) {
    for key in ["k1", "k2"] {
        let same = NewMessage { body: "same".to_owned(), ..message("g", key) };
        let sent = f.queue().send(&requests(), same).await;
        assert_eq!(sent.expect("it can be sent"), Sent::Queued);
    }
    assert_eq!(take_names(f, 10).await, ["same", "same"]);
}

/// D9: a key is forgotten after the window, counted from the first send.
pub async fn keys_are_forgotten_after_the_window(f: &impl Fixture) {
    let half = f.dedup_window() / 2;
    send_all(f, "g", &["m1"]).await;
    f.advance(half + Duration::from_secs(1)).await;
    repeat(f, message("g", "m1")).await;
    f.advance(half + Duration::from_secs(1)).await;
    send_all(f, "g", &["m1"]).await;
    assert_eq!(take_names(f, 10).await, ["m1", "m1"]);
}

/// D11, G12, S1: names and bodies have bounds.
pub async fn messages_have_bounds(f: &impl Fixture) {
    let long = "x".repeat(129);
    let large = "x".repeat(MESSAGE_BYTES_MAX + 1);
    let good = message("g", "m");
    for bad in [
        NewMessage { group: String::new(), ..good.clone() },
        NewMessage { group: "a b".to_owned(), ..good.clone() },
        NewMessage { group: long.clone(), ..good.clone() },
        message("g", ""),
        message("g", "a b"),
        message("g", &long),
        NewMessage { body: large, ..good.clone() },
    ] {
        let refused = f.queue().send(&requests(), bad).await;
        assert!(matches!(refused, Err(QueueError::Refused(_))), "{refused:?}");
    }
    let largest = NewMessage { body: "x".repeat(MESSAGE_BYTES_MAX), ..good };
    f.queue().send(&requests(), largest).await.expect("the largest message fits");
}

/// B3, P1, V10: so have receives and leases.
pub async fn receives_have_bounds(f: &impl Fixture) {
    let good = receive(1, LONG);
    for bad in [
        Receive { max: 0, ..good },
        Receive { max: 11, ..good },
        Receive { wait: WAIT_MAX + Duration::from_secs(1), ..good },
        Receive { lease: LEASE_MAX + Duration::from_secs(1), ..good },
    ] {
        let refused = f.queue().receive(&requests(), bad).await;
        assert!(matches!(refused, Err(QueueError::Refused(_))), "{refused:?}");
    }
}

/// P3: an empty queue answers with nothing after the wait.
pub async fn an_empty_queue_answers_with_nothing(f: &impl Fixture) {
    let wait = Receive { wait: Duration::from_secs(1), ..receive(10, LONG) };
    let begun = std::time::Instant::now();
    let nothing = f.queue().receive(&requests(), wait).await.expect("it can be received");
    assert!(nothing.is_empty());
    assert!(begun.elapsed() >= Duration::from_millis(900), "{:?}", begun.elapsed());
}

/// P3: a receive that is dropped leaves no lease behind, whenever it is
/// dropped.
pub async fn a_dropped_receive_leaves_no_lease(f: &impl Fixture) {
    let queue = requests();
    let wait = Receive { wait: WAIT_MAX, ..receive(1, LONG) };
    for round in 0..40 {
        let name = format!("m{round}");
        let mut waiting = Box::pin(f.queue().receive(&queue, wait));
        // Asked for, and then left alone while the message comes.
        let early = futures_util::poll!(waiting.as_mut());
        assert!(early.is_pending());
        send_all(f, "g", &[&name]).await;
        if round % 2 == 0 {
            tokio::task::yield_now().await;
        }
        drop(waiting);
        let got = f.queue().receive(&queue, wait).await.expect("it can be received");
        assert_eq!(got[0].message.body, name);
        delete(f, got[0].lease.receipt()).await.expect("held");
    }
}

/// R1, R2, R9: a message that never comes to an end dies, and frees its group.
pub async fn a_message_without_end_dies_and_frees_its_group(f: &impl Fixture) {
    send_all(f, "g", &["poison", "next"]).await;
    let queue = requests();
    let wait = Receive { wait: WAIT_MAX, ..receive(1, LONG) };
    for count in 1..=f.deliveries_max().await {
        let mut got = f.queue().receive(&queue, wait).await.expect("it can be received");
        let delivery = got.remove(0);
        assert_eq!(
            (delivery.message.body.as_str(), delivery.message.receive_count),
            ("poison", count)
        );
    }
    assert_eq!(take_names(f, 1).await, ["next"]);
    assert_counts(f, |stats| stats.dead_letters == 1).await;
}

/// Settling replaces a message by its successor; an ended lease sends nothing.
pub async fn settling_replaces_a_message(f: &impl Fixture) {
    send_all(f, "g", &["m1"]).await;
    let settle = async |receipt: &Receipt, name: &str| {
        f.queue().settle(&requests(), receipt, &outcomes(), message("g", name)).await
    };
    let late = take(f, 1, SHORT).await.remove(0);
    f.advance(SHORT + SHORT).await;
    assert_ended(settle(late.lease.receipt(), "too-late").await);
    late.lease.keep();
    let held = take(f, 1, LONG).await.remove(0).lease.keep();
    settle(&held, "in-time").await.expect("held");
    assert_ended(settle(&held, "twice").await);
    let got = f.queue().receive(&outcomes(), receive(10, LONG)).await.expect("it can be received");
    assert_eq!(names(got), ["in-time"]);
    assert_eq!(take_names(f, 10).await, [""; 0]);
}

/// R2, R4: burying keeps the message, with its report sent.
pub async fn burying_sends_the_report(f: &impl Fixture) {
    send_all(f, "g", &["m1", "m2"]).await;
    let delivery = take(f, 1, LONG).await.remove(0);
    let report = Some((outcomes(), message("g", "report")));
    bury(f, delivery, report).await;
    assert_eq!(take_names(f, 10).await, ["m2"]);
    let got = f.queue().receive(&outcomes(), receive(10, LONG)).await.expect("it can be received");
    assert_eq!(names(got), ["report"]);
}

/// R4, R7: dead letters can be looked at, put back and forgotten, each once.
pub async fn dead_letters_are_kept_until_somebody_decides(f: &impl Fixture) {
    send_all(f, "g", &["m1", "m2", "m3"]).await;
    for delivery in take(f, 3, LONG).await {
        bury(f, delivery, None).await;
    }
    let listed = async |after: Option<&str>, max| {
        f.queue().dead_letters(&requests(), after, max).await.expect("it can be read")
    };
    let letters = listed(None, 10).await;
    let told: Vec<_> = letters.iter().map(|one| (&*one.key, &*one.body, &*one.reason)).collect();
    assert_eq!(told, ["m1", "m2", "m3"].map(|name| (name, name, "unreadable")));
    assert_eq!(listed(Some(&letters[0].id), 1).await[0].key, "m2");
    for found in [true, false] {
        let revived = f.queue().revive(&requests(), &letters[1].id, message("g", "again")).await;
        assert_eq!(revived.expect("it can be revived"), found);
    }
    assert_eq!(take_names(f, 10).await, ["again"]);
    for count in [1, 0] {
        let ids = std::slice::from_ref(&letters[0].id);
        assert_eq!(f.queue().discard(&requests(), ids).await.expect("it can be done"), count);
    }
    assert_eq!(listed(None, 10).await.len(), 1);
}

/// H4: counts add up.
pub async fn counts_add_up(f: &impl Fixture) {
    send_all(f, "g1", &["m1", "m2", "m3"]).await;
    send_all(f, "g2", &["n1"]).await;
    let _held = receipts(take(f, 2, LONG).await);
    assert_counts(f, |s| (s.depth, s.in_flight, s.dead_letters) == (2, 2, 0)).await;
}

/// Makes one test of each check, on a fresh fixture.
#[macro_export]
macro_rules! suite {
    ($fixture:expr; $($check:ident),+ $(,)?) => {
        $(
            #[tokio::test]
            async fn $check() {
                $crate::conformance::$check(&$fixture).await;
            }
        )+
    };
}

/// Every check, for a backend that passes all of them.
#[macro_export]
macro_rules! full_suite {
    ($fixture:expr) => {
        $crate::common_suite! { $fixture }
        $crate::suite! { $fixture;
            what_was_given_back_waits_for_what_is_held_before_it,
            an_ended_lease_is_not_extended,
            an_ended_lease_takes_nothing_from_its_next_holder,
        }
    };
}

/// The checks that hold on every server that a backend is tested with.
#[macro_export]
macro_rules! common_suite {
    ($fixture:expr) => {
        $crate::suite! { $fixture;
            a_batch_is_filled_from_one_group_first,
            a_group_offers_its_messages_up_to_the_first_in_flight,
            leases_of_a_batch_change_one_by_one,
            what_ran_out_behind_a_held_message_stays_hidden,
            a_blocked_group_blocks_only_itself,
            a_delete_that_frees_a_group_wakes_a_waiting_receive,
            a_send_wakes_a_waiting_receive,
            what_ran_out_comes_back_in_order,
            dropped_deliveries_come_back_in_order,
            every_receive_counts,
            an_ended_lease_deletes_nothing,
            an_extended_lease_holds,
            deleting_twice_is_harmless,
            garbage_is_no_receipt,
            repetitions_are_recognised,
            equal_bodies_under_two_keys_are_two_messages,
            keys_are_forgotten_after_the_window,
            messages_have_bounds,
            receives_have_bounds,
            an_empty_queue_answers_with_nothing,
            a_dropped_receive_leaves_no_lease,
            a_message_without_end_dies_and_frees_its_group,
            settling_replaces_a_message,
            burying_sends_the_report,
            dead_letters_are_kept_until_somebody_decides,
            counts_add_up,
        }
    };
}
