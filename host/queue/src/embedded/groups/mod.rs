//! The waiting messages of each group.
//!
//! Groups are random, like deduplication keys, so this index is kept in the
//! same way (see [`known_keys`](super::known_keys)): a new member is appended to
//! the table `recent_members`, and found by a map in memory that has the same
//! members. Most messages are gone before there are many of them. The members
//! of a long backlog are moved to the table `members`, in its order.

mod counts;
mod merge;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::ops::Bound;

use rusqlite::Connection;
use rusqlite::params;

pub use self::counts::Counts;
pub use self::counts::members_of;
use self::merge::MemberMerge;
use super::merge::Merge;
use super::merge::RECENT_MAX;
use super::statements::Statements;
use super::stored_id::StoredId;

type Result<T> = rusqlite::Result<T>;

/// A group of a queue.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Group {
    pub queue: i64,
    pub id: StoredId,
}

/// A waiting message in its group. Members have the order of the table
/// `members`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Member {
    group: Group,
    seq: i64,
}

/// A change of the map by the open transaction.
#[derive(Debug)]
enum Change {
    Added,
    Removed,
}

/// The members in memory, and the state of their move to `members`.
#[derive(Debug, Default)]
pub struct Groups {
    /// The members that are not in the table `members`, with their rows in
    /// `recent_members`.
    recent: BTreeMap<Member, i64>,
    /// The number of the next row. No number is used again while a merge runs,
    /// which deletes all rows up to a number.
    next_row: i64,
    /// The changes of the open transaction.
    uncommitted: Vec<(Change, Member, i64)>,
    merge: Option<MemberMerge>,
    /// False if the table `members` is known to be empty.
    may_be_merged: bool,
}

/// Members that were moved before a crash are in both tables.
const MOVED_BEFORE: &str = "EXISTS (SELECT 1 FROM member_merge AS merged
    WHERE recent_members.id <= merged.last_row
    AND (recent_members.queue, recent_members.grp, recent_members.seq)
        <= (merged.queue, merged.grp, merged.seq))";

impl Groups {
    /// Ends a merge that a crash has cut off, and reads the recent members of a
    /// file.
    ///
    /// Another program may have added or deleted messages, and an earlier
    /// schema had no members: then the index is made anew.
    pub fn open(sql: &Connection) -> Result<Self> {
        // One transaction: without the state of the merge, no row tells that
        // its member was moved.
        sql.execute_batch(&format!(
            "BEGIN IMMEDIATE; DELETE FROM recent_members WHERE {MOVED_BEFORE};
             DELETE FROM member_merge; COMMIT"
        ))?;
        let is_whole = "SELECT (SELECT IFNULL(SUM(messages), 0) FROM queues)
             = (SELECT COUNT(*) FROM members) + (SELECT COUNT(*) FROM recent_members)";
        if !sql.query_row(is_whole, [], |row| row.get(0))? {
            sql.execute_batch(
                "BEGIN IMMEDIATE; DELETE FROM recent_members; DELETE FROM members;
                 INSERT INTO members SELECT queue, grp, seq FROM messages
                 WHERE consumed_at IS NULL ORDER BY queue, grp, seq; COMMIT",
            )?;
        }
        Self::read(sql)
    }

