//! The state of the queues, read on a connection of its own, so that it delays
//! no message.

use std::time::Duration;

use rusqlite::Connection;
use rusqlite::OptionalExtension as _;
use rusqlite::Row;
use rusqlite::params;
use rusqlite::types::ValueRef;

use super::archive::numbers_of;
use super::groups::Counts;
use super::store::count;
use super::store::group;
use super::store::group_of;
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

/// The most claimable messages that are read to find the oldest one.
const CLAIMABLE_READ_MAX: i64 = 1_000;

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
        "SELECT name FROM queues WHERE messages > 0 OR dead_letters > 0 ORDER BY name",
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
    /// message. The cost does not grow with the number of messages that wait.
    pub fn stats(&self) -> rusqlite::Result<QueueStats> {
        let (all, dead_letters) = self
            .sql
            .prepare_cached("SELECT messages, dead_letters FROM queues WHERE id = ?1")?
            .query_row([self.id], |row| {
                Ok((number(row, 0)?.max(0).unsigned_abs(), number(row, 1)?.max(0).unsigned_abs()))
            })?;
        // A row keeps its last lease, so the time tells if it is still held.
        let in_flight = self.count(
            "SELECT COUNT(*) FROM messages WHERE queue = ?1 AND lease IS NOT NULL
             AND consumed_at IS NULL AND visible_at > ?2",
            [self.id, self.now],
        )?;
        let oldest = self.sent_at(
            "SELECT sent_at FROM messages WHERE queue = ?1 AND head = 1
             ORDER BY sent_at LIMIT 1",
            [self.id],
        )?;
        let age = |sent_at: i64| {
            Duration::from_millis(self.now.saturating_sub(sent_at).max(0).unsigned_abs())
        };
        Ok(QueueStats {
            // Each query sees the last commit at its own time, so the messages
            // in flight may outnumber the messages counted before.
            depth: all.saturating_sub(in_flight),
            in_flight,
            oldest_age: oldest.map(age),
            oldest_claimable_age: self.oldest_claimable()?.map(age),
            dead_letters,
        })
    }

    /// Returns the time at which the oldest claimable message was sent.
    fn oldest_claimable(&self) -> rusqlite::Result<Option<i64>> {
        // Few messages are claimable, or few of the oldest ones are not: the
        // shorter of two ways is taken.
        let (claimable, oldest) = self
            .sql
            .prepare_cached(
                "SELECT COUNT(*), MIN(sent_at) FROM
                 (SELECT sent_at FROM messages INDEXED BY claimable
                  WHERE queue = ?1 AND head = 1 AND visible_at <= ?2 LIMIT ?3)",
            )?
            .query_row([self.id, self.now, CLAIMABLE_READ_MAX], |row| {
                Ok((number(row, 0)?, integer(row, 1)?))
            })?;
        if claimable < CLAIMABLE_READ_MAX {
            return Ok(oldest);
        }
        self.sent_at(
            "SELECT sent_at FROM messages INDEXED BY oldest
             WHERE queue = ?1 AND head = 1 AND visible_at <= ?2 ORDER BY sent_at LIMIT 1",
            [self.id, self.now],
        )
    }

    fn sent_at(
        &self,
        text: &str,
        parameters: impl rusqlite::Params,
    ) -> rusqlite::Result<Option<i64>> {
        let mut statement = self.sql.prepare_cached(text)?;
        Ok(statement.query_row(parameters, |row| integer(row, 0)).optional()?.flatten())
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

    /// Returns the numbers of consumed outcomes with these keys.
    pub fn consumed(&self, keys: &[String]) -> rusqlite::Result<Vec<i64>> {
        numbers_of(self.sql, self.id, &keys.iter().map(String::as_bytes).collect())
    }

    /// Lists the groups whose head cannot be claimed now.
    pub fn blocked(&self) -> rusqlite::Result<Vec<BlockedGroup>> {
        // One transaction: members move from table to table.
        let transaction = self.sql.unchecked_transaction()?;
        let counts = Counts::read(self.sql, self.id)?;
        let mut statement = self.sql.prepare_cached(
            "SELECT grp, key, visible_at, CASE WHEN lease IS NULL THEN NULL ELSE holder END,
                    sent_at
             FROM messages WHERE queue = ?1 AND head = 1 AND visible_at > ?2
             ORDER BY seq LIMIT ?3",
        )?;
        let limit = i64::try_from(BLOCKED_MAX).unwrap_or(i64::MAX);
        let rows = statement.query_map(params![self.id, self.now, limit], |row| {
            let members = match group_of(self.id, row, 0)? {
                Some(group) => counts.of(&group)?,
                None => 0,
            };
            Ok(BlockedGroup {
                group: group(row, 0)?,
                head: text(row, 1)?,
                sent_at: timestamp(number(row, 4)?),
                until: timestamp(number(row, 2)?),
                why: match row.get_ref(3)? {
                    ValueRef::Null => Blocked::NotDue,
                    ValueRef::Integer(1) => Blocked::LeasedToWorker,
                    ValueRef::Integer(_)
                    | ValueRef::Real(_)
                    | ValueRef::Text(_)
                    | ValueRef::Blob(_) => Blocked::LeasedToClient,
                },
                // The head itself, which another program may have added.
                waiting: members.max(1),
            })
        })?;
        let blocked = rows.collect::<rusqlite::Result<_>>()?;
        transaction.commit()?;
        Ok(blocked)
    }

    fn count(&self, text: &str, parameters: impl rusqlite::Params) -> rusqlite::Result<u64> {
        let counted: i64 =
            self.sql.prepare_cached(text)?.query_row(parameters, |row| row.get(0))?;
        Ok(counted.unsigned_abs())
    }
}

