//! The archive: consumed outcomes, kept for redelivery.
//!
//! A consumed outcome keeps its row, and so its number, which is its place in
//! its group, and the lease that consumed it, which tells a repeated deletion
//! from a late one. The indexes of waiting messages do not have it.

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
const CONSUMED_BETWEEN: &str = "SELECT seq FROM messages
     WHERE queue = ?1 AND consumed_at IS NOT NULL AND consumed_at BETWEEN ?2 AND ?3
     ORDER BY consumed_at, seq LIMIT ?4";

/// The most messages that one transaction takes from the archive, so that it
/// delays the next one by no more than a few milliseconds.
pub const REDELIVERED_AT_ONCE: usize = 400;

impl Store<'_> {
    /// Notes that a leased outcome was consumed.
    pub fn consume(&self, seq: i64) -> Result<()> {
        self.sql
            .prepare_cached("UPDATE messages SET consumed_at = ?2, head = 0 WHERE seq = ?1")?
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
        let found: Option<(Option<i64>, Option<i64>)> = self
            .sql
            .prepare_cached(
                "SELECT lease, consumed_at FROM messages WHERE seq = ?1 AND queue = ?2",
            )?
            .query_row([lease.seq, queue.id], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        Ok(match found {
            // The message is still there.
            Some((_, None)) => false,
            // No lease: schema 1 did not store it. The deletion is taken for a
            // repetition, which is harmless.
            Some((consumer, Some(at))) if at >= millis(archived_from) => {
                consumer.is_none_or(|consumer| consumer == lease.lease)
            }
            // The message was no outcome, or has left the archive.
            Some(_) | None => true,
        })
    }

    /// Puts up to [`REDELIVERED_AT_ONCE`] messages that were consumed within
    /// `consumed` back onto their queue, in the order in which they were
    /// consumed, and returns their number. Each is in its old place in its
    /// group.
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
                    "SELECT seq FROM messages WHERE queue = ?1 AND key = ?2
                     AND consumed_at IS NOT NULL AND consumed_at BETWEEN ?3 AND ?4",
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

    /// Puts a consumed message back in its old place. If that is in front of the
    /// group's head, the message becomes the head.
    fn put_back(&self, seq: i64) -> Result<()> {
        // `receive_count` starts at 0 again and the lease is forgotten: the
        // earlier consumer's receipt must not hold the message.
        let is_head = self
            .sql
            .prepare_cached(
                "UPDATE messages SET consumed_at = NULL, sent_at = ?2, visible_at = ?2,
                 receive_count = 0, lease = NULL, holder = NULL,
                 head = NOT EXISTS (SELECT 1 FROM messages AS m
                                    WHERE m.queue = messages.queue AND m.grp = messages.grp
                                    AND m.seq < ?1 AND m.consumed_at IS NULL)
                 WHERE seq = ?1 RETURNING head",
            )?
            .query_row(params![seq, millis(self.now)], |row| row.get(0))?;
        if is_head {
            // The message that was the group's first is now behind this one,
            // and must not be offered as a head any more.
            self.sql
                .prepare_cached(
                    "UPDATE messages SET head = 0 WHERE seq =
                     (SELECT MIN(m.seq) FROM messages AS m JOIN messages AS back
                      ON m.queue = back.queue AND m.grp = back.grp
                      WHERE back.seq = ?1 AND m.seq > ?1 AND m.consumed_at IS NULL)",
                )?
                .execute([seq])?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::CONSUMED_BETWEEN;
    use crate::embedded::tables::new_tables;

    #[test]
    fn a_redelivery_reads_no_other_outcome_than_it_puts_back() {
        let sql = Connection::open_in_memory().expect("memory is free");
        sql.execute_batch(&new_tables()).expect("the tables can be made");
        let mut statement =
            sql.prepare(&format!("EXPLAIN QUERY PLAN {CONSUMED_BETWEEN}")).expect("valid SQL");
        let steps = statement.query_map([1, 2, 3, 4], |row| row.get::<_, String>(3));
        let steps: Vec<String> = steps.expect("it runs").map(|step| step.expect("text")).collect();
        assert_eq!(
            steps,
            ["SEARCH messages USING COVERING INDEX consumed \
              (queue=? AND consumed_at>? AND consumed_at<?)"]
        );
    }
}
