//! Statements about deduplication (D) and sizes (S).

use std::time::Duration;

use hoth_core::domain::MESSAGE_BYTES_MAX;

use super::fixture::Fixture;
use super::fixture::LONG;
use super::fixture::delete;
use super::fixture::message;
use super::fixture::receipts;
use super::fixture::repeat;
use super::fixture::requests;
use super::fixture::send_all;
use super::fixture::take;
use super::fixture::take_names;
use crate::contract::Sent;
use crate::error::InvalidArgument;
use crate::error::QueueError;
use crate::message::DedupKey;
use crate::message::GroupId;
use crate::message::NewMessage;
use crate::state::MessageState;

/// D1, D2, D3: a repetition queues nothing, even after the first message was
/// deleted, and even in another group.
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

/// D6: keys are compared, bodies are not.
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

/// D11, G12, S1: group ids, deduplication keys and bodies have bounds, and the
/// longest ones are accepted.
pub async fn messages_have_bounds(f: &impl Fixture) {
    let (longest, too_long) = ("x".repeat(128), "x".repeat(129));
    for bad in ["", "a b", &too_long] {
        assert_eq!(GroupId::new(bad), Err(InvalidArgument::GroupId));
        assert_eq!(DedupKey::new(bad), Err(InvalidArgument::DedupKey));
    }
    let good = message(&longest, &longest);
    f.queue().send(&requests(), good.clone()).await.expect("the longest ids are accepted");
    for body in [String::new(), "x".repeat(MESSAGE_BYTES_MAX + 1)] {
        let bad = NewMessage { body, ..message("g", "bad") };
        let refused = f.queue().send(&requests(), bad).await;
        assert!(matches!(refused, Err(QueueError::Refused(_))), "{refused:?}");
    }
    let good = message("g", "m");
    let largest = NewMessage { body: "x".repeat(MESSAGE_BYTES_MAX), ..good };
    f.queue().send(&requests(), largest).await.expect("the largest message fits");
}

/// A message is located where it was sent to, by a backend that can look into
/// its queues.
pub async fn a_sent_message_is_located(f: &impl Fixture) {
    send_all(f, "g", &["m1"]).await;
    let kind = requests().kind;
    match f.queue().locate(kind, "m1", None).await {
        Ok(found) => {
            let message = found.message.expect("it is there");
            assert_eq!((message.queue, message.state), (requests(), MessageState::Ready));
            assert_eq!((message.body.as_str(), message.before), ("m1", 0));
            let none = f.queue().locate(kind, "m2", None).await.expect("it answers");
            assert!(none.message.is_none());
        }
        Err(error) => assert!(matches!(error, QueueError::NotOffered(_)), "{error}"),
    }
}
