//! The heads of groups: the oldest message of each, which alone is offered.

use rusqlite::params;

use super::groups::Group;
use super::store::MessageRow;
use super::store::Position;
use super::store::Result;
use super::store::Store;

impl Store<'_, '_> {
    /// Adds a message to its group. The caller has given it its position.
    pub fn enter_group(&self, group: Group, seq: i64) -> Result<()> {
        self.groups.borrow_mut().add(self.sql, group, seq)
    }

    /// Returns the first message of a group.
    pub fn head_of(&self, group: &Group) -> Result<Option<i64>> {
        let mut was_deleted = false;
        loop {
            let first = self.groups.borrow().next_after(self.sql, group, i64::MIN)?;
            let Some(first) = first else { return Ok(None) };
            if self.waits(first)? {
                if was_deleted {
                    self.mark(first, Position::Head)?;
                }
                return Ok(Some(first));
            }
            // Another program has deleted the message.
            self.groups.borrow_mut().remove(self.sql, group, first)?;
            was_deleted = true;
        }
    }

    fn waits(&self, seq: i64) -> Result<bool> {
        self.sql
            .prepare(
                "SELECT EXISTS (SELECT 1 FROM messages WHERE seq = ?1 AND consumed_at IS NULL)",
            )?
            .query_row([seq], |row| row.get(0))
    }

    /// Removes a message from its group. If it was the head, the next message
    /// becomes the head.
    pub fn leave_group(&self, message: &MessageRow) -> Result<()> {
        // A group that another program has stored, and that is no text, has no
        // other members.
        let Some(group) = &message.group else { return Ok(()) };
        self.groups.borrow_mut().remove(self.sql, group, message.seq)?;
        match message.position {
            Position::Behind => return Ok(()),
            Position::Head => {}
        }
        loop {
            let next = self.groups.borrow().next_after(self.sql, group, message.seq)?;
            let Some(next) = next else { return Ok(()) };
            if self.mark(next, Position::Head)? {
                return Ok(());
            }
            // Another program has deleted the message.
            self.groups.borrow_mut().remove(self.sql, group, next)?;
        }
    }

    /// Notes the position of a message. Returns false if there is no such
    /// message.
    pub fn mark(&self, seq: i64, position: Position) -> Result<bool> {
        let marked = self
            .sql
            .prepare("UPDATE messages SET head = ?2 WHERE seq = ?1 AND consumed_at IS NULL")?
            .execute(params![seq, position == Position::Head])?;
        Ok(marked == 1)
    }
}
