//! Statements about taking one message, on backends that can.

use std::time::Duration;

use super::fixture::Fixture;
use super::fixture::LONG;
use super::fixture::SHORT;
use super::fixture::assert_counts;
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
use crate::contract::Receive;
use crate::contract::Take;
use crate::error::QueueError;
use crate::lease::Delivery;
use crate::limits::LEASE_MAX;
use crate::limits::WAIT_MAX;
use crate::message::NewMessage;
use crate::state::MessageId;
use crate::state::MessageState;

/// Returns the id of a message. Returns `None` if the backend cannot look into
/// its queues; it then refuses to take messages as well.
async fn id_of(f: &impl Fixture, name: &str) -> Option<MessageId> {
    match f.queue().locate(requests().kind, name, None).await {
        Ok(found) => Some(found.message.expect("it is there").id),
        Err(QueueError::NotOffered(_)) => {
            let refused = f.queue().take(&requests(), &MessageId::new("1"), LONG).await;
            assert!(matches!(refused, Err(QueueError::NotOffered(_))), "{refused:?}");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

async fn take_one(f: &impl Fixture, id: &MessageId, lease: Duration) -> Take {
    f.queue().take(&requests(), id, lease).await.expect("it can be asked for")
}

#[track_caller]
fn taken(taken: Take) -> Delivery {
    match taken {
        Take::Taken(delivery) => delivery,
        Take::InHand { .. } | Take::NotFound => panic!("{taken:?}"),
    }
}

/// A message is taken wherever it is in its group. Those before it are
/// available, and those behind it when it is gone.
pub async fn a_message_is_taken_from_the_middle_of_its_group(f: &impl Fixture) {
    send_all(f, "g", &["m1", "m2", "m3"]).await;
    let Some(id) = id_of(f, "m2").await else { return };
    let held = taken(take_one(f, &id, LONG).await);
    assert_eq!((held.message.body.as_str(), held.message.receive_count), ("m2", 1));
    assert_counts(f, |stats| (stats.depth, stats.in_flight) == (2, 1)).await;
    assert_eq!(take_names(f, 10).await, ["m1"], "m2 is in flight");
    let (held, outcome) = (held.lease.keep(), message("g", "outcome"));
    f.queue().settle(&requests(), &held, &outcomes(), outcome).await.expect("held");
    assert_eq!(take_names(f, 10).await, [""; 0], "m1 is in flight");
    let outcome = f.queue().receive(&outcomes(), receive(10, LONG)).await;
    assert_eq!(names(outcome.expect("it can be received")), ["outcome"]);
    let first = f.queue().locate(requests().kind, "m1", None).await.expect("it answers");
    let state = first.message.expect("it is there").state;
    assert!(matches!(state, MessageState::LeasedToWorker { .. }), "{state:?}");
    f.advance(LONG + SHORT).await;
    assert_eq!(take_names(f, 10).await, ["m1", "m3"]);
}

/// The second message of a group is not available before the first one, which
/// was taken, is settled. Then a waiting receive gets it at once.
pub async fn a_taken_head_blocks_its_group_until_it_is_settled(f: &impl Fixture) {
    send_all(f, "g", &["m1", "m2"]).await;
    let Some(id) = id_of(f, "m1").await else { return };
    let held = taken(take_one(f, &id, LONG).await).lease.keep();
    assert_eq!(take_names(f, 10).await, [""; 0]);
    let (queue, to) = (requests(), outcomes());
    let wait = Receive { wait: WAIT_MAX, ..receive(1, LONG) };
    let settle = f.queue().settle(&queue, &held, &to, message("g", "outcome"));
    let (woken, settled) = tokio::join!(f.queue().receive(&queue, wait), settle);
    settled.expect("held");
    assert_eq!(names(woken.expect("it can be received")), ["m2"]);
}

/// A message is taken before it is due. Giving it back makes it due, and counts
/// no receive.
pub async fn a_message_that_was_taken_before_it_is_due_can_be_made_due(f: &impl Fixture) {
    let sent = f.queue().send(&requests(), message("clock", "now")).await;
    sent.expect("it can be sent");
    let Some(id) = id_of(f, "now").await else { return };
    let now = taken(take_one(f, &id, LONG).await).message.sent_at;
    let not_before = Some(now + LONG);
    let later = NewMessage { not_before, ..message("g", "later") };
    f.queue().send(&requests(), later).await.expect("it can be sent");
    assert_eq!(take_names(f, 1).await, ["now"], "the other one is not due");
    let id = id_of(f, "later").await.expect("it can be located");
    let held = taken(take_one(f, &id, LONG).await).lease.keep();
    give_back(f, &[held], Duration::ZERO).await.expect("held");
    let got = take(f, 1, LONG).await.remove(0);
    assert_eq!((got.message.body.as_str(), got.message.receive_count), ("later", 1));
}

/// A message that is leased is not taken, until its lease ends.
pub async fn a_message_in_hand_is_not_taken(f: &impl Fixture) {
    send_all(f, "g", &["m1"]).await;
    let Some(id) = id_of(f, "m1").await else { return };
    let held = receipts(take(f, 1, SHORT).await).remove(0);
    let refused = take_one(f, &id, LONG).await;
    assert!(matches!(refused, Take::InHand { .. }), "{refused:?}");
    f.advance(SHORT + SHORT).await;
    let taken = taken(take_one(f, &id, LONG).await);
    assert_eq!(taken.message.receive_count, 2);
    super::fixture::assert_ended(delete(f, &held).await);
    let refused = take_one(f, &id, LONG).await;
    assert!(matches!(refused, Take::InHand { .. }), "{refused:?}");
}

/// A message that has left its queue is not taken, and a take has the bounds of
/// a receive.
pub async fn a_message_that_is_gone_is_not_taken(f: &impl Fixture) {
    send_all(f, "g", &["m1"]).await;
    let Some(id) = id_of(f, "m1").await else { return };
    let elsewhere = f.queue().take(&outcomes(), &id, LONG).await.expect("it can be asked for");
    assert!(matches!(elsewhere, Take::NotFound), "{elsewhere:?}");
    for (id, lease) in [
        (id.clone(), Duration::ZERO),
        (id.clone(), LEASE_MAX + Duration::from_secs(1)),
        (MessageId::new("garbage"), LONG),
    ] {
        let refused = f.queue().take(&requests(), &id, lease).await;
        assert!(matches!(refused, Err(QueueError::Refused(_))), "{refused:?}");
    }
    let held = receipts(take(f, 1, LONG).await).remove(0);
    delete(f, &held).await.expect("held");
    let gone = take_one(f, &id, LONG).await;
    assert!(matches!(gone, Take::NotFound), "{gone:?}");
}

/// A taken message that is dropped, with or without the caller, is available
/// again, and no receive counts.
pub async fn a_taken_message_that_is_dropped_is_available_again(f: &impl Fixture) {
    send_all(f, "g", &["m1", "m2"]).await;
    let Some(id) = id_of(f, "m1").await else { return };
    drop(taken(take_one(f, &id, LONG).await));
    let queue = requests();
    let wait = Receive { wait: WAIT_MAX, ..receive(2, LONG) };
    for _ in 0..40 {
        let got = f.queue().receive(&queue, wait).await.expect("it can be received");
        let received = got.iter().map(|one| (one.message.body.as_str(), one.message.receive_count));
        assert_eq!(received.collect::<Vec<_>>(), [("m1", 1), ("m2", 1)]);
        give_back(f, &receipts(got), Duration::ZERO).await.expect("held");
        // The first poll sends the request, and then nothing waits for it.
        let mut taking = Box::pin(f.queue().take(&queue, &id, LONG));
        drop(futures_util::poll!(taking.as_mut()));
        drop(taking);
    }
}
