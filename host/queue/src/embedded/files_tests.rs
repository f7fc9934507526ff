//! Changes by other programs to the files of an open queue.

use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

use tempfile::TempDir;

use super::backend::EmbeddedQueue;
use super::config::Config;
use super::config::LOG_MAX_BYTES;
use super::config::OpenError;
use crate::conformance::message;
use crate::conformance::receive;
use crate::conformance::requests;
use crate::contract::Holder;
use crate::contract::Queue;
use crate::contract::Receive;
use crate::error::QueueError;
use hoth_core::domain::Timestamp;
use hoth_platform::clock::Clock;

/// The time in which a queue must notice what was done to its files.
const NOTICE_MAX: Duration = Duration::from_secs(30);

fn open(path: &Path) -> Result<EmbeddedQueue, OpenError> {
    open_bounded(path, LOG_MAX_BYTES)
}

fn open_bounded(path: &Path, log_max_bytes: u64) -> Result<EmbeddedQueue, OpenError> {
    let config = Config { path: path.to_owned(), redelivery_hours: 24, log_max_bytes };
    EmbeddedQueue::open(&config, Clock::manual(Timestamp::from_millis(1_700_000_000_000)))
}

/// Opens a queue with three messages.
async fn with_messages() -> (TempDir, PathBuf, EmbeddedQueue) {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let data = folder.path().join("data");
    let path = data.join("hoth.db");
    let queue = open(&path).expect("a new file can be opened");
    for name in ["a", "b", "c"] {
        queue.send(&requests(), message(name, name)).await.expect("there is room");
    }
    (folder, path, queue)
}

/// Waits until an idle queue has noticed what was done, and closes it. Returns
/// the sentence for the operator.
async fn noticed(queue: EmbeddedQueue) -> String {
    tokio::time::timeout(NOTICE_MAX, queue.failed()).await.expect("it is noticed");
    let refused = queue.send(&requests(), message("late", "late")).await;
    assert!(matches!(refused, Err(QueueError::Unreachable(_))), "{refused:?}");
    queue.close().await;
    queue.failure().expect("there is a reason").to_string()
}

async fn count(path: &Path) -> u64 {
    let queue = open(path).expect("the file can be opened again");
    let depth = queue.stats(&requests()).await.expect("the file can be read").depth;
    queue.close().await;
    depth
}

/// Counts the messages in a copy of the database alone. The queue that was
/// displaced is still open in this process, so SQLite would mix the two.
async fn count_copy(path: &Path) -> u64 {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let copy = folder.path().join("copy.db");
    std::fs::copy(path, &copy).expect("the file can be copied");
    count(&copy).await
}

fn saved_in(folder: &Path) -> PathBuf {
    let found = std::fs::read_dir(folder).expect("a directory");
    let mut names = found.map(|entry| entry.expect("an entry").path());
    names.find(|path| path.to_string_lossy().contains(".saved-")).expect("a saved file")
}

#[tokio::test]
async fn a_removed_file_is_stored_again() {
    let (_folder, path, queue) = with_messages().await;
    std::fs::remove_file(&path).expect("the file can be removed");
    let reason = noticed(queue).await;
    assert!(reason.contains("was removed or moved while the host was running"), "{reason}");
    assert!(reason.contains("was stored in"), "{reason}");
    assert_eq!(count(&path).await, 3);
}

#[tokio::test]
async fn a_removed_directory_is_made_again() {
    let (_folder, path, queue) = with_messages().await;
    std::fs::remove_dir_all(path.parent().expect("a directory")).expect("it can be removed");
    let reason = noticed(queue).await;
    assert!(reason.contains("was stored in"), "{reason}");
    assert_eq!(count(&path).await, 3);
}

#[tokio::test]
async fn a_moved_file_has_everything_and_is_named() {
    let (folder, path, queue) = with_messages().await;
    let moved = folder.path().join("elsewhere.db");
    std::fs::rename(&path, &moved).expect("the file can be moved");
    let reason = noticed(queue).await;
    assert!(reason.contains(&format!("is in {}", moved.display())), "{reason}");
    assert_eq!(count_copy(&moved).await, 3);
}

