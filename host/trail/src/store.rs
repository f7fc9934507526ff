//! The file: its tables, and the transaction of the writer.

use std::fs::DirBuilder;
use std::fs::OpenOptions;
use std::os::unix::fs::DirBuilderExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rusqlite::Connection;
use rusqlite::config::DbConfig;
use rusqlite::params;

use crate::batches;
use crate::bounds;
use crate::bounds::PAGE_BYTES;
use crate::buffer::Gathered;
use crate::job_writer::JobWriter;
use crate::minutes::Minutes;
use crate::rows::millis;
use crate::waiting;

/// The number in the header of the file that tells a trail from other files:
/// "hoth" in ASCII.
const APPLICATION_ID: i64 = 0x686f_7468;

/// The schema that this release writes.
const SCHEMA: i64 = 2;

/// The page cache of the writer, in KiB: the index of a large trail.
const CACHE_KIB: i64 = 16 << 10;

const TABLES: &str = "
CREATE TABLE jobs (
    id INTEGER PRIMARY KEY,
    key INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    job TEXT NOT NULL,
    csp TEXT, operation TEXT, portfolio TEXT,
    state INTEGER NOT NULL, since INTEGER NOT NULL, updated INTEGER NOT NULL,
    accepted_at INTEGER, accepted_by TEXT,
    requests INTEGER NOT NULL, attempt INTEGER NOT NULL,
    version TEXT, digest TEXT,
    code INTEGER, class TEXT, reason TEXT, ended_at INTEGER, took_ms INTEGER,
    collected_at INTEGER, collected_by TEXT,
    note TEXT, reference TEXT, next_look_at INTEGER, deadline_at INTEGER,
    dropped INTEGER NOT NULL, batches INTEGER NOT NULL
);
CREATE INDEX jobs_key ON jobs (key);
CREATE TABLE acts (
    id INTEGER PRIMARY KEY,
    at INTEGER NOT NULL, act TEXT NOT NULL, by TEXT NOT NULL,
    object TEXT NOT NULL, details TEXT NOT NULL
);
CREATE TABLE minutes (
    minute INTEGER NOT NULL, csp TEXT NOT NULL,
    ended_ok INTEGER NOT NULL, ended_failed INTEGER NOT NULL,
    calls INTEGER NOT NULL, calls_failed INTEGER NOT NULL,
    call_ms_sum INTEGER NOT NULL, call_ms_max INTEGER NOT NULL,
    accepted INTEGER NOT NULL, collected INTEGER NOT NULL,
    PRIMARY KEY (minute, csp)
) WITHOUT ROWID;
";

