//! The conformance suite on the embedded queue, and the promises of this backend
//! alone.

use std::time::Duration;
use std::time::Instant;

use tempfile::TempDir;

use super::backend::EmbeddedQueue;
use super::config::Config;
use super::config::LOG_MAX_BYTES;
use super::config::OpenError;
use crate::conformance::Fixture;
use crate::conformance::message;
use crate::conformance::names;
use crate::conformance::outcomes;
use crate::conformance::receive;
use crate::conformance::requests;
use crate::contract::Holder;
use crate::contract::Queue;
use crate::contract::Receive;
use crate::contract::Redeliver;
use crate::contract::Sent;
use crate::error::QueueError;
use crate::limits::WAIT_MAX;
use crate::message::Dedup;
use crate::message::DedupKey;
use crate::message::NewMessage;
use crate::state::Blocked;
use hoth_core::domain::Digest;
use hoth_core::domain::Timestamp;
use hoth_platform::clock::Clock;

/// An embedded queue with a clock that tests move.
struct Embedded {
    folder: TempDir,
    clock: Clock,
    queue: EmbeddedQueue,
}

const SHORT: Duration = Duration::from_secs(10);
const LONG: Duration = Duration::from_secs(600);

impl Embedded {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let clock = Clock::manual(Timestamp::from_millis(1_700_000_000_000));
        let queue = open(&folder, &clock).expect("a new file can be opened");
        Self { folder, clock, queue }
    }

    /// Closes the queue and opens its file again. Leases are not released, as
    /// after a crash.
    async fn restart(self) -> Self {
        let Self { folder, clock, queue } = self;
        queue.close().await;
        drop(queue);
        let queue = open(&folder, &clock).expect("the file can be opened again");
        Self { folder, clock, queue }
    }
}

fn open(folder: &TempDir, clock: &Clock) -> Result<EmbeddedQueue, OpenError> {
    let config = Config {
        path: folder.path().join("queue.db"),
        redelivery_hours: 24,
        log_max_bytes: LOG_MAX_BYTES,
    };
    EmbeddedQueue::open(&config, clock.clone())
}

#[test]
fn new_files_are_private_and_existing_files_keep_their_mode() {
    use std::os::unix::fs::PermissionsExt as _;

    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let at = |path: &str| folder.path().join(path);
    let mode =
        |path: &str| std::fs::metadata(at(path)).expect("it exists").permissions().mode() & 0o777;
    let open = || {
        let config = Config {
            path: at("data/hoth/queue.db"),
            redelivery_hours: 24,
            log_max_bytes: LOG_MAX_BYTES,
        };
        EmbeddedQueue::open(&config, Clock::manual(Timestamp::from_millis(1))).expect("it opens")
    };
    let queue = open();
    assert_eq!([mode("data"), mode("data/hoth")], [0o700; 2]);
    let files = ["", "-wal", "-shm"].map(|end| format!("data/hoth/queue.db{end}"));
    assert_eq!(files.each_ref().map(|file| mode(file)), [0o600; 3]);
    tokio::runtime::Runtime::new().expect("there are threads").block_on(queue.close());
    drop(queue);

    let change = |path: &str, mode| {
        std::fs::set_permissions(at(path), std::fs::Permissions::from_mode(mode)).expect("mine");
    };
    change("data/hoth", 0o750);
    change(&files[0], 0o640);
    let _queue = open();
    assert_eq!(mode("data/hoth"), 0o750);
    assert_eq!(files.each_ref().map(|file| mode(file)), [0o640; 3]);
}

impl Fixture for Embedded {
    fn queue(&self) -> &dyn Queue {
        &self.queue
    }

    async fn advance(&self, by: Duration) {
        self.clock.advance(by);
        self.queue.wake_waiters().await;
    }

    fn dedup_window(&self) -> Duration {
        Duration::from_secs(24 * 60 * 60)
    }
}

crate::full_conformance_suite!(Embedded::new());