#[tokio::test]
async fn a_moved_directory_has_everything() {
    let (folder, path, queue) = with_messages().await;
    let moved = folder.path().join("elsewhere");
    std::fs::rename(path.parent().expect("a directory"), &moved).expect("it can be moved");
    let reason = noticed(queue).await;
    let file = moved.join("hoth.db");
    assert!(reason.contains(&format!("is in {}", file.display())), "{reason}");
    assert_eq!(count_copy(&file).await, 3);
}

#[tokio::test]
async fn a_file_that_was_replaced_leaves_both_contents() {
    let (folder, path, queue) = with_messages().await;
    let backup = folder.path().join("backup.db");
    let earlier = open(&backup).expect("a new file can be opened");
    earlier.send(&requests(), message("z", "z")).await.expect("there is room");
    earlier.close().await;
    std::fs::rename(&backup, &path).expect("the file can be replaced");
    let reason = noticed(queue).await;
    assert!(reason.contains("was replaced by another file"), "{reason}");
    let saved = saved_in(path.parent().expect("a directory"));
    assert!(reason.contains(&format!("is in {}", saved.display())), "{reason}");
    assert_eq!(count(&path).await, 1, "the log of the old file was applied to the backup");
    assert_eq!(count(&saved).await, 3);
}

#[tokio::test]
async fn a_removed_log_loses_nothing() {
    for suffix in ["-wal", "-shm"] {
        let (_folder, path, queue) = with_messages().await;
        let log = PathBuf::from(format!("{}{suffix}", path.display()));
        std::fs::remove_file(&log).expect("the file can be removed");
        let reason = noticed(queue).await;
        assert!(reason.contains(&format!("{} was removed", log.display())), "{reason}");
        assert!(reason.contains("every accepted message is in"), "{reason}");
        assert_eq!(count_copy(&path).await, 3, "{suffix}");
    }
}

/// Overwrites a file in place, as `cp` does: the file is truncated first.
fn overwrite(path: &Path, content: &[u8]) {
    std::fs::write(path, content).expect("the file can be written");
}

#[tokio::test]
async fn a_log_that_was_overwritten_is_noticed_and_set_aside() {
    for keep in ["nothing", "half", "the length"] {
        let (_folder, path, queue) = with_messages().await;
        let log = PathBuf::from(format!("{}-wal", path.display()));
        let mut content = std::fs::read(&log).expect("the log can be read");
        match keep {
            "nothing" => content.clear(),
            "half" => content.truncate(content.len() / 2),
            _ => content.fill(7),
        }
        overwrite(&log, &content);
        let reason = noticed(queue).await;
        assert!(reason.contains("was overwritten or truncated by another program"), "{reason}");
        let aside = saved_in(path.parent().expect("a directory"));
        assert!(reason.contains(&format!("is now {}", aside.display())), "{reason}");
        assert!(!log.exists(), "SQLite would apply the log to the database");
        assert_eq!(std::fs::read(&aside).expect("the log is there").len(), content.len());
    }
}

#[tokio::test]
async fn a_backup_that_was_copied_over_the_open_file_is_whole_afterwards() {
    let (folder, path, queue) = with_messages().await;
    let backup = folder.path().join("backup.db");
    let earlier = open(&backup).expect("a new file can be opened");
    earlier.send(&requests(), message("z", "z")).await.expect("there is room");
    earlier.close().await;
    overwrite(&path, &std::fs::read(&backup).expect("the backup can be read"));
    let reason = noticed(queue).await;
    assert!(reason.contains("was overwritten or truncated by another program"), "{reason}");
    assert!(reason.contains("start the host again to go on with the file as it is"), "{reason}");
    assert_eq!(count_copy(&path).await, 1);
}

