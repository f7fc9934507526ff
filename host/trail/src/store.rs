//! The file: its tables, and the transaction of the writer.

use std::collections::HashMap;
use std::fs::DirBuilder;
use std::fs::OpenOptions;
use std::os::unix::fs::DirBuilderExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;

use rusqlite::Connection;
use rusqlite::OptionalExtension as _;
use rusqlite::Row;
use rusqlite::config::DbConfig;
use rusqlite::params;
use serde::Serialize;

use crate::apply::apply;
use crate::buffer::Gathered;
use crate::minutes::Minutes;
use crate::state::JobRow;
use crate::state::JobState;
use crate::waiting;
use hoth_core::domain::JobEventKind;
use hoth_core::domain::JobKind;
use hoth_core::domain::JobRecord;
use hoth_core::domain::Operation;
use hoth_core::domain::Timestamp;

/// The number in the header of the file that tells a trail from other files:
/// "hoth" in ASCII.
const APPLICATION_ID: i64 = 0x686f_7468;

/// The schema that this release writes.
const SCHEMA: i64 = 1;

/// The largest batches of events of one job that are kept: its first and its
/// last ones. A job that is polled for days has thousands.
const FIRST_BATCHES_KEPT: u32 = 64;
pub(crate) const BATCHES_MAX: u32 = 512;

/// The size of a page of the file, in bytes.
pub(crate) const PAGE_BYTES: u64 = 4_096;

/// Pages of the log at which SQLite copies it to the file: 4 MiB.
const LOG_PAGES: u64 = 1_024;

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
CREATE TABLE events (
    job INTEGER NOT NULL, batch INTEGER NOT NULL, body TEXT NOT NULL,
    PRIMARY KEY (job, batch)
) WITHOUT ROWID;
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

/// The columns of a job, in the order of [`read_row`].
pub(crate) const COLUMNS: &str = "id, kind, job, csp, operation, portfolio, state, since, updated, \
     accepted_at, accepted_by, requests, attempt, version, digest, code, class, reason, ended_at, \
     took_ms, collected_at, collected_by, note, reference, next_look_at, deadline_at, dropped, \
     batches";

const INSERT: &str = "INSERT INTO jobs (kind, job, csp, operation, portfolio, state, since, \
     updated, accepted_at, accepted_by, requests, attempt, version, digest, code, class, reason, \
     ended_at, took_ms, collected_at, collected_by, note, reference, next_look_at, deadline_at, \
     dropped, batches, key) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, \
     ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23, ?24, ?25, ?26, ?27, ?28)";

