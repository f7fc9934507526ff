//! Outcomes that were consumed: kept for a while, each with its number and the
//! lease that consumed it, so that they can be had again.

use std::ops::RangeInclusive;

use rusqlite::OptionalExtension as _;
use rusqlite::params;

use super::receipt::Held;
use super::store::QueueRow;
use super::store::Result;
use super::store::Store;
use super::store::millis;
use crate::Redeliver;
use hoth_core::domain::Timestamp;

/// Messages that one transaction takes from the archive, so that it delays no
/// other by more than a few milliseconds.
pub const REDELIVERED_AT_ONCE: usize = 1_000;

impl Store<'_> {
    /// Keeps a held message that is about to be deleted.
    pub(super) fn archive(&self, seq: i64) -> Result<()> {
        self.sql
            .prepare_cached(
                "INSERT INTO archive (seq, queue, grp, key, body, consumed_at, lease)
                 SELECT seq, queue, grp, key, body, ?2, lease FROM messages WHERE seq = ?1",
            )?
            .execute(params![seq, millis(self.now)])?;
        Ok(())
    }

    /// Whether a message that is not held is gone, and not because somebody else
    /// has consumed it. What has left the archive is nobody's any more.
    pub(super) fn was_deleted(
        &self,
        queue: QueueRow<'_>,
        held: Held,
        archived_from: Timestamp,
    ) -> Result<bool> {
        if self.exists(queue, held.seq)? {
            return Ok(false);
        }
        let consumed_under: Option<Option<i64>> = self
            .sql
            .prepare_cached(
                "SELECT lease FROM archive WHERE seq = ?1 AND queue = ?2 AND consumed_at >= ?3",
            )?
            .query_row(params![held.seq, queue.id, millis(archived_from)], |row| row.get(0))
            .optional()?;
        // Before schema 2 the lease was not written down.
        Ok(consumed_under.flatten().is_none_or(|lease| lease == held.lease))
    }

    /// Moves up to [`REDELIVERED_AT_ONCE`] messages that were consumed within
    /// `consumed` from the archive back onto their queue, the oldest first, and
    /// says how many. Each has its old number again, and so its old place: before
    /// what came later in its group.
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
                let mut statement = self.sql.prepare_cached(
                    "SELECT seq FROM archive WHERE queue = ?1 AND consumed_at BETWEEN ?2 AND ?3
                     ORDER BY seq LIMIT ?4",
                )?;
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
                found.sort_unstable();
                found.dedup();
                found.truncate(REDELIVERED_AT_ONCE);
            }
        }
        found.iter().try_for_each(|seq| self.put_back(*seq))?;
        Ok(found.len() as u64)
    }

    /// Moves one message from the archive to its old place, which may be before
    /// the head of its group.
    fn put_back(&self, seq: i64) -> Result<()> {
        self.sql
            .prepare_cached(
                "INSERT INTO messages (seq, queue, grp, key, body, sent_at, visible_at, head)
                 SELECT seq, queue, grp, key, body, ?2, ?2, NOT EXISTS
                     (SELECT 1 FROM messages AS m
                      WHERE m.queue = archive.queue AND m.grp = archive.grp AND m.seq < ?1)
                 FROM archive WHERE seq = ?1",
            )?
            .execute(params![seq, millis(self.now)])?;
        self.sql
            .prepare_cached(
                "UPDATE messages SET head = 0 WHERE seq =
                 (SELECT MIN(m.seq) FROM messages AS m JOIN archive AS a
                  ON m.queue = a.queue AND m.grp = a.grp WHERE a.seq = ?1 AND m.seq > ?1)",
            )?
            .execute([seq])?;
        self.sql.prepare_cached("DELETE FROM archive WHERE seq = ?1")?.execute([seq])?;
        Ok(())
    }
}