    /// Reads the recent members of a file.
    fn read(sql: &Connection) -> Result<Self> {
        let may_be_merged = "SELECT EXISTS (SELECT 1 FROM members)";
        let may_be_merged = sql.query_row(may_be_merged, [], |row| row.get(0))?;
        let mut groups = Self { may_be_merged, ..Self::default() };
        let mut statement = sql.prepare(&format!(
            "SELECT id, queue, grp, seq FROM recent_members WHERE NOT {MOVED_BEFORE}"
        ))?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let Some(id) = StoredId::read(row.get_ref(2)?) else { continue };
            let (number, group) = (row.get::<_, i64>(0)?, Group { queue: row.get(1)?, id });
            groups.next_row = groups.next_row.max(number + 1);
            groups.recent.insert(Member { group, seq: row.get(3)? }, number);
        }
        Ok(groups)
    }

    /// Returns the first members of a group behind a message, in their order.
    pub fn members_after(
        &self,
        sql: &Statements<'_>,
        group: &Group,
        seq: i64,
        limit: usize,
    ) -> Result<Vec<i64>> {
        if limit == 0 {
            return Ok(Vec::new());
        }
        let behind = Member { group: group.clone(), seq };
        let recent = self.recent.range((Bound::Excluded(behind), Bound::Unbounded));
        let recent = recent.map(|(member, _)| member).take_while(|member| member.group == *group);
        let mut found: Vec<i64> = recent.take(limit).map(|member| member.seq).collect();
        if self.may_be_merged {
            let mut statement = sql.prepare(
                "SELECT seq FROM members WHERE queue = ?1 AND grp = ?2 AND seq > ?3
                 ORDER BY seq LIMIT ?4",
            )?;
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            let merged = statement
                .query_map(params![group.queue, group.id, seq, limit], |row| row.get(0))?;
            found.extend(merged.collect::<Result<Vec<i64>>>()?);
            found.sort_unstable();
            found.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        }
        Ok(found)
    }

    /// Returns the first member of a group behind a message.
    pub fn next_after(&self, sql: &Statements<'_>, group: &Group, seq: i64) -> Result<Option<i64>> {
        Ok(self.members_after(sql, group, seq, 1)?.pop())
    }

    /// Adds a message to its group.
    pub fn add(&mut self, sql: &Statements<'_>, group: Group, seq: i64) -> Result<()> {
        let member = Member { group, seq };
        if self.recent.len() >= RECENT_MAX {
            return self.insert_merged(sql, &member);
        }
        let row = self.next_row;
        self.next_row += 1;
        sql.prepare("INSERT INTO recent_members VALUES (?1, ?2, ?3, ?4)")?.execute(params![
            row,
            member.group.queue,
            member.group.id,
            seq
        ])?;
        self.recent.insert(member.clone(), row);
        self.uncommitted.push((Change::Added, member, row));
        Ok(())
    }

    /// Removes a message from its group.
    pub fn remove(&mut self, sql: &Statements<'_>, group: &Group, seq: i64) -> Result<()> {
        let member = Member { group: group.clone(), seq };
        if let Some(row) = self.recent.get(&member).copied() {
            sql.prepare("DELETE FROM recent_members WHERE id = ?1")?.execute([row])?;
            self.recent.remove(&member);
            self.uncommitted.push((Change::Removed, member, row));
        } else if self.may_be_merged {
            sql.prepare("DELETE FROM members WHERE queue = ?1 AND grp = ?2 AND seq = ?3")?
                .execute(params![group.queue, group.id, seq])?;
        }
        Ok(())
    }

    fn insert_merged(&mut self, sql: &Statements<'_>, member: &Member) -> Result<()> {
        // Stays after a rollback, at the cost of needless searches.
        self.may_be_merged = true;
        let Member { group, seq } = member;
        sql.prepare("INSERT INTO members VALUES (?1, ?2, ?3)")?.execute(params![
            group.queue,
            group.id,
            seq
        ])?;
        Ok(())
    }

    /// Notes that the open transaction was committed.
    pub fn committed(&mut self) {
        self.uncommitted.clear();
        let Some(mut merge) = self.merge.take() else { return };
        for (member, row) in merge.committed() {
            self.forget(&member, row);
        }
        self.merge = Some(merge);
    }

    /// Undoes the changes of the open transaction.
    pub fn rolled_back(&mut self) {
        for (change, member, row) in std::mem::take(&mut self.uncommitted).into_iter().rev() {
            match change {
                Change::Added => self.forget(&member, row),
                Change::Removed => drop(self.recent.insert(member, row)),
            }
        }
        self.merge.iter_mut().for_each(Merge::rolled_back);
    }

    /// Removes a member from memory, unless that was done, or the member has
    /// another row by now.
    fn forget(&mut self, member: &Member, row: i64) {
        if self.recent.get(member) == Some(&row) {
            self.recent.remove(member);
        }
    }
}