const UPDATE: &str = "UPDATE jobs SET csp = ?3, operation = ?4, portfolio = ?5, state = ?6, \
     since = ?7, updated = ?8, accepted_at = ?9, accepted_by = ?10, requests = ?11, \
     attempt = ?12, version = ?13, digest = ?14, code = ?15, class = ?16, reason = ?17, \
     ended_at = ?18, took_ms = ?19, collected_at = ?20, collected_by = ?21, note = ?22, \
     reference = ?23, next_look_at = ?24, deadline_at = ?25, dropped = ?26, batches = ?27 \
     WHERE id = ?28 AND ?1 NOTNULL AND ?2 NOTNULL";

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
    /// The number of the last batch of events: the time of its transaction in
    /// milliseconds, or one more than the one before.
    batch: i64,
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
                    "BEGIN IMMEDIATE; {TABLES} PRAGMA application_id = {APPLICATION_ID}; \
                     PRAGMA user_version = {SCHEMA}; COMMIT;"
                ))?;
            }
            (APPLICATION_ID, SCHEMA, _) => {}
            (APPLICATION_ID, later, _) => return Err(OpenError::Later(later)),
            _ => return Err(OpenError::Foreign),
        }
        sql.pragma_update(None, "journal_mode", "wal")?;
        // A power cut loses the last transactions, and damages nothing.
        sql.pragma_update(None, "synchronous", "normal")?;
        sql.pragma_update(None, "cache_size", -CACHE_KIB)?;
        sql.pragma_update(None, "wal_autocheckpoint", LOG_PAGES.cast_signed())?;
        sql.pragma_update(None, "journal_size_limit", (LOG_PAGES * PAGE_BYTES).cast_signed())?;
        sql.pragma_update(None, "max_page_count", pages_max(max_bytes).cast_signed())?;
        sql.execute_batch(waiting::INDEX)?;
        let batch = sql.query_row("SELECT ifnull(max(updated), 0) FROM (SELECT updated FROM jobs ORDER BY id DESC LIMIT 1000)", [], |row| row.get(0))?;
        Ok(Self { sql, batch })
    }

    /// Stores what has gathered, in one transaction.
    pub fn write(&mut self, gathered: &Gathered, now: Timestamp) -> rusqlite::Result<()> {
        self.batch = millis(now).max(self.batch.saturating_add(1));
        let batch = self.batch;
        let transaction = self.sql.transaction()?;
        let mut minutes = Minutes::default();
        for records in by_job(&gathered.records) {
            write_job(&transaction, &records, batch, &mut minutes)?;
        }
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

/// Returns the largest number of pages of the file. The rest is for its log,
/// which is copied to the file at [`LOG_PAGES`], after a transaction that may
/// be as large again.
fn pages_max(max_bytes: u64) -> u64 {
    (max_bytes / PAGE_BYTES).saturating_sub(2 * LOG_PAGES)
}

/// Groups records by their job, in the order in which the jobs first appear.
fn by_job(records: &[Arc<JobRecord>]) -> Vec<Vec<&JobRecord>> {
    let mut places: HashMap<(JobKind, &str), usize> = HashMap::with_capacity(records.len());
    let mut jobs: Vec<Vec<&JobRecord>> = Vec::with_capacity(records.len());
    for record in records {
        let place = *places.entry((record.job.kind, &record.job.id)).or_insert(jobs.len());
        match jobs.get_mut(place) {
            Some(job) => job.push(record),
            None => jobs.push(vec![record]),
        }
    }
    jobs
}

fn write_job(
    sql: &Connection,
    records: &[&JobRecord],
    batch: i64,
    minutes: &mut Minutes,
) -> rusqlite::Result<()> {
    let (kind, id) = (records[0].job.kind, &records[0].job.id);
    let key = key_of(kind, id);
    let known = find(sql, key, kind, id)?;
    let is_known = known.as_ref().map(|(row, _)| *row);
    // A client or an operator may name any id.
    if known.is_none() && records.iter().all(|record| !tells_of_new_job(record)) {
        return Ok(());
    }
    let mut row = match known {
        Some((_, row)) => row,
        None => JobRow::new(kind, id.clone(), records[0].at),
    };
    for record in records {
        apply(&mut row, record, minutes);
    }
    row.batches = row.batches.saturating_add(1);
    let job = match is_known {
        Some(job) => {
            save(sql, UPDATE, &row, job)?;
            job
        }
        None => {
            save(sql, INSERT, &row, key)?;
            sql.last_insert_rowid()
        }
    };
    let mut insert =
        sql.prepare_cached("INSERT INTO events (job, batch, body) VALUES (?1, ?2, ?3)")?;
    insert.execute(params![job, batch, encode(records)])?;
    if row.batches > BATCHES_MAX {
        // Those in the middle go: how a job began and where it stands matter.
        let mut delete = sql.prepare_cached(
            "DELETE FROM events WHERE job = ?1 AND batch = (SELECT batch FROM events \
             WHERE job = ?1 ORDER BY batch LIMIT 1 OFFSET ?2)",
        )?;
        delete.execute(params![job, FIRST_BATCHES_KEPT])?;
    }
    Ok(())
}

/// Returns false for a record that only makes sense about a known job.
fn tells_of_new_job(record: &JobRecord) -> bool {
    record.events.iter().any(|event| {
        !matches!(
            event.what,
            JobEventKind::Leased { .. }
                | JobEventKind::Released { .. }
                | JobEventKind::Redelivered { .. }
                | JobEventKind::Redriven { .. }
                | JobEventKind::Purged { .. }
        )
    })
}

/// Returns the id and row of a job.
pub(crate) fn find(
    sql: &Connection,
    key: i64,
    kind: JobKind,
    id: &str,
) -> rusqlite::Result<Option<(i64, JobRow)>> {
    let mut query = sql.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM jobs WHERE key = ?1 AND kind = ?2 AND job = ?3 \
         ORDER BY id DESC LIMIT 1"
    ))?;
    query
        .query_row(params![key, kind_number(kind), id], |row| Ok((row.get(0)?, read_row(row)?)))
        .optional()
}

