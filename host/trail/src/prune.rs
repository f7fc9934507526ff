//! The bounds of the file: its age and its size.

use rusqlite::Connection;
use rusqlite::params;

use crate::batches;
use crate::minutes::MINUTE_MS;
use crate::minutes::MINUTES_KEPT;
use crate::rows::millis;
use hoth_core::domain::Timestamp;

/// The jobs that one step looks at. A step takes a few milliseconds, and the
/// writer's buffer holds what gathers meanwhile.
const STEP: i64 = 2_000;

/// The steps of one turn.
const STEPS_MAX: u32 = 50;

/// The acts that are kept, whatever their age.
const ACTS_MAX: i64 = 100_000;

/// The share of the file at which the oldest jobs are deleted, and the share
/// down to which, in percent.
const FULL_PERCENT: i64 = 90;
const FREED_PERCENT: i64 = 80;

/// The share down to which jobs are deleted when a write found no room.
const HALF_PERCENT: i64 = 50;

/// The position of the deletion by age, which looks at all jobs in turn.
#[derive(Debug, Default)]
pub(crate) struct AgeCursor(i64);

/// Deletes jobs without news since `before`, among the next ones after the
/// cursor, and old acts and minutes. Returns true once it has seen all jobs.
pub(crate) fn by_age(
    sql: &Connection,
    cursor: &mut AgeCursor,
    before: Timestamp,
    now: Timestamp,
) -> rusqlite::Result<bool> {
    let upto: Option<i64> = sql.query_row(
        "SELECT max(id) FROM (SELECT id FROM jobs WHERE id > ?1 ORDER BY id LIMIT ?2)",
        params![cursor.0, STEP],
        |row| row.get(0),
    )?;
    let Some(upto) = upto else {
        *cursor = AgeCursor::default();
        by_age_of_rest(sql, before, now)?;
        return Ok(true);
    };
    let old = "id > ?1 AND id <= ?2 AND updated < ?3";
    let range = params![cursor.0, upto, millis(before)];
    let mut jobs = sql.prepare(&format!("SELECT id FROM jobs WHERE {old}"))?;
    let mut jobs = jobs.query(range)?;
    while let Some(job) = jobs.next()? {
        batches::delete(sql, job.get(0)?)?;
    }
    sql.execute(&format!("DELETE FROM jobs WHERE {old}"), range)?;
    cursor.0 = upto;
    Ok(false)
}

fn by_age_of_rest(sql: &Connection, before: Timestamp, now: Timestamp) -> rusqlite::Result<()> {
    sql.execute("DELETE FROM acts WHERE at < ?1", [millis(before)])?;
    sql.execute("DELETE FROM acts WHERE id <= (SELECT max(id) FROM acts) - ?1", [ACTS_MAX])?;
    let day = Timestamp::from_millis(now.as_millis().saturating_sub(MINUTES_KEPT * MINUTE_MS));
    sql.execute("DELETE FROM minutes WHERE minute < ?1", [millis(day)])?;
    Ok(())
}

/// Deletes the oldest jobs while the file is nearly full, in bounded steps; more
/// of them if a write has just failed for lack of room.
pub(crate) fn by_size(sql: &Connection, was_full: bool) -> rusqlite::Result<()> {
    let (from, down_to) = match was_full {
        true => (HALF_PERCENT, HALF_PERCENT),
        false => (FULL_PERCENT, FREED_PERCENT),
    };
    if used_percent(sql)? < from {
        return Ok(());
    }
    for _ in 0..STEPS_MAX {
        if used_percent(sql)? < down_to || !delete_oldest(sql)? {
            return Ok(());
        }
    }
    Ok(())
}

/// Deletes the oldest jobs. Returns false if there is none.
fn delete_oldest(sql: &Connection) -> rusqlite::Result<bool> {
    let upto: Option<i64> = sql.query_row(
        "SELECT max(id) FROM (SELECT id FROM jobs ORDER BY id LIMIT ?1)",
        [STEP],
        |row| row.get(0),
    )?;
    let Some(upto) = upto else { return Ok(false) };
    batches::delete_up_to(sql, upto)?;
    sql.execute("DELETE FROM jobs WHERE id <= ?1", [upto])?;
    Ok(true)
}

/// Returns the pages in use, as a share of the pages that the file may have.
fn used_percent(sql: &Connection) -> rusqlite::Result<i64> {
    let number = |name: &str| sql.query_row(name, [], |row| row.get::<_, i64>(0));
    let (pages, free, max) = (
        number("PRAGMA page_count")?,
        number("PRAGMA freelist_count")?,
        number("PRAGMA max_page_count")?,
    );
    Ok((pages - free) * 100 / max.max(1))
}
