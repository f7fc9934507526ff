//! The archive: consumed outcomes, kept for redelivery.
//!
//! A consumed outcome keeps its row, and so its number, which is its place in
//! its group, and the lease that consumed it, which tells a repeated deletion
//! from a late one. The indexes of waiting messages do not have it.

use std::collections::HashSet;
use std::ops::RangeInclusive;

use rusqlite::Connection;
use rusqlite::OptionalExtension as _;
use rusqlite::params;

use super::groups::Group;
use super::receipt::LeaseId;
use super::store::Position;
use super::store::QueueRow;
use super::store::Result;
use super::store::Store;
use super::store::group_of;
use super::store::millis;
use hoth_core::domain::Timestamp;

/// Finds outcomes that were consumed in a time. The index has them in this
/// order, so the statement reads no others: it runs between the commits of all
/// callers.
const CONSUMED_BETWEEN: &str = "SELECT seq FROM messages
     WHERE queue = ?1 AND consumed_at IS NOT NULL AND consumed_at BETWEEN ?2 AND ?3
     ORDER BY consumed_at, seq LIMIT ?4";

/// Finds consumed outcomes by their keys. The index has everything, so no other
/// page is read. Keys are random, and an index in their order would cost a page
/// for each consumed outcome.
const CONSUMED_KEYS: &str = "SELECT seq, key FROM messages INDEXED BY consumed
     WHERE queue = ?1 AND consumed_at IS NOT NULL";

/// The selection of outcomes for a redelivery.
#[derive(Debug, Clone)]
pub enum Selection {
    /// Those that were consumed at this time or later.
    Since(Timestamp),
    /// Those with these numbers.
    Numbers(Vec<i64>),
}

/// Finds the numbers of consumed outcomes with one of these keys, at a cost that
/// grows with the archive: it runs beside the writer.
pub fn numbers_of(sql: &Connection, queue: i64, keys: &HashSet<&[u8]>) -> Result<Vec<i64>> {
    let mut statement = sql.prepare_cached(CONSUMED_KEYS)?;
    let mut rows = statement.query([queue])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let key = row.get_ref(1)?.as_bytes().unwrap_or_default();
        if keys.contains(key) {
            found.push(row.get(0)?);
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// The most messages that one transaction takes from the archive, so that it
/// delays the next one by no more than a few milliseconds.
pub const REDELIVERED_AT_ONCE: usize = 200;

impl Store<'_, '_> {
    /// Notes that a leased outcome was consumed.
    pub fn consume(&self, seq: i64) -> Result<()> {
        self.sql
            .prepare("UPDATE OR FAIL messages SET consumed_at = ?2, head = 0 WHERE seq = ?1")?
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
            .prepare("SELECT lease, consumed_at FROM messages WHERE seq = ?1 AND queue = ?2")?
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
        which: &Selection,
        consumed: RangeInclusive<Timestamp>,
    ) -> Result<u64> {
        let (from, to) = (millis(*consumed.start()), millis(*consumed.end()));
        let found: Vec<i64> = match which {
            Selection::Since(since) => {
                let mut statement = self.sql.prepare(CONSUMED_BETWEEN)?;
                let limit = i64::try_from(REDELIVERED_AT_ONCE).unwrap_or(i64::MAX);
                let from = from.max(millis(*since));
                let rows =
                    statement.query_map(params![queue.id, from, to, limit], |row| row.get(0))?;
                rows.collect::<Result<_>>()?
            }
            Selection::Numbers(numbers) => numbers.clone(),
        };
        let mut count = 0;
        for seq in found {
            count += u64::from(self.put_back(queue, seq, from..=to)?);
        }
        Ok(count)
    }

    /// Puts a message back in its old place if it was consumed within
    /// `consumed`. In front of the group's head, the message becomes the head.
    fn put_back(
        &self,
        queue: QueueRow<'_>,
        seq: i64,
        consumed: RangeInclusive<i64>,
    ) -> Result<bool> {
        let group: Option<Option<Group>> = self
            .sql
            .prepare(
                "SELECT grp FROM messages
                 WHERE seq = ?1 AND queue = ?2 AND consumed_at BETWEEN ?3 AND ?4",
            )?
            .query_row(params![seq, queue.id, consumed.start(), consumed.end()], |row| {
                group_of(queue.id, row, 0)
            })
            .optional()?;
        let Some(group) = group else { return Ok(false) };
        let head = group.as_ref().map(|group| self.head_of(group)).transpose()?.flatten();
        let is_head = head.is_none_or(|head| head > seq);
        // `receive_count` starts at 0 again and the lease is forgotten: the
        // earlier consumer's receipt must not hold the message.
        self.sql
            .prepare(
                "UPDATE OR FAIL messages SET consumed_at = NULL, sent_at = ?2, visible_at = ?2,
                 receive_count = 0, lease = NULL, holder = NULL, head = ?3 WHERE seq = ?1",
            )?
            .execute(params![seq, millis(self.now), is_head])?;
        if let Some(head) = head.filter(|_| is_head) {
            // It is now behind this message, and must not be offered as a head
            // any more.
            self.mark(head, Position::Behind)?;
        }
        if let Some(group) = group {
            self.enter_group(group, seq)?;
        }
        Ok(true)
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
