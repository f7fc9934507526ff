//! The archive of consumed outcomes, kept for redelivery.
//!
//! Each outcome keeps its number, which is its place in its group, and the
//! lease that consumed it, which tells a repeated deletion from a late one.

use std::ops::RangeInclusive;

use rusqlite::OptionalExtension as _;
use rusqlite::params;

use super::receipt::LeaseId;
use super::store::QueueRow;
use super::store::Result;
use super::store::Store;
use super::store::millis;
use crate::contract::Redeliver;
use hoth_core::domain::Timestamp;

/// Finds outcomes that were consumed in a time. The index has them in this
/// order, so the statement reads no others: it runs between the commits of all
/// callers.
const CONSUMED_BETWEEN: &str = "SELECT seq FROM archive
     WHERE queue = ?1 AND consumed_at BETWEEN ?2 AND ?3
     ORDER BY consumed_at, seq LIMIT ?4";

/// The most messages that one transaction takes from the archive, so that it
/// delays the next one by no more than a few milliseconds.
pub const REDELIVERED_AT_ONCE: usize = 1_000;

impl Store<'_> {
    /// Copies a leased message that is about to be deleted into the archive.
    pub fn archive(&self, seq: i64) -> Result<()> {
        self.sql
            .prepare_cached(
                "INSERT INTO archive (seq, queue, grp, key, body, consumed_at, lease)
                 SELECT seq, queue, grp, key, body, ?2, lease FROM messages WHERE seq = ?1",
            )?
            .execute(params![seq, millis(self.now)])?;
        Ok(())
    }

    /// Tells a repeated deletion from a late one. Returns true if the message
    /// was deleted under this lease, as far as the archive can tell; false if
    /// it is still there, or if the next holder has consumed it.
    pub fn was_deleted(
        &self,
        queue: QueueRow<'_>,
        lease: LeaseId,
        archived_from: Timestamp,
    ) -> Result<bool> {
        if self.exists(queue, lease.seq)? {
            return Ok(false);
        }
        let consumed_under: Option<Option<i64>> = self
            .sql
            .prepare_cached(
                "SELECT lease FROM archive WHERE seq = ?1 AND queue = ?2 AND consumed_at >= ?3",
            )?
            .query_row(params![lease.seq, queue.id, millis(archived_from)], |row| row.get(0))
            .optional()?;
        // No row: the message was no outcome, or has left the archive. No
        // lease: schema 1 did not store it. In both cases the deletion is taken
        // for a repetition, which is harmless.
        Ok(consumed_under.flatten().is_none_or(|consumer| consumer == lease.lease))
    }

    /// Moves up to [`REDELIVERED_AT_ONCE`] messages that were consumed within
    /// `consumed` from the archive back onto their queue, those first that were
    /// consumed first, and returns their number. Each keeps its sequence number, and so its place
    /// in its group.
    pub fn redeliver(
        &self,
        queue: QueueRow<'_>,
        which: &Redeliver,
        consumed: RangeInclusive<Timestamp>,
    ) -> Result<u64> {
        let (from, to) = (millis(*consumed.start()), millis(*consumed.end()));
        let limit = i64::try_from(REDELIVERED_AT_ONCE).unwrap_or(i64::MAX);
        let mut found: Vec<i64> = Vec::new();
        match which {
            Redeliver::Since(since) => {
                let mut statement = self.sql.prepare_cached(CONSUMED_BETWEEN)?;
                let from = from.max(millis(*since));
                let rows =
                    statement.query_map(params![queue.id, from, to, limit], |row| row.get(0))?;
                found.extend(rows.collect::<Result<Vec<i64>>>()?);
            }
            Redeliver::Keys(keys) => {
                let mut statement = self.sql.prepare_cached(
                    "SELECT seq FROM archive
                     WHERE queue = ?1 AND key = ?2 AND consumed_at BETWEEN ?3 AND ?4",
                )?;
                for key in keys {
                    let rows =
                        statement.query_map(params![queue.id, key, from, to], |row| row.get(0))?;
                    found.extend(rows.collect::<Result<Vec<i64>>>()?);
                }
                // A key that is named twice, or that two messages have, must
                // not put a message back twice.
                found.sort_unstable();
                found.dedup();
                // The rest stays in the archive, for the next part.
                found.truncate(REDELIVERED_AT_ONCE);
            }
        }
        found.iter().try_for_each(|seq| self.put_back(*seq))?;
        Ok(found.len() as u64)
    }

    /// Moves one message from the archive to its old place. If that is in front
    /// of the group's head, the message becomes the head.
    fn put_back(&self, seq: i64) -> Result<()> {
        // `receive_count` starts at 0 again and no lease is copied: the earlier
        // consumer's receipt must not hold the message.
        self.sql
            .prepare_cached(
                "INSERT INTO messages (seq, queue, grp, key, body, sent_at, visible_at, head)
                 SELECT seq, queue, grp, key, body, ?2, ?2, NOT EXISTS
                     (SELECT 1 FROM messages AS m
                      WHERE m.queue = archive.queue AND m.grp = archive.grp AND m.seq < ?1)
                 FROM archive WHERE seq = ?1",
            )?
            .execute(params![seq, millis(self.now)])?;
        // The message that was the group's first is now behind it, and must not
        // be offered as a head any more.
        self.sql
            .prepare_cached(
                "UPDATE messages SET head = 0 WHERE seq =
                 (SELECT MIN(m.seq) FROM messages AS m JOIN archive AS a
                  ON m.queue = a.queue AND m.grp = a.grp WHERE a.seq = ?1 AND m.seq > ?1)",
            )?
            .execute([seq])?;
        // Last, because both statements above read this row.
        self.sql.prepare_cached("DELETE FROM archive WHERE seq = ?1")?.execute([seq])?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::CONSUMED_BETWEEN;
    use crate::embedded::tables::TABLES;

    #[test]
    fn a_redelivery_reads_no_other_outcome_than_it_puts_back() {
        let sql = Connection::open_in_memory().expect("memory is free");
        sql.execute_batch(TABLES).expect("the tables can be made");
        let mut statement =
            sql.prepare(&format!("EXPLAIN QUERY PLAN {CONSUMED_BETWEEN}")).expect("valid SQL");
        let steps = statement.query_map([1, 2, 3, 4], |row| row.get::<_, String>(3));
        let steps: Vec<String> = steps.expect("it runs").map(|step| step.expect("text")).collect();
        assert_eq!(
            steps,
            ["SEARCH archive USING COVERING INDEX archive_by_time \
              (queue=? AND consumed_at>? AND consumed_at<?)"]
        );
    }
}