/// The reason why a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    /// A later release has written the file, which is left alone.
    #[error(
        "the file has schema {0}, of a later release; this release reads schema {SCHEMA}. Move the \
         file away to begin a new trail"
    )]
    Later(i64),
    /// The file belongs to another program, and is left alone.
    #[error("the file is not a trail; choose another `trail.path`")]
    Foreign,
    #[error(transparent)]
    Unusable(#[from] rusqlite::Error),
    #[error("its directory cannot be made")]
    Directory(#[source] std::io::Error),
}

/// The open file, for writing.
pub(crate) struct Store {
    pub sql: Connection,
}

impl Store {
    /// Opens the file, or makes it.
    pub fn open(path: &Path, max_bytes: u64) -> Result<Self, OpenError> {
        if let Some(directory) = path.parent() {
            let made = DirBuilder::new().recursive(true).mode(0o700).create(directory);
            made.map_err(OpenError::Directory)?;
        }
        // SQLite would make a file that all users can read. Its log gets the mode
        // of the file. An error is SQLite's to find.
        drop(OpenOptions::new().create_new(true).write(true).mode(0o600).open(path));
        Self::open_file(path, max_bytes)
    }

    fn open_file(path: &Path, max_bytes: u64) -> Result<Self, OpenError> {
        let sql = Connection::open(path)?;
        sql.set_prepared_statement_cache_capacity(32);
        // Without it, SQLite plans a statement anew whenever a parameter changes.
        sql.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
        let schema = |name: &str| sql.query_row(name, [], |row| row.get::<_, i64>(0));
        let (application, version) =
            (schema("PRAGMA application_id")?, schema("PRAGMA user_version")?);
        let tables = schema("SELECT count(*) FROM sqlite_schema")?;
        match (application, version, tables) {
            (0, 0, 0) => {
                // The pragmas that shape the file come before its first table.
                sql.execute_batch(&format!("PRAGMA page_size = {PAGE_BYTES};"))?;
                sql.pragma_update(None, "journal_mode", "wal")?;
                sql.execute_batch(&format!(
                    "BEGIN IMMEDIATE; {TABLES} {} PRAGMA application_id = {APPLICATION_ID}; \
                     PRAGMA user_version = {SCHEMA}; COMMIT;",
                    batches::TABLE
                ))?;
            }
            (APPLICATION_ID, SCHEMA, _) => {}
            (APPLICATION_ID, 1, _) => sql.execute_batch(&format!(
                "BEGIN IMMEDIATE; {} PRAGMA user_version = {SCHEMA}; COMMIT;",
                batches::UPGRADE
            ))?,
            (APPLICATION_ID, later, _) => return Err(OpenError::Later(later)),
            _ => return Err(OpenError::Foreign),
        }
        sql.pragma_update(None, "journal_mode", "wal")?;
        // A power cut loses the last transactions, and damages nothing.
        sql.pragma_update(None, "synchronous", "normal")?;
        sql.pragma_update(None, "cache_size", -CACHE_KIB)?;
        let (pages, log) = (bounds::pages(max_bytes), bounds::log_bytes(max_bytes));
        sql.pragma_update(None, "wal_autocheckpoint", (log / PAGE_BYTES).cast_signed())?;
        sql.pragma_update(None, "journal_size_limit", log.cast_signed())?;
        sql.pragma_update(None, "max_page_count", pages.cast_signed())?;
        sql.execute_batch(waiting::INDEX)?;
        Ok(Self { sql })
    }

    /// Stores what has gathered, in one transaction.
    pub fn write(&mut self, gathered: &Gathered) -> rusqlite::Result<()> {
        let transaction = self.sql.transaction()?;
        let mut minutes = Minutes::default();
        JobWriter::new(&transaction)?.write(&gathered.records, &mut minutes)?;
        for act in &gathered.acts {
            let mut insert = transaction.prepare_cached(
                "INSERT INTO acts (at, act, by, object, details) VALUES (?1, ?2, ?3, ?4, ?5)",
            )?;
            insert.execute(params![millis(act.at), act.act, act.by, act.object, act.details])?;
        }
        write_minutes(&transaction, &minutes)?;
        transaction.commit()
    }
}

/// Returns the device and inode of a file, or `None` if there is none.
pub(crate) fn identity(path: &Path) -> Option<(u64, u64)> {
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.dev(), metadata.ino()))
}

/// Returns true if the file itself is broken, and no later try can help.
pub(crate) fn is_damage(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(rusqlite::ErrorCode::DatabaseCorrupt | rusqlite::ErrorCode::NotADatabase)
    )
}

fn write_minutes(sql: &Connection, minutes: &Minutes) -> rusqlite::Result<()> {
    for minute in minutes.iter() {
        let mut upsert = sql.prepare_cached(
            "INSERT INTO minutes VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) \
             ON CONFLICT DO UPDATE SET ended_ok = ended_ok + ?3, \
             ended_failed = ended_failed + ?4, calls = calls + ?5, \
             calls_failed = calls_failed + ?6, call_ms_sum = call_ms_sum + ?7, \
             call_ms_max = max(call_ms_max, ?8), accepted = accepted + ?9, \
             collected = collected + ?10",
        )?;
        let count = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        upsert.execute(params![
            millis(minute.at),
            minute.csp,
            count(minute.ended_ok),
            count(minute.ended_failed),
            count(minute.calls),
            count(minute.calls_failed),
            count(minute.call_ms_sum),
            count(minute.call_ms_max),
            count(minute.accepted),
            count(minute.collected),
        ])?;
    }
    Ok(())
}
