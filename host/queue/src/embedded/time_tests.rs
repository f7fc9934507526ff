//! The time of a queue whose host was restarted.

use std::time::Duration;
use std::time::Instant;

use tempfile::TempDir;

use super::backend::EmbeddedQueue;
use super::config::Config;
use super::config::LOG_MAX_BYTES;
use super::config::OpenError;
use crate::conformance::message;
use crate::conformance::names;
use crate::conformance::receive;
use crate::conformance::requests;
use crate::contract::Holder;
use crate::contract::Queue;
use crate::contract::Receive;
use crate::message::NewMessage;
use hoth_core::domain::Timestamp;
use hoth_platform::clock::Clock;

const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn open(folder: &TempDir, clock: &Clock) -> Result<EmbeddedQueue, OpenError> {
    let config = Config {
        path: folder.path().join("queue.db"),
        redelivery_hours: 24,
        log_max_bytes: LOG_MAX_BYTES,
    };
    EmbeddedQueue::open(&config, clock.clone())
}

async fn take(queue: &EmbeddedQueue, holder: Holder) -> Vec<String> {
    let receive = Receive { holder, ..receive(10, HOUR) };
    names(queue.receive(&requests(), receive).await.expect("it can be received"))
}

async fn send(queue: &EmbeddedQueue, message: NewMessage) {
    queue.send(&requests(), message).await.expect("there is room");
}

#[tokio::test]
async fn a_clock_that_went_back_at_a_restart_hides_no_message() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let noon = Timestamp::from_millis(1_700_000_000_000);
    let clock = Clock::manual(noon);
    let queue = open(&folder, &clock).expect("a new file can be opened");
    let later = NewMessage { not_before: Some(noon + DAY), ..message("later", "later") };
    send(&queue, later).await;
    for name in ["leased", "released", "returned", "new"] {
        send(&queue, message(name, name)).await;
    }
    // An hour later, so that no message was sent at the last time of the file.
    clock.advance(HOUR);
    let client = Receive { holder: Holder::Client, ..receive(3, HOUR) };
    let mut held = queue.receive(&requests(), client).await.expect("it can be received");
    assert_eq!(names_of(&held), ["leased", "released", "returned"]);
    let returned = [held.remove(2).lease.keep()];
    queue.give_back(&requests(), &returned, HOUR).await.expect("held");
    let released = [held.remove(1).lease.keep()];
    queue.change_lease(&requests(), &released, Duration::ZERO).await.expect("held");
    held.remove(0).lease.keep();
    assert_eq!(take(&queue, Holder::Process).await, ["new", "released"]);
    queue.close().await;
    drop(queue);

    // The machine has no clock of its own, and was started without a network.
    let clock = Clock::manual(Timestamp::from_millis(0));
    let queue = open(&folder, &clock).expect("the file can be opened again");
    assert_eq!(clock.now(), noon, "the time of the newest message");
    let mut taken = take(&queue, Holder::Process).await;
    taken.sort();
    assert_eq!(taken, ["new", "released", "returned"]);
    clock.advance(DAY);
    queue.wake_waiters().await;
    let mut taken = take(&queue, Holder::Process).await;
    taken.sort();
    assert_eq!(taken, ["later", "leased", "new", "released", "returned"]);
    queue.close().await;
}

fn names_of(held: &[crate::lease::Delivery]) -> Vec<&str> {
    held.iter().map(|one| one.message.body.as_str()).collect()
}

#[test]
fn time_continues_over_a_restart_whatever_the_wall_clock_shows() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let hour = Duration::from_secs(60 * 60);
    let first = Clock::system();
    drop(open(&folder, &first).expect("a new file can be opened"));
    // As if an operator had set the wall clock while no host ran.
    for wrong in [first.now() + hour, Timestamp::from_millis(first.now().as_millis() - 3_600_000)] {
        let next = Clock::system();
        next.set(wrong);
        let opened = eventually_open(&folder, &next);
        let (actual, expected) = (next.now(), first.now());
        assert!(actual.since(expected).max(expected.since(actual)) < Duration::from_secs(60));
        drop(opened);
    }
}

/// Opens the file again. It is unlocked when the writer has ended, which is
/// shortly after the queue was dropped.
fn eventually_open(folder: &TempDir, clock: &Clock) -> EmbeddedQueue {
    let started = Instant::now();
    loop {
        match open(folder, clock) {
            Err(OpenError::InUse { .. }) if started.elapsed() < Duration::from_secs(30) => {
                std::thread::sleep(Duration::from_millis(5));
            }
            opened => return opened.expect("the file can be opened again"),
        }
    }
}
