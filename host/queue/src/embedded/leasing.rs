//! Leasing messages: the heads of groups, and the messages behind them.

use rusqlite::Connection;
use rusqlite::OptionalExtension as _;
use rusqlite::Row;
use rusqlite::params;

use super::groups::Group;
use super::receipt::LeaseId;
use super::store::Leased;
use super::store::MessageRow;
use super::store::Position;
use super::store::QueueRow;
use super::store::Result;
use super::store::Store;
use super::store::count;
use super::store::group;
use super::store::group_of;
use super::store::millis;
use super::store::number;
use super::store::text;
use super::store::timestamp;
use crate::contract::Holder;
use crate::contract::Receive;
use crate::message::Received;
use hoth_core::domain::Timestamp;

/// The result of leasing from one group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum GroupReceive {
    /// Everything that was claimable and fitted was leased.
    Leased,
    /// A message was delivered too often, and is now a dead letter. The group
    /// may have a new head.
    MessageDied,
}

/// The result of taking one message.
#[derive(Debug)]
pub enum TakenRow {
    Leased(Leased),
    /// Another holder has it until then.
    InHand(Timestamp),
    NotFound,
}

/// Reads a waiting message. A `static`, so that its users share one address: see
/// [`Statements::prepare`](super::statements::Statements::prepare).
static WAITING: &str =
    "SELECT key, body, sent_at, receive_count, visible_at, grp, lease IS NOT NULL
     FROM messages LEFT JOIN bodies ON bodies.seq = messages.seq
     WHERE messages.seq = ?1 AND queue = ?2 AND consumed_at IS NULL";

/// Reads a row of [`WAITING`], with one more receive counted.
fn received(row: &Row<'_>) -> Result<Received> {
    Ok(Received {
        group: group(row, 5)?,
        key: text(row, 0)?,
        body: text(row, 1)?,
        sent_at: timestamp(number(row, 2)?),
        receive_count: count(row, 3)?.saturating_add(1),
    })
}

impl Store<'_, '_> {
    /// Leases the message with this number until `until`, wherever it is in its
    /// group, unless another holder has it.
    pub fn take(&self, queue: QueueRow<'_>, seq: i64, until: Timestamp) -> Result<TakenRow> {
        let message = {
            let mut statement = self.sql.prepare(WAITING)?;
            let mut rows = statement.query([seq, queue.id])?;
            let Some(row) = rows.next()? else { return Ok(TakenRow::NotFound) };
            let visible_at = number(row, 4)?;
            // A row keeps its last lease, so the time tells if it is still held.
            if number(row, 6)? == 1 && visible_at > millis(self.now) {
                return Ok(TakenRow::InHand(timestamp(visible_at)));
            }
            received(row)?
        };
        let lease = LeaseId { seq, lease: new_lease() };
        self.lease(lease, until, Holder::Process, message.receive_count)?;
        Ok(TakenRow::Leased(Leased { lease, message }))
    }

    /// Leases messages. The group that has been claimable longest comes first,
    /// with as many of its messages as fit.
    pub fn receive(&self, queue: QueueRow<'_>, receive: Receive) -> Result<Vec<Leased>> {
        let mut leased = Vec::new();
        loop {
            let mut new_heads = false;
            for head in self.claimable_heads(queue, receive.max - leased.len())? {
                let received = self.receive_group(queue, &head, receive, &mut leased)?;
                new_heads |= received == GroupReceive::MessageDied;
            }
            // Nothing else becomes claimable during a transaction: its time
            // stands still.
            if !new_heads || leased.len() == receive.max {
                return Ok(leased);
            }
        }
    }

    fn claimable_heads(&self, queue: QueueRow<'_>, limit: usize) -> Result<Vec<MessageRow>> {
        // The index `claimable` has this order, so the cost does not grow with
        // the number of messages.
        let mut statement = self.sql.prepare(
            "SELECT seq, grp FROM messages
             WHERE queue = ?1 AND head = 1 AND visible_at <= ?2
             ORDER BY visible_at, seq LIMIT ?3",
        )?;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows = statement.query_map(params![queue.id, millis(self.now), limit], |row| {
            let group = group_of(queue.id, row, 1)?;
            Ok(MessageRow { seq: row.get(0)?, group, position: Position::Head })
        })?;
        rows.collect()
    }

