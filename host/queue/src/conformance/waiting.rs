//! Statements about waiting receives (P), and the bounds of receives.

use std::time::Duration;

use super::fixture::Fixture;
use super::fixture::LONG;
use super::fixture::delete;
use super::fixture::names;
use super::fixture::receipts;
use super::fixture::receive;
use super::fixture::requests;
use super::fixture::send_all;
use super::fixture::take;
use crate::contract::Receive;
use crate::error::QueueError;
use crate::limits::LEASE_MAX;
use crate::limits::WAIT_MAX;

/// G6, P2: deleting the message that blocks a group wakes a waiting receive.
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

/// P2: a send wakes a waiting receive.
pub async fn a_send_wakes_a_waiting_receive(f: &impl Fixture) {
    let queue = requests();
    let wait = Receive { wait: WAIT_MAX, ..receive(1, LONG) };
    let (woken, ()) = tokio::join!(f.queue().receive(&queue, wait), send_all(f, "g", &["m1"]));
    assert_eq!(names(woken.expect("it can be received")), ["m1"]);
}

/// B3, P1, V10: receives and leases have bounds.
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

/// P3: a receive from an empty queue returns nothing, after the wait.
pub async fn a_receive_from_an_empty_queue_waits_and_returns_nothing(f: &impl Fixture) {
    let wait = Receive { wait: Duration::from_secs(1), ..receive(10, LONG) };
    let started = std::time::Instant::now();
    let nothing = f.queue().receive(&requests(), wait).await.expect("it can be received");
    assert!(nothing.is_empty());
    assert!(started.elapsed() >= Duration::from_millis(900), "{:?}", started.elapsed());
}

/// P3: a receive that is dropped leaves no lease behind and does not count, at
/// whatever time it is dropped.
pub async fn a_dropped_receive_leaves_no_lease(f: &impl Fixture) {
    let queue = requests();
    let wait = Receive { wait: WAIT_MAX, ..receive(1, LONG) };
    for round in 0..40 {
        let name = format!("m{round}");
        let mut waiting = Box::pin(f.queue().receive(&queue, wait));
        // The first poll sends the request. Then the message arrives while the
        // future is not polled.
        let early = futures_util::poll!(waiting.as_mut());
        assert!(early.is_pending());
        send_all(f, "g", &[&name]).await;
        if round % 2 == 0 {
            tokio::task::yield_now().await;
        }
        drop(waiting);
        let got = f.queue().receive(&queue, wait).await.expect("it can be received");
        assert_eq!((&got[0].message.body, got[0].message.receive_count), (&name, 1));
        delete(f, got[0].lease.receipt()).await.expect("held");
    }
}
