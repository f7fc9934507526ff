//! What the queue does to the tables, inside somebody's transaction.

use rusqlite::Connection;
use rusqlite::OptionalExtension as _;
use rusqlite::Row;
use rusqlite::params;
use rusqlite::types::ValueRef;

use super::receipt::Held;
use crate::Dedup;
use crate::Holder;
use crate::NewMessage;
use crate::QueueName;
use crate::Received;
use crate::Sent;
use crate::Stage;
use hoth_core::domain::Timestamp;
use hoth_platform::failpoint;
use hoth_platform::failpoint::FailPoint;

/// How long a deduplication key is remembered: 24 h.
const DEDUP_MS: u64 = 24 * 60 * 60 * 1_000;

/// Rows that one purge deletes from each table, so that forgetting never
/// delays a transaction by more than a few milliseconds.
const PURGE_MAX: i64 = 500;

/// A queue and its row in the table `queues`.
#[derive(Debug, Clone, Copy)]
pub struct QueueRow<'a> {
    pub id: i64,
    pub name: &'a QueueName,
}

/// A message and the hold that was taken on it.
#[derive(Debug)]
pub struct Leased {
    pub held: Held,
    pub message: Received,
}

/// A message that is held under a receipt.
struct HeldRow {
    grp: String,
    head: bool,
}

/// The tables at a moment.
pub struct Store<'a> {
    pub sql: &'a Connection,
    pub now: Timestamp,
}

pub(super) type Result<T> = rusqlite::Result<T>;

pub(super) fn millis(time: Timestamp) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

/// A text column. What another hand put there need not be text; it is read all
/// the same, so that it can be found unreadable and be buried.
fn text(row: &Row<'_>, column: usize) -> Result<String> {
    match row.get_ref(column)? {
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => {
            Ok(String::from_utf8_lossy(bytes).into_owned())
        }
        ValueRef::Null | ValueRef::Integer(_) | ValueRef::Real(_) => row.get(column),
    }
}

fn timestamp(millis: i64) -> Timestamp {
    Timestamp::from_millis(u64::try_from(millis).unwrap_or(0))
}