#[tokio::test]
async fn a_gap_in_the_log_is_noticed() {
    for kept_frames in [0, 2] {
        let (_folder, path, queue) = with_messages().await;
        let log = PathBuf::from(format!("{}-wal", path.display()));
        let mut content = std::fs::read(&log).expect("the log can be read");
        // As if the log had been truncated between two commits: the last frame
        // is there, and those before it are not.
        let frame = 24 + 4096;
        let (begin, end) = (kept_frames * (32 + frame), content.len() - frame);
        content[begin..end].fill(0);
        let file = std::fs::File::options().write(true).open(&log).expect("it can be opened");
        std::os::unix::fs::FileExt::write_all_at(&file, &content, 0).expect("it can be written");
        let reason = noticed(queue).await;
        assert!(reason.contains("-wal was overwritten or truncated"), "{reason}");
    }
}

#[tokio::test]
async fn damage_by_another_process_is_noticed_whatever_the_times_of_the_file_say() {
    let (folder, path, queue) = with_messages().await;
    let other = rusqlite::Connection::open(&path).expect("the file can be opened");
    other.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").expect("the log can be moved");
    // By another process, because a closed descriptor releases the locks of its
    // process.
    let script = "touch -r \"$1\" \"$2\"
                  dd if=/dev/zero of=\"$1\" bs=4096 seek=1 count=8 conv=notrunc 2> \"$2.log\"
                  touch -r \"$2\" \"$1\"";
    let reference = folder.path().join("reference");
    let mut damage = std::process::Command::new("sh");
    damage.args(["-c", script, "sh"]).arg(&path).arg(&reference);
    assert!(damage.status().expect("there is a shell").success());
    let reason = noticed(queue).await;
    assert!(reason.contains("was overwritten or truncated by another program"), "{reason}");
}

#[tokio::test]
async fn a_truncated_database_is_noticed() {
    let (_folder, path, queue) = with_messages().await;
    overwrite(&path, &[]);
    let reason = noticed(queue).await;
    assert!(reason.contains("was overwritten or truncated by another program"), "{reason}");
}

#[tokio::test]
async fn a_file_that_was_touched_or_written_under_its_lock_is_no_reason_to_end() {
    let (_folder, path, queue) = with_messages().await;
    let other = rusqlite::Connection::open(&path).expect("the file can be opened");
    for round in 0..20 {
        // A connection of its own: closing this descriptor would release the
        // locks of SQLite in this process.
        let file = std::fs::File::options().write(true).open(&path).expect("it can be opened");
        file.set_modified(std::time::UNIX_EPOCH + Duration::from_secs(round))
            .expect("it can be touched");
        std::mem::forget(file);
        other
            .execute_batch(
                "PRAGMA wal_checkpoint(PASSIVE); DELETE FROM messages WHERE consumed_at IS NOT NULL;
                 CREATE TABLE other (x); INSERT INTO other VALUES (1); DROP TABLE other;
                 PRAGMA wal_checkpoint(TRUNCATE); VACUUM;",
            )
            .expect("another program may write");
        let name = format!("d{round}");
        queue.send(&requests(), message(&name, &name)).await.expect("there is room");
    }
    assert!(queue.failure().is_none());
    assert_eq!(queue.stats(&requests()).await.expect("it can be read").depth, 23);
    queue.close().await;
}

#[tokio::test]
async fn nothing_is_accepted_after_the_file_was_removed() {
    let (_folder, path, queue) = with_messages().await;
    std::fs::remove_file(&path).expect("the file can be removed");
    let sent = queue.send(&requests(), message("d", "d")).await;
    assert!(matches!(sent, Err(QueueError::Unreachable(_))), "{sent:?}");
    queue.close().await;
}

#[tokio::test]
async fn a_file_has_one_owner_by_whatever_path() {
    let (folder, path, queue) = with_messages().await;
    let (symbolic, hard) = (folder.path().join("symbolic.db"), folder.path().join("hard.db"));
    std::os::unix::fs::symlink(&path, &symbolic).expect("a link can be made");
    std::fs::hard_link(&path, &hard).expect("a link can be made");
    std::fs::remove_file(format!("{}.lock", path.display())).expect("the lock can be removed");
    for other in [&path, &symbolic, &hard] {
        let second = open(other);
        assert!(matches!(second, Err(OpenError::InUse { .. })), "{other:?}: {second:?}");
    }
    queue.close().await;
    for name in [&path, &hard] {
        let linked = open(name);
        assert!(matches!(linked, Err(OpenError::Linked { links: 2, .. })), "{linked:?}");
    }
    std::fs::remove_file(&hard).expect("the link can be removed");
    assert_eq!(count(&symbolic).await, 3);
}

