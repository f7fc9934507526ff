//! The changes of queue files from earlier schemas.

use rusqlite::Connection;

use super::tables::COUNTS;
use super::tables::INDEXES;
use super::tables::KEYS;
use super::tables::MEMBERS;
use super::tables::MESSAGES;
use super::tables::VERSION;
use super::tables::new_tables;

const FROM_1: &str = "
ALTER TABLE archive ADD COLUMN lease INTEGER;
";

const FROM_2: &str = "
DROP INDEX archive_by_time;
CREATE INDEX archive_by_time ON archive (queue, consumed_at, seq);
";

/// Fills the tables of keys from schema 3. Within each period the keys are in
/// the order of the new table, so a large file is not sorted. The newest one is
/// a recent key, too: the queue's time never goes back behind it.
const KEYS_FROM_3: &str = "
CREATE TEMP VIEW keys_of_schema_3 AS SELECT
    CASE scope
        WHEN 'provisioning-requests' THEN 1
        WHEN 'async-provisioning-jobs' THEN 2
        WHEN 'provisioning-jobs' THEN 3
        WHEN 'cost-requests' THEN 4
        WHEN 'async-cost-jobs' THEN 5
        WHEN 'cost-responses' THEN 6
    END AS scope,
    CASE WHEN length(key) = 32 AND key = lower(hex(unhex(key))) THEN unhex(key) ELSE key END
    AS key,
    substr(content, 1, 16) AS content, expires_at
    FROM main.dedup WHERE scope IN
    ('provisioning-requests', 'async-provisioning-jobs', 'provisioning-jobs',
     'cost-requests', 'async-cost-jobs', 'cost-responses');
INSERT INTO known_keys
    SELECT expires_at / 21600000, scope, key, content, expires_at FROM keys_of_schema_3;
INSERT INTO recent_keys (scope, key, content, expires_at)
    SELECT * FROM keys_of_schema_3 ORDER BY expires_at DESC LIMIT 1;
DROP VIEW keys_of_schema_3;
DROP TABLE dedup;
";

const RENAME_3: &str = "
DROP INDEX in_group;
DROP INDEX claimable;
DROP INDEX leased;
ALTER TABLE messages RENAME TO messages_of_schema_3;
";

/// Fills the tables of messages from schema 3, its archive included. Numbers go
/// on from where they were.
const MESSAGES_FROM_3: &str = "
INSERT INTO messages
    SELECT seq, queue,
    CASE WHEN length(grp) = 32 AND grp = lower(hex(unhex(grp))) THEN unhex(grp) ELSE grp END,
    key, sent_at, visible_at, receive_count, lease, holder, head, NULL
    FROM messages_of_schema_3;
INSERT INTO messages
    SELECT seq, queue,
    CASE WHEN length(grp) = 32 AND grp = lower(hex(unhex(grp))) THEN unhex(grp) ELSE grp END,
    key, consumed_at, consumed_at, 0, lease, NULL, 0, consumed_at
    FROM archive;
INSERT INTO bodies SELECT seq, body FROM messages_of_schema_3;
INSERT INTO bodies SELECT seq, body FROM archive;
DELETE FROM sqlite_sequence WHERE name = 'messages';
INSERT INTO sqlite_sequence
    SELECT 'messages', seq FROM sqlite_sequence WHERE name = 'messages_of_schema_3';
DROP TABLE messages_of_schema_3;
DROP TABLE archive;
";

const COUNTS_FROM_3: &str = "
ALTER TABLE queues ADD COLUMN messages INTEGER NOT NULL DEFAULT 0;
ALTER TABLE queues ADD COLUMN dead_letters INTEGER NOT NULL DEFAULT 0;
UPDATE queues SET messages = counted.messages FROM
    (SELECT queue, COUNT(*) AS messages FROM messages WHERE consumed_at IS NULL GROUP BY queue)
    AS counted WHERE counted.queue = id;
UPDATE queues SET dead_letters = (SELECT COUNT(*) FROM dead_letters WHERE queue = id);
";

fn from_3() -> String {
    [
        KEYS,
        KEYS_FROM_3,
        RENAME_3,
        MESSAGES,
        MESSAGES_FROM_3,
        // Indexes and triggers late: one sort is quicker than an entry at a
        // time.
        INDEXES,
        COUNTS_FROM_3,
        COUNTS,
        // The module `groups` fills this table.
        MEMBERS,
    ]
    .concat()
}

/// Makes the tables of a new file, or changes those of an earlier schema. The
/// inner error is the number of a later schema.
pub fn bring_up_to_date(sql: &Connection) -> rusqlite::Result<Result<(), i64>> {
    // `user_version` of a new file is 0.
    let change = match sql.pragma_query_value(None, "user_version", |row| row.get(0))? {
        0 => new_tables(),
        1 => [FROM_1, FROM_2, &from_3()].concat(),
        2 => [FROM_2, &from_3()].concat(),
        3 => from_3(),
        VERSION => return Ok(Ok(())),
        found => return Ok(Err(found)),
    };
    // In one transaction with the version, so that a crash leaves the old
    // schema or the new one.
    let change = format!("BEGIN IMMEDIATE; {change} PRAGMA user_version = {VERSION}; COMMIT;");
    sql.execute_batch(&change)?;
    Ok(Ok(()))
}
