//! The operations on the tables, inside the writer's transaction.

use std::cell::RefCell;

use rusqlite::OptionalExtension as _;
use rusqlite::Row;
use rusqlite::params;
use rusqlite::types::ValueRef;

use super::backlog::Backlog;
use super::groups::Group;
use super::groups::Groups;
use super::receipt::LeaseId;
use super::statements::Statements;
use super::stored_id::StoredId;
use crate::contract::Redrive;
use crate::error::QueueError;
use crate::message::NewMessage;
use crate::message::Received;
use crate::name::QueueName;
use crate::name::Stage;
use hoth_core::domain::Timestamp;
use hoth_platform::failpoint;
use hoth_platform::failpoint::FailPoint;

/// The outcomes that one transaction deletes when they expire, so that it
/// delays the next one by no more than a few milliseconds.
const EXPIRE_MAX: i64 = 200;

/// A queue and its row in the table `queues`.
#[derive(Debug, Clone, Copy)]
pub struct QueueRow<'a> {
    pub id: i64,
    pub name: &'a QueueName,
}

/// A message and the lease that was taken on it.
#[derive(Debug)]
pub struct Leased {
    pub lease: LeaseId,
    pub message: Received,
}

/// The refusal of an operation whose lease has ended: the message was left as
/// it is, or another holder has deleted it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeaseEnded;

impl From<LeaseEnded> for QueueError {
    fn from(_: LeaseEnded) -> Self {
        Self::LeaseEnded
    }
}

/// The result of an operation that needs a lease.
pub type UnderLease = std::result::Result<(), LeaseEnded>;

/// A message in its group.
pub struct MessageRow {
    pub seq: i64,
    /// `None` for a group that no host has named.
    pub group: Option<Group>,
    pub position: Position,
}

/// The position of a message in its group. Only heads are offered, so a new
/// head must be marked when the old one goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Position {
    /// The oldest message.
    Head,
    Behind,
}

/// The tables at one time.
#[derive(Clone, Copy)]
pub struct Store<'a, 'c> {
    pub sql: &'a Statements<'c>,
    pub now: Timestamp,
    /// The waiting messages of each group.
    pub groups: &'a RefCell<Groups>,
}

pub type Result<T> = rusqlite::Result<T>;

pub fn millis(time: Timestamp) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

pub fn timestamp(millis: i64) -> Timestamp {
    Timestamp::from_millis(u64::try_from(millis).unwrap_or(0))
}

/// Reads a text column, with U+FFFD for bytes that are not UTF-8, and a number
/// as its digits. An operator's tool may have written them: SQLite does not
/// check texts. The message must reach a receiver all the same, which finds it
/// unreadable and dead-letters it.
pub fn text(row: &Row<'_>, column: usize) -> Result<String> {
    match row.get_ref(column)? {
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => {
            Ok(String::from_utf8_lossy(bytes).into_owned())
        }
        ValueRef::Null => Ok(String::new()),
        ValueRef::Integer(number) => Ok(number.to_string()),
        ValueRef::Real(number) => Ok(number.to_string()),
    }
}

/// Reads the name of a group: see [`StoredId`] and [`text`].
pub fn group(row: &Row<'_>, column: usize) -> Result<String> {
    let digest: Option<&[u8; 16]> =
        row.get_ref(column)?.as_blob().ok().and_then(|bytes| bytes.try_into().ok());
    digest.map_or_else(|| text(row, column), |digest| Ok(hex::encode(digest)))
}

/// Reads the group of a message, or `None` if no host has named it.
pub fn group_of(queue: i64, row: &Row<'_>, column: usize) -> Result<Option<Group>> {
    Ok(StoredId::read(row.get_ref(column)?).map(|id| Group { queue, id }))
}

/// Reads a column of whole numbers, with 0 for anything else: see [`text`].
pub fn number(row: &Row<'_>, column: usize) -> Result<i64> {
    match row.get_ref(column)? {
        ValueRef::Integer(number) => Ok(number),
        ValueRef::Null | ValueRef::Real(_) | ValueRef::Text(_) | ValueRef::Blob(_) => Ok(0),
    }
}

/// Reads the number of deliveries: see [`number`].
pub fn count(row: &Row<'_>, column: usize) -> Result<u32> {
    Ok(u32::try_from(number(row, column)?).unwrap_or(0))
}