async fn take(f: &Embedded, holder: Holder) -> Vec<String> {
    let receive = Receive { holder, ..receive(10, LONG) };
    names(f.queue.receive(&requests(), receive).await.expect("it can be received"))
}

async fn send(f: &Embedded, names: &[&str]) {
    for name in names {
        f.queue.send(&requests(), message("g", name)).await.expect("it can be sent");
    }
}

/// The delay of a message that [`send_later`] sends.
const DUE_AFTER: Duration = Duration::from_secs(1);

/// Sends a message of a group of its own, which is due later.
async fn send_later(f: &Embedded, name: &str) {
    let not_before = Some(f.clock.now() + DUE_AFTER);
    let later = NewMessage { not_before, ..message(name, name) };
    f.queue.send(&requests(), later).await.expect("it can be sent");
}

#[tokio::test]
async fn the_same_key_with_other_content_is_a_conflict() {
    let f = Embedded::new();
    send(&f, &["m1"]).await;
    let dedup =
        Dedup { key: DedupKey::new("m1").expect("a valid key"), content: Digest::of(b"other") };
    let other = NewMessage { dedup, ..message("g", "m1") };
    assert_eq!(f.queue.send(&requests(), other).await.expect("it can be sent"), Sent::Conflict);
}

#[tokio::test]
async fn messages_their_order_and_their_keys_survive_a_restart() {
    let f = Embedded::new();
    send(&f, &["m1", "m2", "m3"]).await;
    let f = f.restart().await;
    let again = f.queue.send(&requests(), message("g", "m1")).await;
    assert_eq!(again.expect("it can be sent"), Sent::Duplicate);
    assert_eq!(take(&f, Holder::Process).await, ["m1", "m2", "m3"]);
}

#[tokio::test]
async fn leases_of_a_process_end_with_it() {
    let f = Embedded::new();
    send(&f, &["m1", "m2"]).await;
    assert_eq!(take(&f, Holder::Process).await, ["m1", "m2"]);
    let f = f.restart().await;
    assert_eq!(take(&f, Holder::Process).await, ["m1", "m2"]);
}

#[tokio::test]
async fn leases_of_clients_survive_a_restart_neither_shortened_nor_extended() {
    let f = Embedded::new();
    send(&f, &["m1"]).await;
    assert_eq!(take(&f, Holder::Client).await, ["m1"]);
    f.clock.advance(LONG / 2);
    let f = f.restart().await;
    assert_eq!(take(&f, Holder::Client).await, [""; 0]);
    f.clock.advance(LONG / 2);
    assert_eq!(take(&f, Holder::Client).await, ["m1"]);
}

#[tokio::test]
async fn a_message_that_is_not_due_waits_without_being_received() {
    let f = Embedded::new();
    send_later(&f, "later").await;
    assert_eq!(take(&f, Holder::Process).await, [""; 0]);
    let (queue, wait) = (requests(), Receive { wait: WAIT_MAX, ..receive(1, LONG) });
    let (woken, ()) = tokio::join!(f.queue.receive(&queue, wait), f.advance(DUE_AFTER));
    let woken = woken.expect("it can be received");
    assert_eq!(woken.len(), 1, "the wait ended although the message was due");
    assert_eq!(woken[0].message.receive_count, 1);
}

/// The clock moves before, during and after the writer's check of the queue:
/// each round gives the writer a little longer than the one before.
#[tokio::test]
async fn a_message_that_becomes_due_during_a_check_reaches_its_receiver() {
    const ROUNDS: u64 = 200;
    let f = Embedded::new();
    let (queue, wait) = (requests(), Receive { wait: WAIT_MAX, ..receive(1, LONG) });
    for round in 0..ROUNDS {
        let name = format!("m{round}");
        send_later(&f, &name).await;
        let becomes_due = async {
            let (started, head_start) = (Instant::now(), Duration::from_micros(round));
            while started.elapsed() < head_start {
                std::hint::spin_loop();
            }
            f.advance(DUE_AFTER).await;
        };
        let (woken, ()) = tokio::join!(f.queue.receive(&queue, wait), becomes_due);
        assert_eq!(names(woken.expect("it can be received")), [name]);
    }
}

