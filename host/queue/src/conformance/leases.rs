//! Statements about leases and receipts (V), and settling.

use std::time::Duration;

use super::fixture::CHANGED_IN_TIME;
use super::fixture::Fixture;
use super::fixture::LONG;
use super::fixture::SHORT;
use super::fixture::assert_ended;
use super::fixture::change;
use super::fixture::delete;
use super::fixture::give_back;
use super::fixture::message;
use super::fixture::names;
use super::fixture::outcomes;
use super::fixture::receipts;
use super::fixture::receive;
use super::fixture::requests;
use super::fixture::send_all;
use super::fixture::take;
use super::fixture::take_names;
use crate::error::QueueError;
use crate::lease::Receipt;
use crate::limits::DELIVERIES_MAX;

/// V2: each receive counts whose work was started.
pub async fn every_started_receive_counts(f: &impl Fixture) {
    send_all(f, "g", &["m1"]).await;
    for count in 1..=3 {
        let delivery = take(f, 1, LONG).await.remove(0);
        delivery.lease.start();
        assert_eq!(delivery.message.receive_count, count);
    }
}

/// A message that its holder cannot work on yet comes no nearer to its limit of
/// deliveries, however often it is held back.
pub async fn a_message_that_is_held_back_costs_no_delivery(f: &impl Fixture) {
    send_all(f, "g", &["m1", "m2"]).await;
    for _ in 0..=DELIVERIES_MAX {
        let held = take(f, 2, LONG).await;
        let all: Vec<Receipt> = held.iter().map(|one| one.lease.receipt().clone()).collect();
        give_back(f, &all, Duration::ZERO).await.expect("held");
        // As a worker does: a settled lease has nothing to release.
        held.into_iter().for_each(|one| drop(one.lease.keep()));
        // Dropped without a start, as by a consumer that stops.
        drop(take(f, 2, LONG).await);
    }
    for delivery in take(f, 2, LONG).await {
        assert_eq!(delivery.message.receive_count, 1, "{}", delivery.message.body);
    }
}

/// V10: a message that was given back for later is hidden until then. Its group
/// waits, and the receive does not count.
pub async fn a_message_that_is_given_back_for_later_is_hidden_until_then(f: &impl Fixture) {
    send_all(f, "g", &["m1", "m2"]).await;
    let held = take(f, 1, LONG).await.remove(0).lease;
    let receipt = held.receipt().clone();
    give_back(f, &[receipt], CHANGED_IN_TIME).await.expect("held");
    drop(held.keep());
    assert_eq!(take_names(f, 10).await, [""; 0]);
    f.advance(CHANGED_IN_TIME).await;
    let got = take(f, 1, LONG).await.remove(0);
    assert_eq!((got.message.body.as_str(), got.message.receive_count), ("m1", 1));
}

/// A receive under an ended lease cannot be taken back: the message may have
/// another holder.
pub async fn an_ended_lease_gives_nothing_back(f: &impl Fixture) {
    send_all(f, "g", &["m1"]).await;
    let ended = receipts(take(f, 1, SHORT).await);
    f.advance(SHORT + SHORT).await;
    assert_ended(give_back(f, &ended, Duration::ZERO).await);
    let got = take(f, 1, LONG).await.remove(0);
    assert_eq!(got.message.receive_count, 2);
}

/// V3: a lease that has run out deletes nothing.
pub async fn an_ended_lease_deletes_nothing(f: &impl Fixture) {
    send_all(f, "g", &["m1"]).await;
    let ended = receipts(take(f, 1, SHORT).await).remove(0);
    f.advance(SHORT + SHORT).await;
    assert_ended(delete(f, &ended).await);
    assert_eq!(take_names(f, 1).await, ["m1"]);
}

/// V9: a lease that has run out is not extended.
pub async fn an_ended_lease_is_not_extended(f: &impl Fixture) {
    send_all(f, "g", &["m1"]).await;
    let ended = receipts(take(f, 1, SHORT).await).remove(0);
    f.advance(SHORT + SHORT).await;
    assert_ended(change(f, &ended, LONG).await);
    assert_eq!(take_names(f, 1).await, ["m1"]);
}

/// V6: a lease that has run out changes nothing for the next holder.
pub async fn an_ended_lease_does_not_affect_the_next_holder(f: &impl Fixture) {
    send_all(f, "g", &["m1"]).await;
    let ended = receipts(take(f, 1, SHORT).await).remove(0);
    f.advance(SHORT + SHORT).await;
    let current = receipts(take(f, 1, LONG).await).remove(0);
    assert_ended(delete(f, &ended).await);
    assert_ended(change(f, &ended, LONG).await);
    delete(f, &current).await.expect("held");
}

/// V4, V10: an extended lease holds beyond its first end, counted from now.
pub async fn an_extended_lease_holds(f: &impl Fixture) {
    send_all(f, "g", &["m1"]).await;
    let held = receipts(take(f, 1, CHANGED_IN_TIME).await).remove(0);
    change(f, &held, LONG).await.expect("held");
    f.advance(CHANGED_IN_TIME + SHORT).await;
    assert_eq!(take_names(f, 1).await, [""; 0]);
    delete(f, &held).await.expect("held");
}

/// V7: deleting twice is harmless.
pub async fn deleting_twice_is_harmless(f: &impl Fixture) {
    send_all(f, "g", &["m1"]).await;
    let held = receipts(take(f, 1, LONG).await).remove(0);
    delete(f, &held).await.expect("held");
    delete(f, &held).await.expect("a repetition is harmless");
}

/// V8: a text that is not a receipt is refused.
pub async fn an_invalid_receipt_is_refused(f: &impl Fixture) {
    let refused = delete(f, &Receipt::new("garbage")).await;
    assert!(matches!(refused, Err(QueueError::Refused(_))), "{refused:?}");
}

/// Settling replaces a message by its successor. Under an ended lease it sends
/// nothing.
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
