//! The tables of the queue file, and its connections.

use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;
use rusqlite::ErrorCode;
use rusqlite::OpenFlags;

use super::config::OpenError;

/// The schema that this release writes: `user_version` in the file.
const VERSION: i64 = 3;

/// The page cache of a connection, in KiB: enough for the inner pages of the
/// indexes of a million messages.
const CACHE_KIB: i64 = 32 * 1_024;

/// The prepared statements that a connection keeps: more than this module has.
const STATEMENTS_MAX: usize = 64;

/// The longest wait for the lock of another process at the start. It may be a
/// backup or a VACUUM.
const OPEN_WAIT: Duration = Duration::from_secs(30);

/// The longest wait for the lock of another process while the host runs. Every
/// caller waits behind it.
pub const BUSY_WAIT: Duration = Duration::from_secs(5);

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
    queue INTEGER NOT NULL REFERENCES queues (id),
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
CREATE TABLE dedup (
    scope TEXT NOT NULL,             -- the kind of queue
    key TEXT NOT NULL,
    content BLOB NOT NULL,
    expires_at INTEGER NOT NULL,
    PRIMARY KEY (scope, key)
) WITHOUT ROWID;
CREATE INDEX dedup_end ON dedup (expires_at);
CREATE TABLE dead_letters (
    seq INTEGER PRIMARY KEY,
    queue INTEGER NOT NULL REFERENCES queues (id),
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
    queue INTEGER NOT NULL REFERENCES queues (id),
    grp TEXT NOT NULL,
    key TEXT NOT NULL,
    body TEXT NOT NULL,
    consumed_at INTEGER NOT NULL,
    lease INTEGER                    -- under which it was consumed
);
CREATE INDEX archive_by_time ON archive (queue, consumed_at, seq);
CREATE INDEX archive_by_key ON archive (queue, key);
";

/// The change from schema 1 to schema 2.
const FROM_1: &str = "ALTER TABLE archive ADD COLUMN lease INTEGER;";

/// The change from schema 2 to schema 3.
const FROM_2: &str = "DROP INDEX archive_by_time;
CREATE INDEX archive_by_time ON archive (queue, consumed_at, seq);";

/// Opens the connection that writes. Makes the tables of a new file, and
/// upgrades those of an older one.
pub fn open_writer(path: &Path) -> Result<Connection, OpenError> {
    let database = |source| database_error(path, source);
    // Without SQLITE_OPEN_CREATE: the file was made when it was locked, and
    // another one must not take its place.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(database)?;
    connection.busy_timeout(OPEN_WAIT).map_err(database)?;
    configure(&connection).map_err(database)?;
    // Read back, because SQLite keeps the old mode without an error where it
    // cannot change it (WAL needs shared memory, which some file systems lack).
    // Acknowledged messages would then be lost in a power cut.
    let journal: String = pragma(&connection, "journal_mode").map_err(database)?;
    let synchronous: i64 = pragma(&connection, "synchronous").map_err(database)?;
    if journal != "wal" || (synchronous != 2 && self::synchronous() == "FULL") {
        return Err(OpenError::NotDurable { path: path.to_owned(), journal, synchronous });
    }
    // In one transaction with the version, so that a crash leaves the old
    // schema or the new one. `user_version` of a new file is 0.
    let change = match pragma::<i64>(&connection, "user_version").map_err(database)? {
        0 => TABLES.to_owned(),
        1 => format!("{FROM_1} {FROM_2}"),
        2 => FROM_2.to_owned(),
        VERSION => return Ok(connection),
        found => return Err(OpenError::LaterSchema { path: path.to_owned(), found }),
    };
    let change = format!("BEGIN IMMEDIATE; {change} PRAGMA user_version = {VERSION}; COMMIT;");
    connection.execute_batch(&change).map_err(database)?;
    Ok(connection)
}

/// Returns the error of opening the file, apart from that of a file which
/// another process has locked.
pub fn database_error(path: &Path, source: rusqlite::Error) -> OpenError {
    let path = path.to_owned();
    match source.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            OpenError::Locked { path, waited: OPEN_WAIT }
        }
        _ => OpenError::Database { path, source },
    }
}

/// The size of the log to which SQLite shrinks it when it starts it anew: twice
/// the size at which it moves the log to the database (1000 pages of 4 KiB).
const KEPT_BYTES: i64 = 8 * 1024 * 1024;

/// Opens the connection that reads.
pub fn open_reader(path: &Path) -> Result<Connection, OpenError> {
    let database = |source| database_error(path, source);
    // The readers share one lock already, so SQLite needs none of its own.
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(database)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    Ok(connection)
}

fn configure(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // In WAL mode, NORMAL does not sync at a commit, and a power cut may lose
    // the last commits (SQLite documentation, "PRAGMA synchronous").
    connection.pragma_update(None, "synchronous", synchronous())?;
    connection.pragma_update(None, "journal_size_limit", KEPT_BYTES)?;
    connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
    connection.pragma_update(None, "temp_store", "MEMORY")
}

/// Returns the setting that makes a commit wait for the disk.
#[cfg(not(debug_assertions))]
fn synchronous() -> &'static str {
    "FULL"
}

/// Returns the setting that makes a commit wait for the disk, unless a test
/// turns it off: `tests/crash` proves by it that its power cuts lose messages
/// that were not synced. Release builds have no such switch.
#[cfg(debug_assertions)]
fn synchronous() -> &'static str {
    match std::env::var_os("HOTH_TEST_SYNCHRONOUS") {
        Some(word) if word == "normal" => "NORMAL",
        Some(_) | None => "FULL",
    }
}

fn pragma<T: rusqlite::types::FromSql>(connection: &Connection, name: &str) -> rusqlite::Result<T> {
    connection.pragma_query_value(None, name, |row| row.get(0))
}