#[tokio::test]
async fn a_second_host_is_refused_with_the_name_of_the_first() {
    let f = Embedded::new();
    let Err(OpenError::InUse { holder, .. }) = open(&f.folder, &f.clock) else {
        panic!("two hosts use one file");
    };
    assert_eq!(holder, format!(" (process {})", std::process::id()));
}

#[tokio::test]
async fn consumed_outcomes_can_be_redelivered_for_a_day() {
    let f = Embedded::new();
    for name in ["m1", "m2", "m3"] {
        f.queue.send(&outcomes(), message("g", name)).await.expect("it can be sent");
    }
    let consume = || async {
        let got = f.queue.receive(&outcomes(), receive(10, LONG)).await.expect("received");
        let receipts: Vec<_> = got.iter().map(|d| d.lease.receipt().clone()).collect();
        f.queue.delete(&outcomes(), &receipts).await.expect("held");
        names(got)
    };
    let queue = outcomes();
    let redeliver = |which| f.queue.redeliver(&queue, which);
    assert_eq!(consume().await, ["m1", "m2", "m3"]);
    let keys = Redeliver::Keys(vec!["m3".to_owned(), "m1".to_owned(), "unknown".to_owned()]);
    assert_eq!(redeliver(keys).await.expect("there is an archive"), 2);
    assert_eq!(consume().await, ["m1", "m3"]);
    let since = Redeliver::Since(f.clock.now());
    assert_eq!(redeliver(since.clone()).await.expect("there is an archive"), 3);
    assert_eq!(consume().await.len(), 3);
    f.clock.advance(Duration::from_secs(1));
    assert_eq!(redeliver(Redeliver::Since(f.clock.now())).await.expect("there is an archive"), 0);
}

#[tokio::test]
async fn a_late_deletion_of_an_outcome_that_the_next_holder_consumed_fails() {
    let f = Embedded::new();
    let take = async || {
        let got = f.queue.receive(&outcomes(), receive(10, SHORT)).await.expect("received");
        got.into_iter().map(|delivery| delivery.lease.keep()).collect::<Vec<_>>()
    };
    for name in ["m1", "m2"] {
        f.queue.send(&outcomes(), message("g", name)).await.expect("it can be sent");
    }
    let late = take().await;
    f.clock.advance(SHORT);
    let next = take().await;
    f.queue.delete(&outcomes(), &next).await.expect("held");
    f.queue.delete(&outcomes(), &next).await.expect("this lease consumed them");
    let acknowledged = f.queue.delete(&outcomes(), &late).await;
    assert!(matches!(acknowledged, Err(QueueError::LeaseEnded)), "{acknowledged:?}");
    // The archive survives a restart.
    let f = f.restart().await;
    let acknowledged = f.queue.delete(&outcomes(), &late).await;
    assert!(matches!(acknowledged, Err(QueueError::LeaseEnded)), "{acknowledged:?}");
    f.clock.advance(LONG * 6 * 24);
    f.queue.delete(&outcomes(), &late).await.expect("the archive has forgotten the consumer");
}

#[tokio::test]
async fn queues_with_messages_or_dead_letters_are_in_use() {
    let f = Embedded::new();
    let in_use = async || f.queue.in_use().await.expect("it can be read");
    assert_eq!(in_use().await, []);
    f.queue.send(&requests(), message("g", "m")).await.expect("it can be sent");
    assert_eq!(in_use().await, [requests()]);
    let held = f.queue.receive(&requests(), receive(1, LONG)).await.expect("received").remove(0);
    let (message, receipt) = (held.message.clone(), held.lease.keep());
    f.queue.dead_letter(&requests(), &receipt, &message, "a test", None).await.expect("held");
    assert_eq!(in_use().await, [requests()], "dead letters count");
    let dead = f.queue.dead_letters(&requests(), None, 1).await.expect("it can be read");
    f.queue.discard(&requests(), &[dead[0].id.clone()]).await.expect("it exists");
    assert_eq!(in_use().await, []);
}

