//! The rows of jobs: their columns, statements and values.

use std::sync::LazyLock;

use rusqlite::CachedStatement;
use rusqlite::Connection;
use rusqlite::OptionalExtension as _;
use rusqlite::Row;
use rusqlite::Statement;
use rusqlite::params;

use crate::state::JobRow;
use crate::state::JobState;
use hoth_core::domain::JobKind;
use hoth_core::domain::Operation;
use hoth_core::domain::Timestamp;

/// The columns of a job, in the order of [`read_row`].
pub(crate) const COLUMNS: &str = "id, kind, job, csp, operation, portfolio, state, since, updated, \
     accepted_at, accepted_by, requests, attempt, version, digest, code, class, reason, ended_at, \
     took_ms, collected_at, collected_by, note, reference, next_look_at, deadline_at, dropped, \
     batches";

pub(crate) const INSERT: &str = "INSERT INTO jobs (kind, job, csp, operation, portfolio, state, since, \
     updated, accepted_at, accepted_by, requests, attempt, version, digest, code, class, reason, \
     ended_at, took_ms, collected_at, collected_by, note, reference, next_look_at, deadline_at, \
     dropped, batches, key) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, \
     ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23, ?24, ?25, ?26, ?27, ?28)";

pub(crate) const UPDATE: &str = "UPDATE jobs SET csp = ?3, operation = ?4, portfolio = ?5, state = ?6, \
     since = ?7, updated = ?8, accepted_at = ?9, accepted_by = ?10, requests = ?11, \
     attempt = ?12, version = ?13, digest = ?14, code = ?15, class = ?16, reason = ?17, \
     ended_at = ?18, took_ms = ?19, collected_at = ?20, collected_by = ?21, note = ?22, \
     reference = ?23, next_look_at = ?24, deadline_at = ?25, dropped = ?26, batches = ?27 \
     WHERE id = ?28 AND ?1 NOTNULL AND ?2 NOTNULL";

/// The query of a job by its number in the index, its kind and its id.
static FIND: LazyLock<String> = LazyLock::new(|| {
    format!(
        "SELECT {COLUMNS} FROM jobs WHERE key = ?1 AND kind = ?2 AND job = ?3 \
         ORDER BY id DESC LIMIT 1"
    )
});

/// Prepares the query of [`find`].
pub(crate) fn prepare_find(sql: &Connection) -> rusqlite::Result<CachedStatement<'_>> {
    sql.prepare_cached(&FIND)
}

/// Returns the id and row of a job.
pub(crate) fn find(
    query: &mut CachedStatement<'_>,
    kind: JobKind,
    id: &str,
) -> rusqlite::Result<Option<(i64, JobRow)>> {
    let values = params![key_of(kind, id), kind_number(kind), id];
    query.query_row(values, |row| Ok((row.get(0)?, read_row(row)?))).optional()
}

/// Writes a row by [`INSERT`] or [`UPDATE`]; `last` is the last parameter of the
/// statement.
pub(crate) fn save(
    statement: &mut Statement<'_>,
    row: &JobRow,
    last: i64,
) -> rusqlite::Result<usize> {
    statement.execute(params![
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