#[tokio::test]
async fn a_log_without_its_database_is_not_thrown_away() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let path = folder.path().join("hoth.db");
    std::fs::write(folder.path().join("hoth.db-wal"), "commits").expect("a file can be written");
    let opened = open(&path);
    assert!(matches!(opened, Err(OpenError::OrphanedLog { .. })), "{opened:?}");
    assert!(!path.exists(), "a new database would end the log");
}

#[tokio::test]
async fn a_closed_queue_is_one_file_that_holds_everything() {
    let (_folder, path, queue) = with_messages().await;
    // From the first read on, there is a second connection.
    queue.stats(&requests()).await.expect("the file can be read");
    queue.close().await;
    let beside = |suffix: &str| PathBuf::from(format!("{}{suffix}", path.display())).exists();
    assert!(!beside("-wal") && !beside("-shm"), "the log is empty, and gone");
    assert_eq!(count_copy(&path).await, 3);
}

#[tokio::test]
async fn a_lock_of_another_process_refuses_calls_and_ends_nothing() {
    let (_folder, path, queue) = with_messages().await;
    let other = rusqlite::Connection::open(&path).expect("the file can be opened");
    other.execute_batch("BEGIN IMMEDIATE").expect("the lock is free");
    let sent = queue.send(&requests(), message("d", "d")).await;
    assert!(matches!(sent, Err(QueueError::Unreachable(_))), "{sent:?}");
    other.execute_batch("ROLLBACK").expect("a transaction is open");
    queue.send(&requests(), message("d", "d")).await.expect("the lock is free again");
    let received = queue.receive(&requests(), receive(10, Duration::from_secs(30))).await;
    assert_eq!(received.expect("it is served").len(), 4);
    assert!(queue.failure().is_none());
    queue.close().await;
}