#[tokio::test]
async fn redelivered_outcomes_are_in_their_old_places() {
    let f = Embedded::new();
    let queue = outcomes();
    for name in ["m1", "m2", "m3", "m4", "m5"] {
        f.queue.send(&queue, message("g", name)).await.expect("it can be sent");
    }
    f.queue.send(&queue, message("other", "n")).await.expect("it can be sent");
    let take = async |max| {
        let got = f.queue.receive(&queue, receive(max, LONG)).await.expect("it can be received");
        got.into_iter().map(|d| (d.message.body, d.lease.keep())).unzip::<_, _, Vec<_>, Vec<_>>()
    };
    let keys = |keys: &[&str]| Redeliver::Keys(keys.iter().map(|key| (*key).to_owned()).collect());
    let (_, receipts) = take(3).await;
    f.queue.delete(&queue, &receipts).await.expect("held");
    // m4 is held while two earlier messages are put back.
    let (held, m4) = take(1).await;
    assert_eq!(held, ["m4"]);
    let put_back = f.queue.redeliver(&queue, keys(&["m3", "m1"])).await;
    assert_eq!(put_back.expect("there is an archive"), 2);
    let (got, receipts) = take(10).await;
    assert_eq!(got, ["m1", "m3", "n"], "m4 is in flight, so m5 waits");
    f.queue.change_lease(&queue, &m4, Duration::ZERO).await.expect("held");
    assert_eq!(take(10).await.0, [""; 0], "m1 is in flight");
    f.queue.change_lease(&queue, &receipts, Duration::ZERO).await.expect("held");
    let put_back = f.queue.redeliver(&queue, keys(&["m2"])).await;
    assert_eq!(put_back.expect("there is an archive"), 1);
    let (mut got, receipts) = take(10).await;
    got.retain(|name| name != "n");
    assert_eq!(got, ["m1", "m2", "m3", "m4", "m5"]);
    f.queue.delete(&queue, &receipts).await.expect("held");
    let stats = f.queue.stats(&queue).await.expect("it can be read");
    assert_eq!((stats.depth, stats.in_flight), (0, 0));
}

#[tokio::test]
async fn a_large_archive_is_redelivered_in_parts() {
    let f = Embedded::new();
    let (queue, count) = (outcomes(), 2_345);
    let sends = (0..count).map(|n| f.queue.send(&queue, message("g", &format!("m{n:04}"))));
    let sends: Vec<_> = sends.collect();
    futures_util::future::try_join_all(sends).await.expect("they can be sent");
    let consume = async || {
        let mut consumed = Vec::new();
        loop {
            let got = f.queue.receive(&queue, receive(10, LONG)).await.expect("received");
            if got.is_empty() {
                return consumed;
            }
            let receipts: Vec<_> = got.iter().map(|d| d.lease.receipt().clone()).collect();
            f.queue.delete(&queue, &receipts).await.expect("held");
            consumed.extend(names(got));
        }
    };
    let first = consume().await;
    let since = Redeliver::Since(Timestamp::from_millis(0));
    assert_eq!(f.queue.redeliver(&queue, since.clone()).await.expect("put back"), count);
    assert_eq!(f.queue.redeliver(&queue, since).await.expect("put back"), 0);
    assert_eq!(consume().await, first);
}

#[tokio::test]
async fn the_archive_expires_to_the_millisecond() {
    let f = Embedded::new();
    let queue = outcomes();
    f.queue.send(&queue, message("g", "m1")).await.expect("it can be sent");
    let got = f.queue.receive(&queue, receive(1, LONG)).await.expect("received").remove(0);
    f.queue.delete(&queue, &[got.lease.keep()]).await.expect("held");
    let since = || Redeliver::Since(Timestamp::from_millis(0));
    f.clock.advance(Duration::from_secs(24 * 60 * 60) - Duration::from_millis(1));
    assert_eq!(f.queue.redeliver(&queue, since()).await.expect("put back"), 1);
    let got = f.queue.receive(&queue, receive(1, LONG)).await.expect("received").remove(0);
    f.queue.delete(&queue, &[got.lease.keep()]).await.expect("held");
    f.clock.advance(Duration::from_secs(24 * 60 * 60));
    assert_eq!(f.queue.redeliver(&queue, since()).await.expect("put back"), 0);
}

