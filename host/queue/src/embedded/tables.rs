//! The tables of the queue file, and the changes from those of earlier releases.

use rusqlite::Connection;

/// The schema that this release writes: `user_version` in the file.
const VERSION: i64 = 4;

// No column refers to another table: SQLite would search that table for each
// row, and no queue is ever deleted.
//
// The oldest message of a group is its head, and only heads are offered.
// `visible_at` is the time from which on a message is claimable. So the next
// group to serve is the first entry of `claimable`, however many messages wait.
pub const TABLES: &str = "
CREATE TABLE queues (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE
);
CREATE TABLE messages (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    queue INTEGER NOT NULL,
    grp TEXT NOT NULL,
    key TEXT NOT NULL,
    body TEXT NOT NULL,
    sent_at INTEGER NOT NULL,        -- milliseconds since 1970, as all times here
    visible_at INTEGER NOT NULL,     -- claimable from then on; later than now while leased
    receive_count INTEGER NOT NULL DEFAULT 0,
    lease INTEGER,                   -- the last lease's number, unless it was released
    holder INTEGER,                  -- 1: this process, 2: an HTTP client, 0: released
    head INTEGER NOT NULL            -- 1: the oldest of its group
);
CREATE INDEX in_group ON messages (queue, grp, seq);
CREATE INDEX claimable ON messages (queue, visible_at, seq) WHERE head = 1;
CREATE INDEX leased ON messages (queue, visible_at) WHERE lease IS NOT NULL;
CREATE TABLE recent_keys (           -- see the module `known_keys`
    id INTEGER PRIMARY KEY,
    scope INTEGER NOT NULL,          -- the family of queues
    key BLOB NOT NULL,               -- a digest in bytes, or a text
    content BLOB NOT NULL,
    expires_at INTEGER NOT NULL
);
CREATE TABLE known_keys (
    period INTEGER NOT NULL,         -- in which the key expires, counted from 1970
    scope INTEGER NOT NULL,
    key BLOB NOT NULL,
    content BLOB NOT NULL,
    expires_at INTEGER NOT NULL,
    PRIMARY KEY (period, scope, key)
) WITHOUT ROWID;
CREATE TABLE dead_letters (
    seq INTEGER PRIMARY KEY,
    queue INTEGER NOT NULL,
    grp TEXT NOT NULL,
    key TEXT NOT NULL,
    body TEXT NOT NULL,
    sent_at INTEGER NOT NULL,
    receive_count INTEGER NOT NULL,
    reason TEXT NOT NULL,
    died_at INTEGER NOT NULL
);
CREATE INDEX dead_in_queue ON dead_letters (queue, seq);
CREATE TABLE archive (
    seq INTEGER PRIMARY KEY,
    queue INTEGER NOT NULL,
    grp TEXT NOT NULL,
    key TEXT NOT NULL,
    body TEXT NOT NULL,
    consumed_at INTEGER NOT NULL,
    lease INTEGER                    -- under which it was consumed
);
CREATE INDEX archive_by_time ON archive (queue, consumed_at, seq);
CREATE INDEX archive_by_key ON archive (queue, key);
";

/// The changes from each earlier schema to the next one, from schema 1 on.
///
/// The keys of schema 3 are in the order of the new table, within each period,
/// so that a large file is not sorted. The newest one is a recent key: the
/// queue's time never goes back behind it.
const CHANGES: [&str; 3] = [
    "ALTER TABLE archive ADD COLUMN lease INTEGER;",
    "DROP INDEX archive_by_time;
     CREATE INDEX archive_by_time ON archive (queue, consumed_at, seq);",
    "CREATE TABLE recent_keys (
         id INTEGER PRIMARY KEY,
         scope INTEGER NOT NULL,
         key BLOB NOT NULL,
         content BLOB NOT NULL,
         expires_at INTEGER NOT NULL
     );
     CREATE TABLE known_keys (
         period INTEGER NOT NULL,
         scope INTEGER NOT NULL,
         key BLOB NOT NULL,
         content BLOB NOT NULL,
         expires_at INTEGER NOT NULL,
         PRIMARY KEY (period, scope, key)
     ) WITHOUT ROWID;
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
     DROP TABLE dedup;",
];

/// Makes the tables of a new file, or changes those of an earlier schema. The
/// inner error is the number of a later schema.
pub fn bring_up_to_date(sql: &Connection) -> rusqlite::Result<Result<(), i64>> {
    // `user_version` of a new file is 0.
    let found: i64 = sql.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let change = match usize::try_from(found) {
        Ok(0) => TABLES.to_owned(),
        Ok(earlier) if earlier <= CHANGES.len() => CHANGES[earlier - 1..].concat(),
        Ok(_) | Err(_) if found == VERSION => return Ok(Ok(())),
        Ok(_) | Err(_) => return Ok(Err(found)),
    };
    // In one transaction with the version, so that a crash leaves the old
    // schema or the new one.
    let change = format!("BEGIN IMMEDIATE; {change} PRAGMA user_version = {VERSION}; COMMIT;");
    sql.execute_batch(&change)?;
    Ok(Ok(()))
}
