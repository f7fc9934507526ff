//! The tables of the queue file, and its connections.

use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;
use rusqlite::ErrorCode;
use rusqlite::OpenFlags;
use rusqlite::config::DbConfig;

use super::config::OpenError;
use super::upgrade;

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
    if journal != "wal" || synchronous != NORMAL {
        return Err(OpenError::NotDurable { path: path.to_owned(), journal, synchronous });
    }
    upgrade::bring_up_to_date(&connection)
        .map_err(database)?
        .map_err(|found| OpenError::LaterSchema { path: path.to_owned(), found })?;
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

/// `synchronous=NORMAL`, as SQLite reads it back.
///
/// SQLite then syncs the log before a checkpoint writes the database, the
/// database before the log is reset, and the log's new header before the
/// first frame behind it (`walCheckpoint` and `walFrames` in its source). So a
/// power cut leaves an intact file, which lacks the last commits. A commit
/// itself syncs nothing: that is done before its answer, by the
/// [thread that syncs](super::writer).
const NORMAL: i64 = 1;

/// The size at which the log is reset: written from its beginning. It bounds
/// what a start reads after a crash. SQLite shrinks a longer log to this size
/// then, and not further: a log that keeps its length is synced sooner, because
/// no block is allocated.
pub const RESET_BYTES: u64 = 32 * 1024 * 1024;

/// Opens the connection that runs checkpoints.
pub fn open_checkpointer(path: &Path) -> Result<Connection, OpenError> {
    let database = |source| database_error(path, source);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(database)?;
    connection.pragma_update(None, "synchronous", NORMAL).map_err(database)?;
    // Opens the log now: later there may be no more file descriptors.
    pragma::<i64>(&connection, "user_version").map_err(database)?;
    Ok(connection)
}

/// Opens the connection that reads.
pub fn open_reader(path: &Path) -> Result<Connection, OpenError> {
    let database = |source| database_error(path, source);
    // The readers share one lock already, so SQLite needs none of its own.
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(database)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    keep_plans(&connection).map_err(database)?;
    Ok(connection)
}

/// Has SQLite plan each statement once. Otherwise it plans a prepared statement
/// again whenever a value that its plan may depend on has changed, such as a
/// limit: a quarter of the writer's time (SQLite documentation, "The SQLite
/// Query Planner Stability Guarantee").
fn keep_plans(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).map(drop)
}

/// Copies the log to the database, in one of SQLite's modes (SQLite
/// documentation, "PRAGMA wal_checkpoint"). Returns true if the database has the
/// whole log.
pub fn checkpoint(sql: &Connection, mode: &str) -> rusqlite::Result<bool> {
    let pragma = format!("PRAGMA wal_checkpoint({mode})");
    // The columns are: blocked, frames in the log, frames copied. The last two
    // are -1 while another connection runs a checkpoint.
    sql.query_row(&pragma, [], |row| {
        let (frames, copied) = (row.get::<_, i64>(1)?, row.get::<_, i64>(2)?);
        Ok(frames == copied && frames >= 0)
    })
}

fn configure(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    keep_plans(connection)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", NORMAL)?;
    // The writer chooses the time of a checkpoint: see `writer::checkpoints`.
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    connection.pragma_update(None, "journal_size_limit", RESET_BYTES.cast_signed())?;
    connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
    connection.pragma_update(None, "temp_store", "MEMORY")
}

fn pragma<T: rusqlite::types::FromSql>(connection: &Connection, name: &str) -> rusqlite::Result<T> {
    connection.pragma_query_value(None, name, |row| row.get(0))
}

#[cfg(test)]
mod tests {
    use rusqlite::StatementStatus;

    use super::*;

    #[test]
    fn a_statement_is_planned_once_whatever_its_values() {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let path = folder.path().join("hoth.db");
        std::fs::File::create_new(&path).expect("a new file");
        let writer = open_writer(&path).expect("an empty file");
        let reader = open_reader(&path).expect("it is there");
        for connection in [writer, reader] {
            let query = "SELECT seq FROM messages WHERE seq = ?1 AND queue = ?2 LIMIT ?3";
            let mut statement = connection.prepare(query).expect("valid SQL");
            for values in [[1, 2, 3], [4, 5, 6], [7, 1, 0]] {
                assert!(!statement.exists(values).expect("it runs"));
            }
            assert_eq!(statement.get_status(StatementStatus::RePrepare), 0);
        }
    }
}