/// Writes a row; `last` is the last parameter of the statement.
fn save(sql: &Connection, statement: &str, row: &JobRow, last: i64) -> rusqlite::Result<usize> {
    sql.prepare_cached(statement)?.execute(params![
        kind_number(row.kind),
        row.id,
        row.csp.as_ref().map(|csp| csp.as_str()),
        row.operation.map(Operation::wit_name),
        row.portfolio_id,
        row.state.number(),
        millis(row.since),
        millis(row.updated_at),
        row.accepted_at.map(millis),
        row.accepted_by,
        row.requests,
        row.attempt,
        row.version,
        row.digest,
        row.code,
        row.class,
        row.reason,
        row.ended_at.map(millis),
        row.took_ms.map(|took| i64::try_from(took).unwrap_or(i64::MAX)),
        row.collected_at.map(millis),
        row.collected_by,
        row.note,
        row.reference,
        row.next_look_at.map(millis),
        row.deadline_at.map(millis),
        row.events_dropped,
        row.batches,
        last,
    ])
}

/// Reads a row that was selected by [`COLUMNS`].
pub(crate) fn read_row(row: &Row<'_>) -> rusqlite::Result<JobRow> {
    let time = |column: usize| -> rusqlite::Result<Option<Timestamp>> {
        Ok(row.get::<_, Option<i64>>(column)?.map(timestamp))
    };
    let operation: Option<String> = row.get(4)?;
    let operation = operation
        .and_then(|name| Operation::ALL.into_iter().find(|known| known.wit_name() == name));
    let csp: Option<String> = row.get(3)?;
    Ok(JobRow {
        kind: if row.get::<_, i64>(1)? == 0 { JobKind::Provisioning } else { JobKind::Cost },
        id: row.get(2)?,
        csp: csp.and_then(|name| name.parse().ok()),
        operation,
        portfolio_id: row.get(5)?,
        state: JobState::from_number(row.get(6)?),
        since: time(7)?.unwrap_or(Timestamp::from_millis(0)),
        updated_at: time(8)?.unwrap_or(Timestamp::from_millis(0)),
        accepted_at: time(9)?,
        accepted_by: row.get(10)?,
        requests: row.get(11)?,
        attempt: row.get(12)?,
        version: row.get(13)?,
        digest: row.get(14)?,
        code: row.get(15)?,
        class: row.get(16)?,
        reason: row.get(17)?,
        ended_at: time(18)?,
        took_ms: row.get::<_, Option<i64>>(19)?.and_then(|took| u64::try_from(took).ok()),
        collected_at: time(20)?,
        collected_by: row.get(21)?,
        note: row.get(22)?,
        reference: row.get(23)?,
        next_look_at: time(24)?,
        deadline_at: time(25)?,
        events_dropped: row.get(26)?,
        batches: row.get(27)?,
    })
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

/// An event in its stored form.
#[derive(Serialize)]
struct Stored<'a> {
    at: u64,
    /// In microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    us: Option<u64>,
    e: &'a JobEventKind,
}

/// Returns the stored text of the events of one job.
fn encode(records: &[&JobRecord]) -> String {
    let events: Vec<Stored<'_>> = records
        .iter()
        .flat_map(|record| {
            record.events.iter().map(|event| Stored {
                at: record.start_of(event).as_millis(),
                us: event.took.map(|took| u64::try_from(took.as_micros()).unwrap_or(u64::MAX)),
                e: &event.what,
            })
        })
        .collect();
    serde_json::to_string(&events).expect("events have string keys and writing to memory succeeds")
}

/// Returns the number under which a job is indexed: FNV-1a, 64 bits. It is
/// stored, so it must stay the same; several jobs may share one.
pub(crate) fn key_of(kind: JobKind, id: &str) -> i64 {
    let seed = 0xcbf2_9ce4_8422_2325_u64 ^ u64::from(kind_number(kind));
    let hash =
        id.bytes().fold(seed, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    hash.cast_signed()
}

pub(crate) fn kind_number(kind: JobKind) -> u32 {
    match kind {
        JobKind::Provisioning => 0,
        JobKind::Cost => 1,
    }
}

pub(crate) fn millis(time: Timestamp) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

pub(crate) fn timestamp(millis: i64) -> Timestamp {
    Timestamp::from_millis(u64::try_from(millis).unwrap_or(0))
}