    fn receive_group(
        &self,
        queue: QueueRow<'_>,
        head: &MessageRow,
        receive: Receive,
        leased: &mut Vec<Leased>,
    ) -> Result<GroupReceive> {
        // There may be a head for every requested message, so the messages
        // behind the first heads can leave no room for the last heads.
        let (until, limit) = (self.now + receive.lease, receive.max - leased.len());
        if limit == 0 {
            return Ok(GroupReceive::Leased);
        }
        for (lease, message) in self.prefix(queue, head, limit)? {
            if queue.name.deliveries_max().is_some_and(|most| message.receive_count > most) {
                // This receive delivers nothing, so it does not count.
                let reason =
                    format!("received {} times and never settled", message.receive_count - 1);
                let is_head = lease.seq == head.seq;
                let position = if is_head { Position::Head } else { Position::Behind };
                let died = MessageRow { seq: lease.seq, group: head.group.clone(), position };
                self.dead_letter(&died, &reason)?;
                // The rest of the prefix is out of date: the next message may
                // have become the head. The caller reads the heads again.
                return Ok(GroupReceive::MessageDied);
            }
            self.lease(lease, until, receive.holder, message.receive_count)?;
            leased.push(Leased { lease, message });
        }
        Ok(GroupReceive::Leased)
    }

    fn lease(
        &self,
        lease: LeaseId,
        until: Timestamp,
        holder: Holder,
        receive_count: u32,
    ) -> Result<()> {
        let holder = match holder {
            Holder::Process => 1,
            Holder::Client => 2,
        };
        // The new number replaces that of the last lease, so from now on no act
        // under an earlier receipt finds the row.
        self.sql
            .prepare(
                "UPDATE messages SET visible_at = ?2, lease = ?3, holder = ?4,
                 receive_count = ?5 WHERE seq = ?1",
            )?
            .execute(params![lease.seq, millis(until), lease.lease, holder, receive_count])?;
        Ok(())
    }

    /// Returns the messages of a group from its head up to the first one that
    /// is not claimable, with this receive counted.
    fn prefix(
        &self,
        queue: QueueRow<'_>,
        head: &MessageRow,
        limit: usize,
    ) -> Result<Vec<(LeaseId, Received)>> {
        let behind = match &head.group {
            Some(group) => self.members_behind(group, head.seq, limit.saturating_sub(1))?,
            None => Vec::new(),
        };
        let mut statement = self.sql.prepare(WAITING)?;
        let mut prefix = Vec::new();
        for seq in [head.seq].into_iter().chain(behind) {
            let mut rows = statement.query([seq, queue.id])?;
            // Another program may have deleted a message.
            let Some(row) = rows.next()? else { continue };
            let visible_at = number(row, 4)?;
            if visible_at > millis(self.now) {
                break;
            }
            let lease = LeaseId { seq, lease: new_lease() };
            prefix.push((lease, received(row)?));
        }
        Ok(prefix)
    }

    fn members_behind(&self, group: &Group, seq: i64, limit: usize) -> Result<Vec<i64>> {
        self.groups.borrow().members_after(self.sql, group, seq, limit)
    }

    /// Returns the time at which the next head becomes claimable by itself, or
    /// `None` if none does.
    pub fn next_due(&self, queue: QueueRow<'_>) -> Result<Option<Timestamp>> {
        let due: Option<i64> = self
            .sql
            .prepare(
                "SELECT visible_at FROM messages
                 WHERE queue = ?1 AND head = 1 AND visible_at > ?2
                 ORDER BY visible_at LIMIT 1",
            )?
            .query_row(params![queue.id, millis(self.now)], |row| row.get(0))
            .optional()?;
        Ok(due.map(timestamp))
    }
}

/// Ends the leases of an earlier process, so that its messages are claimable at
/// once.
pub fn end_process_leases(sql: &Connection, now: Timestamp) -> Result<usize> {
    sql.execute(
        "UPDATE messages SET visible_at = ?1 WHERE lease IS NOT NULL AND consumed_at IS NULL
         AND holder = 1 AND visible_at > ?1",
        [millis(now)],
    )
}

/// Makes a number that no earlier lease of any process had, but for a chance of
/// one in 2^63.
fn new_lease() -> i64 {
    let (number, _) = uuid::Uuid::new_v4().as_u64_pair();
    (number >> 1).cast_signed()
}