#[tokio::test]
async fn bytes_that_are_not_utf_8_are_delivered_and_can_be_dead_lettered() {
    let f = Embedded::new();
    let queue = outcomes();
    f.queue.send(&queue, message("a", "m1")).await.expect("it can be sent");
    let sql = rusqlite::Connection::open(f.folder.path().join("queue.db")).expect("a database");
    let insert = "INSERT INTO messages (queue, grp, key, sent_at, visible_at, head)
                  SELECT queue, 'b', x'ff', 0, 0, 1 FROM messages;
                  INSERT INTO bodies VALUES (last_insert_rowid(), x'6f6fff70');";
    sql.execute_batch(insert).expect("it can be inserted");
    let mut got = f.queue.receive(&queue, receive(10, LONG)).await.expect("received");
    got.sort_by(|one, other| one.message.body.cmp(&other.message.body));
    let bad = got.remove(1);
    assert_eq!(bad.message.body, "oo\u{fffd}p");
    f.queue
        .dead_letter(&queue, bad.lease.receipt(), &bad.message, "unreadable", None)
        .await
        .expect("held");
    assert_eq!(names(got), ["m1"]);
    assert_eq!(f.queue.stats(&queue).await.expect("it can be read").dead_letters, 1);
}

/// A receive takes the group that has been claimable longest, so a backlog of one
/// blocked group delays no other group.
#[tokio::test]
async fn a_backlog_of_a_blocked_group_delays_no_other_group() {
    let f = Embedded::new();
    for n in 0..300 {
        send(&f, &[&format!("m{n}")]).await;
    }
    assert_eq!(take(&f, Holder::Process).await.len(), 10);
    f.queue.send(&requests(), message("other", "n")).await.expect("it can be sent");
    assert_eq!(take(&f, Holder::Process).await, ["n"]);
}

#[tokio::test]
async fn many_senders_share_commits() {
    let f = Embedded::new();
    let sends = (0..200).map(|n| {
        let (queue, name) = (&f.queue, format!("m{n}"));
        async move { queue.send(&requests(), message(&name, &name)).await }
    });
    for sent in futures_util::future::join_all(sends).await {
        assert_eq!(sent.expect("it can be sent"), Sent::Queued);
    }
    let stats = f.queue.stats(&requests()).await.expect("it can be read");
    assert_eq!(stats.depth, 200);
}

#[tokio::test]
async fn blocked_groups_name_their_holder_and_the_end_of_the_block() {
    let f = Embedded::new();
    let now = f.clock.now();
    let later = NewMessage { not_before: Some(now + LONG), ..message("later", "m3") };
    for one in [message("worker", "m1"), message("client", "m2"), later, message("free", "m4")] {
        f.queue.send(&requests(), one).await.expect("it can be sent");
    }
    let first = Receive { max: 1, ..receive(1, LONG) };
    for holder in [Holder::Process, Holder::Client] {
        let taken = f.queue.receive(&requests(), Receive { holder, ..first }).await;
        names(taken.expect("it can be received"));
    }
    let blocked = f.queue.blocked(&requests()).await.expect("it can be read");
    let listed: Vec<_> =
        blocked.iter().map(|one| (&*one.group, &*one.head, one.why, one.until)).collect();
    assert_eq!(
        listed,
        [
            ("worker", "m1", Blocked::LeasedToWorker, now + LONG),
            ("client", "m2", Blocked::LeasedToClient, now + LONG),
            ("later", "m3", Blocked::NotDue, now + LONG),
        ]
    );
}
