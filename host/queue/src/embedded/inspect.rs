//! The state of the queues, read on a connection of its own, so that it delays
//! no message.

use std::time::Duration;

use rusqlite::Connection;
use rusqlite::OptionalExtension as _;
use rusqlite::Row;
use rusqlite::params;
use rusqlite::types::ValueRef;

use super::store::count;
use super::store::millis;
use super::store::number;
use super::store::text;
use super::store::timestamp;
use crate::limits::BLOCKED_MAX;
use crate::state::Blocked;
use crate::state::BlockedGroup;
use crate::state::DeadLetter;
use crate::state::DeadLetterId;
use crate::state::QueueStats;
use hoth_core::domain::Timestamp;

/// A reader of one queue's state, at one time.
pub struct QueueReader<'a> {
    sql: &'a Connection,
    id: i64,
    /// The time of the reading, in milliseconds as in the tables.
    now: i64,
}

/// Lists the names of the queues that hold messages or dead letters.
pub fn names_in_use(sql: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut statement = sql.prepare_cached(
        "SELECT name FROM queues WHERE EXISTS (SELECT 1 FROM messages WHERE queue = queues.id)
         OR EXISTS (SELECT 1 FROM dead_letters WHERE queue = queues.id) ORDER BY name",
    )?;
    statement.query_map([], |row| text(row, 0))?.collect()
}

impl<'a> QueueReader<'a> {
    /// Finds the queue `name`. Returns `None` if no message was ever sent to
    /// it.
    pub fn find(sql: &'a Connection, name: &str, now: Timestamp) -> rusqlite::Result<Option<Self>> {
        let id = sql
            .prepare_cached("SELECT id FROM queues WHERE name = ?1")?
            .query_row([name], |row| row.get(0))
            .optional()?;
        Ok(id.map(|id| Self { sql, id, now: millis(now) }))
    }

    /// Counts messages and dead letters, and finds the age of the oldest
    /// message.
    pub fn stats(&self) -> rusqlite::Result<QueueStats> {
        let all = self.count("SELECT COUNT(*) FROM messages WHERE queue = ?1", [self.id])?;
        // A row keeps its last lease, so the time tells if it is still held.
        let in_flight = self.count(
            "SELECT COUNT(*) FROM messages
             WHERE queue = ?1 AND lease IS NOT NULL AND visible_at > ?2",
            [self.id, self.now],
        )?;
        let dead_letters =
            self.count("SELECT COUNT(*) FROM dead_letters WHERE queue = ?1", [self.id])?;
        // Only heads are read, so the cost grows with the number of groups and
        // not with the number of messages.
        let (oldest, claimable): (Option<i64>, Option<i64>) = self
            .sql
            .prepare_cached(
                "SELECT MIN(sent_at), MIN(CASE WHEN visible_at <= ?2 THEN sent_at END)
                 FROM messages WHERE queue = ?1 AND head = 1",
            )?
            .query_row([self.id, self.now], |row| {
                let number = |column| match row.get_ref(column) {
                    Ok(ValueRef::Integer(number)) => Some(number),
                    Ok(_) | Err(_) => None,
                };
                Ok((number(0), number(1)))
            })?;
        let age = |sent_at: i64| {
            Duration::from_millis(self.now.saturating_sub(sent_at).max(0).unsigned_abs())
        };
        Ok(QueueStats {
            // Each query sees the last commit at its own time, so the messages
            // in flight may outnumber the messages counted before.
            depth: all.saturating_sub(in_flight),
            in_flight,
            oldest_age: oldest.map(age),
            oldest_claimable_age: claimable.map(age),
            dead_letters,
        })
    }

    /// Lists up to `max` dead letters with numbers above `after`.
    pub fn dead_letters(&self, after: i64, max: usize) -> rusqlite::Result<Vec<DeadLetter>> {
        let mut statement = self.sql.prepare_cached(
            "SELECT seq, grp, key, body, reason, sent_at, died_at, receive_count FROM dead_letters
             WHERE queue = ?1 AND seq > ?2 ORDER BY seq LIMIT ?3",
        )?;
        let limit = i64::try_from(max).unwrap_or(i64::MAX);
        let rows = statement.query_map(params![self.id, after, limit], dead_letter)?;
        rows.collect()
    }

    /// Returns those of the dead letters with these numbers that exist.
    pub fn find_dead_letters(&self, numbers: &[i64]) -> rusqlite::Result<Vec<DeadLetter>> {
        // By the primary key: each letter may have a mebibyte, and there may be
        // many before it.
        let mut statement = self.sql.prepare_cached(
            "SELECT seq, grp, key, body, reason, sent_at, died_at, receive_count FROM dead_letters
             WHERE seq = ?2 AND queue = ?1",
        )?;
        let mut find = |number: &i64| {
            statement.query_row(params![self.id, number], dead_letter).optional().transpose()
        };
        numbers.iter().filter_map(&mut find).collect()
    }

    /// Lists the groups whose head cannot be claimed now.
    pub fn blocked(&self) -> rusqlite::Result<Vec<BlockedGroup>> {
        let mut statement = self.sql.prepare_cached(
            "SELECT grp, key, visible_at, CASE WHEN lease IS NULL THEN NULL ELSE holder END,
                    (SELECT COUNT(*) FROM messages AS m WHERE m.queue = ?1 AND m.grp = head.grp)
             FROM messages AS head WHERE queue = ?1 AND head = 1 AND visible_at > ?2
             ORDER BY seq LIMIT ?3",
        )?;
        let limit = i64::try_from(BLOCKED_MAX).unwrap_or(i64::MAX);
        let rows = statement.query_map(params![self.id, self.now, limit], |row| {
            Ok(BlockedGroup {
                group: text(row, 0)?,
                head: text(row, 1)?,
                until: timestamp(number(row, 2)?),
                why: match row.get_ref(3)? {
                    ValueRef::Null => Blocked::NotDue,
                    ValueRef::Integer(1) => Blocked::LeasedToWorker,
                    ValueRef::Integer(_)
                    | ValueRef::Real(_)
                    | ValueRef::Text(_)
                    | ValueRef::Blob(_) => Blocked::LeasedToClient,
                },
                waiting: row.get::<_, i64>(4)?.unsigned_abs(),
            })
        })?;
        rows.collect()
    }

    fn count(&self, text: &str, parameters: impl rusqlite::Params) -> rusqlite::Result<u64> {
        let counted: i64 =
            self.sql.prepare_cached(text)?.query_row(parameters, |row| row.get(0))?;
        Ok(counted.unsigned_abs())
    }
}

/// Reads a row of the table of dead letters.
fn dead_letter(row: &Row<'_>) -> rusqlite::Result<DeadLetter> {
    Ok(DeadLetter {
        id: DeadLetterId::new(row.get::<_, i64>(0)?.to_string()),
        group: text(row, 1)?,
        key: text(row, 2)?,
        body: text(row, 3)?,
        reason: text(row, 4)?,
        sent_at: timestamp(number(row, 5)?),
        died_at: timestamp(number(row, 6)?),
        receive_count: count(row, 7)?,
    })
}
