//! Statements about groups and order (G), and batches (B).

use std::time::Duration;

use super::fixture::CHANGED_IN_TIME;
use super::fixture::Fixture;
use super::fixture::LONG;
use super::fixture::SHORT;
use super::fixture::change;
use super::fixture::delete;
use super::fixture::names;
use super::fixture::receipts;
use super::fixture::send_all;
use super::fixture::take;
use super::fixture::take_names;
use crate::limits::BATCH_MAX;

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
    change(f, &held[1], Duration::ZERO).await.expect("held");
    assert_eq!(take_names(f, 10).await, ["m2", "m3"]);
}

/// G4, V12: changing one lease of a batch leaves the others as they are.
pub async fn leases_of_a_batch_change_one_by_one(f: &impl Fixture) {
    send_all(f, "g", &["m1", "m2", "m3"]).await;
    let held = receipts(take(f, 3, LONG).await);
    change(f, &held[0], Duration::ZERO).await.expect("held");
    assert_eq!(take_names(f, 10).await, ["m1"], "m2 is in flight");
}

/// G4: a released message is offered only after, and together with, the held
/// messages before it.
pub async fn a_released_message_waits_for_held_messages_before_it(f: &impl Fixture) {
    send_all(f, "g", &["m1", "m2", "m3"]).await;
    let held = receipts(take(f, 3, LONG).await);
    change(f, &held[0], Duration::ZERO).await.expect("held");
    assert_eq!(names(take(f, 10, SHORT).await), ["m1"], "m2 is in flight");
    change(f, &held[1], Duration::ZERO).await.expect("held");
    f.advance(SHORT + SHORT).await;
    assert_eq!(take_names(f, 10).await, ["m1", "m2"], "m3 is in flight");
}

/// G4: a message whose lease ran out stays hidden behind a held message.
pub async fn an_expired_message_behind_a_held_message_stays_hidden(f: &impl Fixture) {
    send_all(f, "g", &["m1", "m2", "m3"]).await;
    let held = receipts(take(f, 3, CHANGED_IN_TIME).await);
    change(f, &held[0], LONG).await.expect("held");
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

/// G8: messages whose leases ran out come back in the same order, before later
/// ones.
pub async fn expired_messages_come_back_in_order(f: &impl Fixture) {
    send_all(f, "g", &["m1", "m2"]).await;
    let _expired = receipts(take(f, 2, SHORT).await);
    send_all(f, "g", &["m3"]).await;
    f.advance(SHORT + SHORT).await;
    assert_eq!(take_names(f, 10).await, ["m1", "m2", "m3"]);
}

/// Dropped deliveries release their messages, in order.
pub async fn dropped_deliveries_come_back_in_order(f: &impl Fixture) {
    send_all(f, "g", &["m1", "m2", "m3"]).await;
    drop(take(f, 3, LONG).await);
    assert_eq!(take_names(f, 10).await, ["m1", "m2", "m3"]);
}