impl Store<'_> {
    /// The id of the queue `name`, made at its first use.
    pub fn queue_id(&self, name: &str) -> Result<i64> {
        let known = self
            .sql
            .prepare_cached("SELECT id FROM queues WHERE name = ?1")?
            .query_row([name], |row| row.get(0))
            .optional()?;
        if let Some(id) = known {
            return Ok(id);
        }
        self.sql.prepare_cached("INSERT INTO queues (name) VALUES (?1)")?.execute([name])?;
        Ok(self.sql.last_insert_rowid())
    }

    /// Sends, unless the key was used before.
    pub fn send(&self, queue: QueueRow<'_>, message: &NewMessage) -> Result<Sent> {
        match self.known(queue.name, &message.dedup)? {
            Some(before) => Ok(before),
            None => {
                self.remember(queue.name, &message.dedup)?;
                self.insert(queue, message)?;
                Ok(Sent::Queued)
            }
        }
    }

    fn known(&self, queue: &QueueName, dedup: &Dedup) -> Result<Option<Sent>> {
        let content: Option<Vec<u8>> = self
            .sql
            .prepare_cached(
                "SELECT content FROM dedup WHERE scope = ?1 AND key = ?2 AND expires_at > ?3",
            )?
            .query_row(params![queue.family(), dedup.key, millis(self.now)], |row| row.get(0))
            .optional()?;
        Ok(content.map(|content| match content == dedup.content.as_bytes() {
            true => Sent::Duplicate,
            false => Sent::Conflict,
        }))
    }

    fn remember(&self, queue: &QueueName, dedup: &Dedup) -> Result<()> {
        let expires_at = millis(self.now).saturating_add_unsigned(DEDUP_MS);
        self.sql
            .prepare_cached("INSERT OR REPLACE INTO dedup VALUES (?1, ?2, ?3, ?4)")?
            .execute(params![queue.family(), dedup.key, dedup.content.as_bytes(), expires_at])?;
        Ok(())
    }

    /// Puts a message onto a queue, whatever its deduplication key. A message
    /// that replaces another in the same transaction is sent so: it cannot be
    /// a repetition, and a row that nobody will ask for costs a write.
    pub fn insert(&self, queue: QueueRow<'_>, message: &NewMessage) -> Result<()> {
        let visible_at = message.not_before.map_or(self.now, |due| due.max(self.now));
        self.sql
            .prepare_cached(
                "INSERT INTO messages (queue, grp, key, body, sent_at, visible_at, head)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6,
                         NOT EXISTS (SELECT 1 FROM messages WHERE queue = ?1 AND grp = ?2))",
            )?
            .execute(params![
                queue.id,
                message.group,
                message.key,
                message.body,
                millis(self.now),
                millis(visible_at)
            ])?;
        Ok(())
    }

    /// Leases up to `max` messages until `until`. The group that has been
    /// claimable longest comes first, with as many of its messages as fit.
    pub fn receive(
        &self,
        queue: QueueRow<'_>,
        max: usize,
        until: Timestamp,
        holder: Holder,
    ) -> Result<Vec<Leased>> {
        let mut leased = Vec::new();
        // Once more only after a burial, which may have freed a group.
        let mut buried = true;
        while buried && leased.len() < max {
            buried = false;
            for (seq, grp) in self.claimable_heads(queue, max - leased.len())? {
                buried |= self.receive_group(queue, &grp, seq, max, until, holder, &mut leased)?;
            }
        }
        Ok(leased)
    }

    fn claimable_heads(&self, queue: QueueRow<'_>, limit: usize) -> Result<Vec<(i64, String)>> {
        let mut statement = self.sql.prepare_cached(
            "SELECT seq, grp FROM messages
             WHERE queue = ?1 AND head = 1 AND visible_at <= ?2
             ORDER BY visible_at, seq LIMIT ?3",
        )?;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows = statement.query_map(params![queue.id, millis(self.now), limit], |row| {
            Ok((row.get(0)?, text(row, 1)?))
        })?;
        rows.collect()
    }

    #[expect(clippy::too_many_arguments, reason = "one step of `receive`, cut out for its length")]
    fn receive_group(
        &self,
        queue: QueueRow<'_>,
        grp: &str,
        head: i64,
        max: usize,
        until: Timestamp,
        holder: Holder,
        leased: &mut Vec<Leased>,
    ) -> Result<bool> {
        if leased.len() >= max {
            return Ok(false);
        }
        for (held, message) in self.prefix(queue, grp, head, max - leased.len())? {
            if queue.name.deliveries_max().is_some_and(|most| message.receive_count > most) {
                let reason = format!("delivered {} times without end", message.receive_count - 1);
                self.bury(queue, held.seq, grp, true, &reason)?;
                // What follows in the group has a new head, and its turn.
                return Ok(true);
            }
            let holder = match holder {
                Holder::Process => 1,
                Holder::Client => 2,
            };
            self.sql
                .prepare_cached(
                    "UPDATE messages SET visible_at = ?2, lease = ?3, holder = ?4,
                     receive_count = ?5 WHERE seq = ?1",
                )?
                .execute(params![
                    held.seq,
                    millis(until),
                    held.lease,
                    holder,
                    message.receive_count
                ])?;
            leased.push(Leased { held, message });
        }
        Ok(false)
    }

    /// The group's messages from its head up to the first that is not
    /// claimable, counted as received.
    fn prefix(
        &self,
        queue: QueueRow<'_>,
        grp: &str,
        head: i64,
        limit: usize,
    ) -> Result<Vec<(Held, Received)>> {
        let mut statement = self.sql.prepare_cached(
            "SELECT seq, key, body, sent_at, receive_count, visible_at FROM messages
             WHERE queue = ?1 AND grp = ?2 AND seq >= ?3 ORDER BY seq LIMIT ?4",
        )?;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let mut rows = statement.query(params![queue.id, grp, head, limit])?;
        let mut prefix = Vec::new();
        while let Some(row) = rows.next()? {
            let visible_at: i64 = row.get(5)?;
            if visible_at > millis(self.now) {
                break;
            }
            let held = Held { seq: row.get(0)?, lease: new_lease() };
            let message = Received {
                group: grp.to_owned(),
                key: text(row, 1)?,
                body: text(row, 2)?,
                sent_at: timestamp(row.get(3)?),
                receive_count: row.get::<_, u32>(4)?.saturating_add(1),
            };
            prefix.push((held, message));
        }
        Ok(prefix)
    }

    /// The message under a receipt, if that still holds it.
    fn held(&self, queue: QueueRow<'_>, held: Held) -> Result<Option<HeldRow>> {
        self.sql
            .prepare_cached(
                "SELECT grp, head FROM messages
                 WHERE seq = ?1 AND queue = ?2 AND lease = ?3 AND visible_at > ?4",
            )?
            .query_row(params![held.seq, queue.id, held.lease, millis(self.now)], |row| {
                Ok(HeldRow { grp: row.get(0)?, head: row.get(1)? })
            })
            .optional()
    }

    pub(super) fn exists(&self, queue: QueueRow<'_>, seq: i64) -> Result<bool> {
        self.sql
            .prepare_cached("SELECT EXISTS (SELECT 1 FROM messages WHERE seq = ?1 AND queue = ?2)")?
            .query_row(params![seq, queue.id], |row| row.get(0))
    }

    /// Deletes a held message; an outcome goes to the archive, with its number
    /// and the lease that consumed it. False: the lease has ended, and the
    /// message stays or was another holder's to delete.
    pub fn delete(
        &self,
        queue: QueueRow<'_>,
        held: Held,
        archived_from: Timestamp,
    ) -> Result<bool> {
        let Some(row) = self.held(queue, held)? else {
            return self.was_deleted(queue, held, archived_from);
        };
        if queue.name.stage == Stage::Outcomes {
            self.archive(held.seq)?;
        }
        self.remove(queue, held.seq, &row.grp, row.head)?;
        Ok(true)
    }

    fn remove(&self, queue: QueueRow<'_>, seq: i64, grp: &str, head: bool) -> Result<()> {
        self.sql.prepare_cached("DELETE FROM messages WHERE seq = ?1")?.execute([seq])?;
        if head {
            self.sql
                .prepare_cached(
                    "UPDATE messages SET head = 1 WHERE seq =
                     (SELECT MIN(seq) FROM messages WHERE queue = ?1 AND grp = ?2)",
                )?
                .execute(params![queue.id, grp])?;
        }
        Ok(())
    }

    /// Makes a lease end at `until`. False: it has ended already.
    pub fn change_lease(&self, queue: QueueRow<'_>, held: Held, until: Timestamp) -> Result<bool> {
        let changed = self
            .sql
            .prepare_cached(
                "UPDATE messages SET visible_at = ?4
                 WHERE seq = ?1 AND queue = ?2 AND lease = ?3 AND visible_at > ?5",
            )?
            .execute(params![held.seq, queue.id, held.lease, millis(until), millis(self.now)])?;
        Ok(changed == 1)
    }

    /// Replaces a held message. False: the lease has ended, and nothing was
    /// sent.
    pub fn settle(
        &self,
        queue: QueueRow<'_>,
        held: Held,
        successor_queue: QueueRow<'_>,
        successor: &NewMessage,
    ) -> Result<bool> {
        let Some(row) = self.held(queue, held)? else { return Ok(false) };
        self.insert(successor_queue, successor)?;
        failpoint::reach(FailPoint::AfterSendBeforeDelete);
        self.remove(queue, held.seq, &row.grp, row.head)?;
        Ok(true)
    }

    /// Makes a held message a dead letter. False: the lease has ended.
    pub fn bury_held(&self, queue: QueueRow<'_>, held: Held, reason: &str) -> Result<bool> {
        let Some(row) = self.held(queue, held)? else { return Ok(false) };
        self.bury(queue, held.seq, &row.grp, row.head, reason)?;
        Ok(true)
    }

    fn bury(
        &self,
        queue: QueueRow<'_>,
        seq: i64,
        grp: &str,
        head: bool,
        reason: &str,
    ) -> Result<()> {
        self.sql
            .prepare_cached(
                "INSERT INTO dead_letters
                 SELECT seq, queue, grp, key, body, sent_at, receive_count, ?2, ?3
                 FROM messages WHERE seq = ?1",
            )?
            .execute(params![seq, reason, millis(self.now)])?;
        self.remove(queue, seq, grp, head)
    }

    /// Replaces a dead letter by a message. False: there is none.
    pub fn revive(&self, queue: QueueRow<'_>, id: i64, message: &NewMessage) -> Result<bool> {
        if self.discard(queue, &[id])? == 0 {
            return Ok(false);
        }
        self.insert(queue, message)?;
        Ok(true)
    }

    /// Deletes dead letters, and says how many there were.
    pub fn discard(&self, queue: QueueRow<'_>, ids: &[i64]) -> Result<u64> {
        let mut statement =
            self.sql.prepare_cached("DELETE FROM dead_letters WHERE queue = ?1 AND seq = ?2")?;
        let mut count = 0;
        for id in ids {
            count += statement.execute([queue.id, *id])? as u64;
        }
        Ok(count)
    }

    /// Ends the leases of an earlier process: its messages are claimable now.
    pub fn end_process_leases(&self) -> Result<usize> {
        self.sql.execute(
            "UPDATE messages SET visible_at = ?1 WHERE lease IS NOT NULL AND holder = 1
             AND visible_at > ?1",
            [millis(self.now)],
        )
    }

    /// When a head that is not claimable now becomes so; the first of them.
    pub fn next_due(&self, queue: QueueRow<'_>) -> Result<Option<Timestamp>> {
        let due: Option<i64> = self
            .sql
            .prepare_cached(
                "SELECT visible_at FROM messages
                 WHERE queue = ?1 AND head = 1 AND visible_at > ?2
                 ORDER BY visible_at LIMIT 1",
            )?
            .query_row(params![queue.id, millis(self.now)], |row| row.get(0))
            .optional()?;
        Ok(due.map(timestamp))
    }

    /// Forgets some of what has outlived its time: deduplication keys, and
    /// outcomes consumed before `archived_from`. True: there may be more.
    pub fn purge(&self, archived_from: Timestamp) -> Result<bool> {
        let keys = self
            .sql
            .prepare_cached(
                "DELETE FROM dedup WHERE (scope, key) IN
                 (SELECT scope, key FROM dedup WHERE expires_at <= ?1 LIMIT ?2)",
            )?
            .execute(params![millis(self.now), PURGE_MAX])?;
        let outcomes = self
            .sql
            .prepare_cached(
                "DELETE FROM archive WHERE seq IN
                 (SELECT seq FROM archive WHERE consumed_at < ?1 LIMIT ?2)",
            )?
            .execute(params![millis(archived_from), PURGE_MAX])?;
        Ok(keys.max(outcomes) as i64 == PURGE_MAX)
    }
}

/// A number that no earlier lease of any process had, but for one in 2^63.
fn new_lease() -> i64 {
    let (number, _) = uuid::Uuid::new_v4().as_u64_pair();
    (number >> 1).cast_signed()
}