impl Store<'_, '_> {
    /// Returns the id of the queue `name`, and makes its row at its first use.
    pub fn queue_id(&self, name: &str) -> Result<i64> {
        let known = self
            .sql
            .prepare("SELECT id FROM queues WHERE name = ?1")?
            .query_row([name], |row| row.get(0))
            .optional()?;
        if let Some(id) = known {
            return Ok(id);
        }
        self.sql.prepare("INSERT INTO queues (name) VALUES (?1)")?.execute([name])?;
        // An INTEGER PRIMARY KEY is the rowid (SQLite documentation, "ROWIDs
        // and the INTEGER PRIMARY KEY").
        Ok(self.sql.connection().last_insert_rowid())
    }

    /// Puts a message onto a queue, whatever its deduplication key. Successors
    /// and reports are sent like this: a message that replaces another in the
    /// same transaction cannot be a repetition, and remembering its key would
    /// cost a write.
    pub fn insert(&self, queue: QueueRow<'_>, message: &NewMessage) -> Result<()> {
        // Never in the past: groups are served in the order in which they
        // became claimable, and a due time of yesterday must not overtake them.
        let visible_at = message.not_before.map_or(self.now, |due| due.max(self.now));
        let group = Group { queue: queue.id, id: StoredId::new(message.group.as_str()) };
        let is_head = self.head_of(&group)?.is_none();
        self.sql
            .prepare(
                "INSERT OR FAIL INTO messages (queue, grp, key, sent_at, visible_at, head)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?
            .execute(params![
                queue.id,
                group.id,
                message.key,
                millis(self.now),
                millis(visible_at),
                is_head
            ])?;
        let seq = self.sql.connection().last_insert_rowid();
        self.enter_group(group, seq)?;
        self.sql
            .prepare("INSERT INTO bodies VALUES (?1, ?2)")?
            .execute(params![seq, message.body])?;
        Ok(())
    }

    /// Returns the message of a lease, or `None` if the lease has ended.
    fn leased(&self, queue: QueueRow<'_>, lease: LeaseId) -> Result<Option<MessageRow>> {
        // At its end a lease counts no more, even if no other receiver has
        // taken the message yet: a late act must fail the same way in both
        // cases.
        self.sql
            .prepare(
                "SELECT head, grp FROM messages
                 WHERE seq = ?1 AND queue = ?2 AND lease = ?3 AND visible_at > ?4
                 AND consumed_at IS NULL",
            )?
            .query_row(params![lease.seq, queue.id, lease.lease, millis(self.now)], |row| {
                let position = if row.get(0)? { Position::Head } else { Position::Behind };
                let group = group_of(queue.id, row, 1)?;
                Ok(MessageRow { seq: lease.seq, group, position })
            })
            .optional()
    }

    /// Deletes a leased message. An outcome stays in its row, as consumed.
    pub fn delete(
        &self,
        queue: QueueRow<'_>,
        lease: LeaseId,
        archived_from: Timestamp,
    ) -> Result<UnderLease> {
        let Some(message) = self.leased(queue, lease)? else {
            let repeated = self.was_deleted(queue, lease, archived_from)?;
            return Ok(if repeated { Ok(()) } else { Err(LeaseEnded) });
        };
        match queue.name.stage {
            Stage::Outcomes => {
                self.leave_group(&message)?;
                self.consume(message.seq)?;
            }
            Stage::Requests(_) | Stage::Polls(_) => self.remove(&message)?,
        }
        Ok(Ok(()))
    }

    fn remove(&self, message: &MessageRow) -> Result<()> {
        self.leave_group(message)?;
        self.sql.prepare("DELETE FROM messages WHERE seq = ?1")?.execute([message.seq])?;
        Ok(())
    }

    /// Makes a lease end at `until`.
    pub fn change_lease(
        &self,
        queue: QueueRow<'_>,
        lease: LeaseId,
        until: Timestamp,
    ) -> Result<UnderLease> {
        // `visible_at` is both the end of a lease and the time from which on a
        // message is claimable, so a lease is released by the same update. A
        // released row keeps no holder: after a restart with an earlier time it
        // would look like a lease that is still held.
        self.update_leased(
            "UPDATE messages SET visible_at = ?4,
             lease = CASE WHEN ?4 > ?5 THEN lease END,
             holder = CASE WHEN ?4 > ?5 THEN holder ELSE 0 END
             WHERE seq = ?1 AND queue = ?2 AND lease = ?3 AND visible_at > ?5
             AND consumed_at IS NULL",
            queue,
            lease,
            until,
        )
    }

    /// Ends a lease whose receive does not count, and hides the message until
    /// `until`.
    pub fn give_back(
        &self,
        queue: QueueRow<'_>,
        lease: LeaseId,
        until: Timestamp,
    ) -> Result<UnderLease> {
        // Without the lease's number, so that a repetition does not take back
        // another receive.
        self.update_leased(
            "UPDATE messages SET visible_at = ?4, lease = NULL, holder = 0,
             receive_count = MAX(receive_count - 1, 0)
             WHERE seq = ?1 AND queue = ?2 AND lease = ?3 AND visible_at > ?5
             AND consumed_at IS NULL",
            queue,
            lease,
            until,
        )
    }

    /// Runs an update of the one message that the lease holds.
    fn update_leased(
        &self,
        update: &'static str,
        queue: QueueRow<'_>,
        lease: LeaseId,
        until: Timestamp,
    ) -> Result<UnderLease> {
        let (until, now) = (millis(until), millis(self.now));
        let changed = self.sql.prepare(update)?.execute(params![
            lease.seq,
            queue.id,
            lease.lease,
            until,
            now
        ])?;
        Ok(if changed == 1 { Ok(()) } else { Err(LeaseEnded) })
    }

    /// Replaces a leased message by its successor. Sends nothing if the lease
    /// has ended.
    pub fn settle(
        &self,
        queue: QueueRow<'_>,
        lease: LeaseId,
        successor_queue: QueueRow<'_>,
        successor: &NewMessage,
    ) -> Result<UnderLease> {
        let Some(message) = self.leased(queue, lease)? else { return Ok(Err(LeaseEnded)) };
        // The successor first. In the same group it is then behind the message,
        // and `remove` makes it the head.
        self.insert(successor_queue, successor)?;
        failpoint::reach(FailPoint::AfterSendBeforeDelete);
        self.remove(&message)?;
        Ok(Ok(()))
    }

    /// Makes a leased message a dead letter.
    pub fn dead_letter_leased(
        &self,
        queue: QueueRow<'_>,
        lease: LeaseId,
        reason: &str,
    ) -> Result<UnderLease> {
        let Some(message) = self.leased(queue, lease)? else { return Ok(Err(LeaseEnded)) };
        self.dead_letter(&message, reason)?;
        Ok(Ok(()))
    }

    /// Makes a message a dead letter. It keeps its number, which is the dead
    /// letter's id.
    pub fn dead_letter(&self, message: &MessageRow, reason: &str) -> Result<()> {
        self.sql
            .prepare(
                "INSERT OR FAIL INTO dead_letters
                 SELECT seq, queue, grp, key,
                        IFNULL((SELECT body FROM bodies WHERE bodies.seq = messages.seq), ''),
                        sent_at, receive_count, ?2, ?3
                 FROM messages WHERE seq = ?1",
            )?
            .execute(params![message.seq, reason, millis(self.now)])?;
        self.remove(message)
    }

    /// Replaces a dead letter by a message.
    pub fn redrive(&self, queue: QueueRow<'_>, id: i64, message: &NewMessage) -> Result<Redrive> {
        // Both in one transaction. The deletion comes first, because it tells
        // if the letter exists.
        if self.discard(queue, &[id])? == 0 {
            return Ok(Redrive::NotFound);
        }
        self.insert(queue, message)?;
        Ok(Redrive::Sent)
    }

    /// Deletes dead letters, and returns their number.
    pub fn discard(&self, queue: QueueRow<'_>, ids: &[i64]) -> Result<u64> {
        let mut statement =
            self.sql.prepare("DELETE FROM dead_letters WHERE queue = ?1 AND seq = ?2")?;
        let mut count = 0;
        for id in ids {
            count += statement.execute([queue.id, *id])? as u64;
        }
        Ok(count)
    }

    /// Deletes up to [`EXPIRE_MAX`] outcomes that were consumed before
    /// `archived_from`.
    pub fn delete_expired(&self, archived_from: Timestamp) -> Result<Backlog> {
        // The limit is in a subquery, because SQLite has no DELETE with LIMIT
        // in its default build.
        let outcomes = self
            .sql
            .prepare(
                "DELETE FROM messages WHERE seq IN
                 (SELECT consumed.seq FROM queues CROSS JOIN messages AS consumed
                  ON consumed.queue = queues.id AND consumed.consumed_at IS NOT NULL
                  AND consumed.consumed_at < ?1 LIMIT ?2)",
            )?
            .execute(params![millis(archived_from), EXPIRE_MAX])?;
        let full = i64::try_from(outcomes) == Ok(EXPIRE_MAX);
        Ok(if full { Backlog::Remains } else { Backlog::None })
    }
}
