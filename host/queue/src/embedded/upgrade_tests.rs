//! Queue files of earlier releases.

use std::time::Duration;

use rusqlite::Connection;
use tempfile::TempDir;

use super::backend::EmbeddedQueue;
use super::config::Config;
use super::config::LOG_MAX_BYTES;
use super::config::OpenError;
use super::upgrade::bring_up_to_date;
use crate::conformance::message;
use crate::conformance::names;
use crate::conformance::outcomes;
use crate::conformance::receive;
use crate::conformance::requests;
use crate::contract::Queue;
use crate::contract::Redeliver;
use crate::contract::Redrive;
use crate::contract::Sent;
use crate::error::QueueError;
use crate::lease::Receipt;
use crate::message::Dedup;
use crate::message::NewMessage;
use crate::name::QueueName;
use hoth_core::domain::Digest;
use hoth_core::domain::Timestamp;
use hoth_platform::clock::Clock;

const SCHEMA_3: &str = include_str!("fixtures/schema-3.sql");

/// The changes back to each schema from schema 3.
const SCHEMAS: [(i64, &str); 3] = [
    (
        1,
        "ALTER TABLE archive DROP COLUMN lease; DROP INDEX archive_by_time;
         CREATE INDEX archive_by_time ON archive (consumed_at); PRAGMA user_version = 1;",
    ),
    (
        2,
        "DROP INDEX archive_by_time;
         CREATE INDEX archive_by_time ON archive (consumed_at); PRAGMA user_version = 2;",
    ),
    (3, ""),
];

/// A group in the fixture, and a deduplication key.
const DIGEST: &str = "00112233445566778899aabbccddeeff";

const LONG: Duration = Duration::from_secs(600);

/// A file of an earlier schema, opened by this release.
struct Upgraded {
    _folder: TempDir,
    clock: Clock,
    queue: EmbeddedQueue,
}

fn upgrade(back: &str) -> Upgraded {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let path = folder.path().join("queue.db");
    let sql = Connection::open(&path).expect("a file can be made");
    sql.execute_batch(&format!("{SCHEMA_3} {back}")).expect("the schema is valid");
    drop(sql);
    let clock = Clock::manual(Timestamp::from_millis(1_700_000_000_000));
    let config = Config { path, redelivery_hours: 24, log_max_bytes: LOG_MAX_BYTES };
    let queue = EmbeddedQueue::open(&config, clock.clone()).expect("it is upgraded");
    Upgraded { _folder: folder, clock, queue }
}

impl Upgraded {
    async fn take(&self, queue: &QueueName) -> Vec<String> {
        names(self.queue.receive(queue, receive(10, LONG)).await.expect("it can be received"))
    }

    async fn send(&self, message: NewMessage) -> Sent {
        self.queue.send(&requests(), message).await.expect("it can be sent")
    }

    async fn delete(&self, queue: &QueueName, receipt: &str) -> Result<(), QueueError> {
        self.queue.delete(queue, &[Receipt::new(receipt)]).await
    }
}

#[tokio::test]
async fn messages_of_earlier_schemas_keep_their_states_and_their_order() {
    for (schema, back) in SCHEMAS {
        let file = upgrade(back);
        let stats = file.queue.stats(&requests()).await.expect("it can be read");
        assert_eq!((stats.depth, stats.in_flight, stats.dead_letters), (4, 1, 1), "{schema}");
        assert_eq!(file.take(&requests()).await, ["m3", "m4"], "{schema}");
        file.send(message(DIGEST, "m9")).await;
        file.delete(&requests(), "1.11").await.expect("the client's lease holds");
        assert_eq!(file.take(&requests()).await, ["m2", "m9"], "{schema}");
        file.clock.advance(Duration::from_secs(1));
        assert_eq!(file.take(&requests()).await, ["m5"], "{schema}");
        let letters = file.queue.dead_letters(&requests(), None, 10).await.expect("readable");
        assert_eq!((&*letters[0].key, &*letters[0].group), ("m8", "dead"), "{schema}");
        let again = message("dead", "again");
        let redriven = file.queue.redrive(&requests(), &letters[0].id, again).await;
        assert_eq!(redriven.expect("it exists"), Redrive::Sent);
        assert_eq!(file.take(&requests()).await, ["again"], "{schema}");
        file.queue.close().await;
    }
}

