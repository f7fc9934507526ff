//! Statements about dead letters (R) and counts (H).

use super::fixture::Fixture;
use super::fixture::LONG;
use super::fixture::assert_counts;
use super::fixture::dead_letter;
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
use crate::contract::Redrive;
use crate::limits::WAIT_MAX;
use crate::state::DeadLetterId;

/// R1, R2, R9: a message that is never settled becomes a dead letter, and frees
/// its group.
pub async fn a_message_that_is_never_settled_becomes_a_dead_letter(f: &impl Fixture) {
    send_all(f, "g", &["poison", "next"]).await;
    let queue = requests();
    let wait = Receive { wait: WAIT_MAX, ..receive(1, LONG) };
    for count in 1..=f.deliveries_max().await {
        let mut got = f.queue().receive(&queue, wait).await.expect("it can be received");
        let delivery = got.remove(0);
        delivery.lease.start();
        assert_eq!(
            (delivery.message.body.as_str(), delivery.message.receive_count),
            ("poison", count)
        );
    }
    assert_eq!(take_names(f, 1).await, ["next"]);
    assert_counts(f, |stats| stats.dead_letters == 1).await;
}

/// R2, R4: dead-lettering a message frees its group and sends the report.
pub async fn dead_lettering_sends_the_report(f: &impl Fixture) {
    send_all(f, "g", &["m1", "m2"]).await;
    let delivery = take(f, 1, LONG).await.remove(0);
    let report = Some((outcomes(), message("g", "report")));
    dead_letter(f, delivery, report).await;
    assert_eq!(take_names(f, 10).await, ["m2"]);
    let got = f.queue().receive(&outcomes(), receive(10, LONG)).await.expect("it can be received");
    assert_eq!(names(got), ["report"]);
}

/// R4, R7: dead letters can be listed, redriven and discarded, each once.
pub async fn dead_letters_are_kept_until_redriven_or_discarded(f: &impl Fixture) {
    send_all(f, "g", &["m1", "m2", "m3"]).await;
    for delivery in take(f, 3, LONG).await {
        dead_letter(f, delivery, None).await;
    }
    let listed = async |after: Option<&DeadLetterId>, max| {
        f.queue().dead_letters(&requests(), after, max).await.expect("it can be read")
    };
    let letters = listed(None, 10).await;
    let listed_letters: Vec<_> =
        letters.iter().map(|one| (&*one.key, &*one.body, &*one.reason)).collect();
    assert_eq!(listed_letters, ["m1", "m2", "m3"].map(|name| (name, name, "unreadable")));
    assert_eq!(listed(Some(&letters[0].id), 1).await[0].key, "m2");
    let found = async |ids: &[&str]| {
        let ids: Vec<DeadLetterId> = ids.iter().map(|id| DeadLetterId::new(*id)).collect();
        let found = f.queue().find_dead_letters(&requests(), &ids).await.expect("it can be read");
        found.into_iter().map(|letter| letter.body).collect::<Vec<_>>()
    };
    let [first, _, third] = [0, 1, 2].map(|at| letters[at].id.as_str());
    assert_eq!(found(&[third, "no id", first, "7"]).await, ["m1", "m3"]);
    assert_eq!(found(&[]).await, [""; 0]);
    for expected in [Redrive::Sent, Redrive::NotFound] {
        let again = message("g", "again");
        let redriven = f.queue().redrive(&requests(), &letters[1].id, again).await;
        assert_eq!(redriven.expect("it can be redriven"), expected);
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