#[tokio::test]
async fn a_log_that_a_reader_keeps_growing_refuses_messages_until_the_reader_ends() {
    const BYTES_MAX: u64 = 200_000;
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let path = folder.path().join("hoth.db");
    let queue = open_bounded(&path, BYTES_MAX).expect("a new file can be opened");
    let send = async |number: u64| {
        let name = format!("m{number}");
        queue.send(&requests(), message(&name, &name)).await
    };
    send(0).await.expect("there is room");
    let reader = rusqlite::Connection::open(&path).expect("the file can be opened");
    reader.execute_batch("BEGIN; SELECT * FROM messages").expect("it can be read");
    let mut sent = 1;
    while send(sent).await.is_ok() {
        sent += 1;
        // Each message takes a page at least.
        assert!(sent < BYTES_MAX / 1_000, "the log has {} bytes", queue.log_bytes());
    }
    assert!(matches!(send(sent).await, Err(QueueError::Full)));
    let by_client = Receive { holder: Holder::Client, ..receive(10, Duration::from_secs(30)) };
    let received = queue.receive(&requests(), by_client).await.expect("work goes on");
    let receipts: Vec<_> = received.into_iter().map(|delivery| delivery.lease.keep()).collect();
    queue.delete(&requests(), &receipts).await.expect("a deletion needs no room");
    reader.execute_batch("COMMIT").expect("a transaction is open");
    let deadline = tokio::time::Instant::now() + NOTICE_MAX;
    while send(sent).await.is_err() {
        assert!(tokio::time::Instant::now() < deadline, "the log does not shrink");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(queue.log_bytes() <= BYTES_MAX);
    queue.close().await;
}

#[tokio::test]
async fn a_log_is_reset_at_half_of_its_bound() {
    const BYTES_MAX: u64 = 1_000_000;
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let queue = open_bounded(&folder.path().join("hoth.db"), BYTES_MAX).expect("it can be opened");
    // Each message takes a page at least, so all of them exceed the bound.
    let count = BYTES_MAX / 4_096 * 2;
    for number in 0..count {
        let name = format!("m{number}");
        queue.send(&requests(), message(&name, &name)).await.expect("there is room");
        let bytes = queue.log_bytes();
        assert!(bytes <= BYTES_MAX, "the log has {bytes} bytes");
    }
    assert_eq!(queue.stats(&requests()).await.expect("it can be read").depth, count);
    queue.close().await;
}

#[tokio::test]
async fn rows_of_another_program_can_be_received_listed_and_purged() {
    let (_folder, path, queue) = with_messages().await;
    let other = rusqlite::Connection::open(&path).expect("the file can be opened");
    // A group of bytes, a body of bytes, and numbers in the places of texts.
    other
        .execute_batch(
            "INSERT INTO messages (queue, grp, key, sent_at, visible_at, head)
             SELECT id, x'fffe', x'fffe', 'x', 0, 1 FROM queues;
             INSERT INTO bodies VALUES (last_insert_rowid(), x'fffe');
             INSERT INTO messages (queue, grp, key, sent_at, visible_at, head)
             SELECT id, CAST(x'fffd' AS TEXT), 'k', 0, 0, 1 FROM queues;
             INSERT INTO bodies VALUES (last_insert_rowid(), CAST(x'fffd' AS TEXT));
             INSERT INTO messages (queue, grp, key, sent_at, visible_at, head, receive_count)
             SELECT id, 'g', 7, 'x', 0, 1, 'many' FROM queues;
             INSERT INTO messages (queue, grp, key, sent_at, visible_at, head)
             SELECT id, x'00112233445566778899aabbccddeeff', 'no body', 0, 0, 1 FROM queues;
             INSERT INTO dead_letters
             SELECT 1000, id, x'fffe', x'fffe', x'fffe', 'x', -1, x'fffe', 'x' FROM queues;",
        )
        .expect("another program may write");
    let deliveries = queue.receive(&requests(), receive(10, Duration::from_secs(30))).await;
    let deliveries = deliveries.expect("the rows can be read");
    assert_eq!(deliveries.len(), 7, "{deliveries:?}");
    queue.blocked(&requests()).await.expect("the rows can be read");
    let receipts: Vec<_> = deliveries.into_iter().map(|delivery| delivery.lease.keep()).collect();
    queue.delete(&requests(), &receipts).await.expect("the leases hold");
    assert_eq!(queue.stats(&requests()).await.expect("it can be read").depth, 0);
    let letters = queue.dead_letters(&requests(), None, 10).await.expect("it can be listed");
    let ids: Vec<_> = letters.into_iter().map(|letter| letter.id).collect();
    assert_eq!(queue.discard(&requests(), &ids).await.expect("it can be purged"), 1);
    queue.close().await;
}

#[tokio::test]
async fn a_group_goes_on_after_another_program_has_deleted_messages() {
    let (_folder, path, queue) = with_messages().await;
    let other = rusqlite::Connection::open(&path).expect("the file can be opened");
    let delete = |keys: &str| {
        let change = format!("DELETE FROM messages WHERE key IN ({keys})");
        other.execute_batch(&change).expect("another program may write");
    };
    let send = async |name: &str| {
        queue.send(&requests(), message("a", name)).await.expect("there is room");
    };
    let take = async || {
        let taken = queue.receive(&requests(), receive(10, Duration::from_secs(30))).await;
        let mut taken = crate::conformance::names(taken.expect("it can be received"));
        taken.sort();
        taken
    };
    send("a2").await;
    delete("'a', 'b', 'c'");
    send("a3").await;
    assert_eq!(take().await, ["a2", "a3"]);
    delete("'a2', 'a3'");
    send("a4").await;
    assert_eq!(take().await, ["a4"]);
    let left = other.query_row("SELECT COUNT(*) FROM bodies", [], |row| row.get::<_, i64>(0));
    assert_eq!(left.expect("it can be read"), 1, "bodies go with their messages");
    queue.close().await;
}