#[tokio::test]
async fn outcomes_that_were_consumed_under_earlier_schemas_can_be_redelivered() {
    for (schema, back) in SCHEMAS {
        let file = upgrade(back);
        file.delete(&outcomes(), "6.66").await.expect("this lease consumed it");
        let late = file.delete(&outcomes(), "6.65").await;
        // Schema 1 did not store the consumer.
        assert_eq!(late.is_ok(), schema == 1, "{late:?}");
        let all = Redeliver::Since(Timestamp::from_millis(0));
        let count = file.queue.redeliver(&outcomes(), all).await;
        assert_eq!(count.expect("there is an archive"), 1, "{schema}");
        assert_eq!(file.take(&outcomes()).await, ["m6", "m7"], "{schema}");
        file.queue.close().await;
    }
}

#[tokio::test]
async fn keys_of_earlier_schemas_are_known_until_they_expire() {
    for (schema, back) in SCHEMAS {
        let file = upgrade(back);
        let conflict = Dedup { content: Digest::of(b"other"), ..message("g", "m1").dedup };
        let conflict = NewMessage { dedup: conflict, ..message("g", "m1") };
        assert_eq!(file.send(message("g", "m1")).await, Sent::Duplicate, "{schema}");
        assert_eq!(file.send(conflict).await, Sent::Conflict, "{schema}");
        assert_eq!(file.send(message("g", DIGEST)).await, Sent::Duplicate, "{schema}");
        assert_eq!(file.send(message("g", "newest")).await, Sent::Duplicate, "{schema}");
        file.clock.advance(Duration::from_millis(1));
        assert_eq!(file.send(message("g", DIGEST)).await, Sent::Queued, "{schema}");
        assert_eq!(file.send(message("g", "m1")).await, Sent::Duplicate, "{schema}");
        file.queue.close().await;
    }
}

#[test]
fn upgraded_files_have_the_tables_of_new_ones() {
    let described = |batch: &str| {
        let sql = Connection::open_in_memory().expect("memory is free");
        sql.execute_batch(batch).expect("the schema is valid");
        assert_eq!(bring_up_to_date(&sql).expect("it is upgraded"), Ok(()));
        let mut statement = sql
            .prepare(
                "SELECT type, name, CASE type WHEN 'table' THEN
                     (SELECT group_concat(name || type || pk) FROM pragma_table_info(master.name))
                     ELSE sql END
                 FROM sqlite_master AS master WHERE name NOT IN ('machine', 'dead_letters')
                 ORDER BY type, name",
            )
            .expect("valid SQL");
        let rows = statement
            .query_map([], |row| Ok((row.get::<_, String>(1)?, row.get::<_, Option<String>>(2)?)));
        rows.expect("it runs").map(|row| row.expect("texts")).collect::<Vec<_>>()
    };
    let new = described("");
    for (schema, back) in SCHEMAS {
        assert_eq!(described(&format!("{SCHEMA_3} {back}")), new, "{schema}");
    }
}

#[test]
fn an_upgrade_that_fails_leaves_the_earlier_schema() {
    let sql = Connection::open_in_memory().expect("memory is free");
    // Late in the upgrade, the name of a table is taken.
    let taken = "CREATE TABLE members (x);";
    sql.execute_batch(&format!("{SCHEMA_3} {taken}")).expect("the schema is valid");
    bring_up_to_date(&sql).expect_err("the name is taken");
    sql.execute_batch("ROLLBACK").expect("the transaction was not committed");
    let version: i64 =
        sql.pragma_query_value(None, "user_version", |row| row.get(0)).expect("readable");
    let count = |table: &str| {
        let query = format!("SELECT COUNT(*) FROM {table}");
        sql.query_row(&query, [], |row| row.get::<_, i64>(0)).expect("the table is there")
    };
    assert_eq!((version, count("messages"), count("archive"), count("dedup")), (3, 6, 1, 4));
}

#[test]
fn a_file_of_a_later_schema_is_refused() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let path = folder.path().join("queue.db");
    let sql = Connection::open(&path).expect("a file can be made");
    for later in [5, i64::from(i32::MAX), -1] {
        sql.pragma_update(None, "user_version", later).expect("it can be set");
        let config =
            Config { path: path.clone(), redelivery_hours: 24, log_max_bytes: LOG_MAX_BYTES };
        let opened = EmbeddedQueue::open(&config, Clock::manual(Timestamp::from_millis(1)));
        let found = opened.err();
        assert!(
            matches!(found, Some(OpenError::LaterSchema { found, .. }) if found == later),
            "{found:?}"
        );
    }
}