/// Reads a whole number. Returns `None` for anything else.
fn integer(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<i64>> {
    Ok(row.get_ref(column)?.as_i64().ok())
}

/// Reads a row of the table of dead letters.
pub fn dead_letter(row: &Row<'_>) -> rusqlite::Result<DeadLetter> {
    Ok(DeadLetter {
        id: DeadLetterId::new(row.get::<_, i64>(0)?.to_string()),
        group: group(row, 1)?,
        key: text(row, 2)?,
        body: text(row, 3)?,
        reason: text(row, 4)?,
        sent_at: timestamp(number(row, 5)?),
        died_at: timestamp(number(row, 6)?),
        receive_count: count(row, 7)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::embedded::tables::new_tables;

    const NOW: i64 = 1_000_000;

    /// Makes a queue with `claimable` heads that were sent one after the other
    /// from 100 on, and as many that are not due.
    fn tables(claimable: i64, not_due: i64) -> Connection {
        let sql = Connection::open_in_memory().expect("memory is free");
        sql.execute_batch(&new_tables()).expect("the tables can be made");
        sql.execute("INSERT INTO queues (id, name) VALUES (1, 'q')", []).expect("a queue");
        let insert = "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n)
            INSERT INTO messages (queue, grp, key, sent_at, visible_at, head)
            SELECT 1, n, n, ?1 + n, ?2 + n, 1 FROM (SELECT n FROM n LIMIT ?3)";
        sql.execute(insert, [10, NOW, not_due]).expect("they can be inserted");
        sql.execute(insert, [100, 100, claimable]).expect("they can be inserted");
        sql
    }

    fn stats(sql: &Connection) -> QueueStats {
        QueueReader { sql, id: 1, now: NOW }.stats().expect("it can be read")
    }

    #[test]
    fn the_oldest_claimable_message_is_found_in_a_short_queue_and_in_a_long_one() {
        let age = |sent_at: i64| Some(Duration::from_millis((NOW - sent_at).unsigned_abs()));
        for claimable in [1, CLAIMABLE_READ_MAX - 1, CLAIMABLE_READ_MAX, 2 * CLAIMABLE_READ_MAX] {
            let sql = tables(claimable, 3);
            let found = stats(&sql);
            assert_eq!(found.depth, claimable.unsigned_abs() + 3);
            assert_eq!(found.oldest_age, age(11), "{claimable}");
            assert_eq!(found.oldest_claimable_age, age(101), "{claimable}");
            // The oldest one is claimable from now on only, as after a lease.
            sql.execute("UPDATE messages SET visible_at = ?1 WHERE sent_at = 101", [NOW])
                .expect("it is there");
            assert_eq!(stats(&sql).oldest_claimable_age, age(101), "{claimable}");
        }
        assert_eq!(stats(&tables(0, 3)).oldest_claimable_age, None);
        assert_eq!(stats(&tables(0, 0)), QueueStats::default());
    }

    #[test]
    fn counts_follow_every_change_of_the_tables() {
        let sql = tables(10, 0);
        let check = |change: &str, messages: u64, dead_letters: u64| {
            sql.execute_batch(change).expect("valid SQL");
            let found = stats(&sql);
            assert_eq!((found.depth, found.dead_letters), (messages, dead_letters), "{change}");
        };
        check("DELETE FROM messages WHERE seq <= 2", 8, 0);
        check("UPDATE messages SET consumed_at = 5, head = 0 WHERE seq <= 5", 5, 0);
        check("UPDATE messages SET consumed_at = 6 WHERE seq = 3", 5, 0);
        check("UPDATE messages SET consumed_at = NULL WHERE seq = 3", 6, 0);
        check("DELETE FROM messages WHERE consumed_at IS NOT NULL", 6, 0);
        check(
            "INSERT INTO dead_letters
             SELECT seq, queue, grp, key, '', sent_at, 1, '', 0 FROM messages WHERE seq < 8",
            6,
            3,
        );
        check("DELETE FROM dead_letters WHERE seq = 3", 6, 2);
        check("BEGIN; DELETE FROM messages; DELETE FROM dead_letters; ROLLBACK", 6, 2);
        assert_eq!(names_in_use(&sql).expect("it can be read"), ["q"]);
        check("DELETE FROM messages; DELETE FROM dead_letters", 0, 0);
        assert_eq!(names_in_use(&sql).expect("it can be read"), [""; 0]);
    }
}
