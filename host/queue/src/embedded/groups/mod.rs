//! The waiting messages of each group.
//!
//! Groups are random, like deduplication keys, so this index is kept in the
//! same way (see [`known_keys`](super::known_keys)): a new member is appended to
//! the table `recent_members`, and found by a map in memory that has the same
//! members. Most messages are gone before there are many of them. The members
//! of a long backlog are moved to the table `members`, in its order.

mod merge;
#[cfg(test)]
mod tests;

use std::collections::HashMap;

use rusqlite::Connection;
use rusqlite::params;

use self::merge::Merge;
use super::stored_id::StoredId;

type Result<T> = rusqlite::Result<T>;

/// The most members in memory: about 8 MiB. Further members go to the table
/// `members` at once, at a page each. A merge moves more of them in one
/// transaction than a commit can add, so that happens only while merges fail.
const RECENT_MAX: usize = 64 * 1_024;

/// A group of a queue.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Group {
    pub queue: i64,
    pub id: StoredId,
}

/// A member's row in `recent_members`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Recent {
    seq: i64,
    row: i64,
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
    /// The members that are not in the table `members`, in order.
    recent: HashMap<Group, Vec<Recent>>,
    /// The number of members in `recent`.
    count: usize,
    /// The number of the next row. No number is used again while a merge runs,
    /// which deletes all rows up to a number.
    next_row: i64,
    /// The changes of the open transaction.
    uncommitted: Vec<(Change, Group, Recent)>,
    merge: Option<Merge>,
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

    /// Reads the recent members of a file that a writer has open. The caller
    /// has a transaction open.
    pub fn read(sql: &Connection) -> Result<Self> {
        let may_be_merged = "SELECT EXISTS (SELECT 1 FROM members)";
        let may_be_merged = sql.query_row(may_be_merged, [], |row| row.get(0))?;
        let mut groups = Self { may_be_merged, ..Self::default() };
        let mut statement = sql.prepare(&format!(
            "SELECT id, queue, grp, seq FROM recent_members WHERE NOT {MOVED_BEFORE}"
        ))?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let Some(id) = StoredId::read(row.get_ref(2)?) else { continue };
            let recent = Recent { seq: row.get(3)?, row: row.get(0)? };
            groups.next_row = groups.next_row.max(recent.row + 1);
            groups.put(Group { queue: row.get(1)?, id }, recent);
        }
        Ok(groups)
    }

    /// Returns the first members of a group behind a message, in their order.
    pub fn members_after(
        &self,
        sql: &Connection,
        group: &Group,
        seq: i64,
        limit: usize,
    ) -> Result<Vec<i64>> {
        let recent = self.recent.get(group).map_or(&[][..], Vec::as_slice);
        let first = recent.partition_point(|member| member.seq <= seq);
        let mut found: Vec<i64> =
            recent[first..].iter().take(limit).map(|member| member.seq).collect();
        if self.may_be_merged {
            let mut statement = sql.prepare_cached(
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
    pub fn next_after(&self, sql: &Connection, group: &Group, seq: i64) -> Result<Option<i64>> {
        Ok(self.members_after(sql, group, seq, 1)?.pop())
    }

    /// Returns the number of members of a group.
    pub fn len(&self, sql: &Connection, group: &Group) -> Result<u64> {
        let merged: i64 = sql
            .prepare_cached("SELECT COUNT(*) FROM members WHERE queue = ?1 AND grp = ?2")?
            .query_row(params![group.queue, group.id], |row| row.get(0))?;
        let recent = self.recent.get(group).map_or(0, Vec::len);
        Ok(merged.unsigned_abs().saturating_add(recent as u64))
    }

    /// Adds a message to its group.
    pub fn add(&mut self, sql: &Connection, group: Group, seq: i64) -> Result<()> {
        if self.count >= RECENT_MAX {
            return self.insert_merged(sql, &group, seq);
        }
        let recent = Recent { seq, row: self.next_row };
        self.next_row += 1;
        sql.prepare_cached("INSERT INTO recent_members VALUES (?1, ?2, ?3, ?4)")?
            .execute(params![recent.row, group.queue, group.id, seq])?;
        self.put(group.clone(), recent);
        self.uncommitted.push((Change::Added, group, recent));
        Ok(())
    }

    /// Removes a message from its group.
    pub fn remove(&mut self, sql: &Connection, group: &Group, seq: i64) -> Result<()> {
        if let Some(recent) = self.find(group, seq) {
            sql.prepare_cached("DELETE FROM recent_members WHERE id = ?1")?
                .execute([recent.row])?;
            self.take(group, recent);
            self.uncommitted.push((Change::Removed, group.clone(), recent));
        } else if self.may_be_merged {
            sql.prepare_cached("DELETE FROM members WHERE queue = ?1 AND grp = ?2 AND seq = ?3")?
                .execute(params![group.queue, group.id, seq])?;
        }
        Ok(())
    }

    fn insert_merged(&mut self, sql: &Connection, group: &Group, seq: i64) -> Result<()> {
        // Stays after a rollback, at the cost of needless searches.
        self.may_be_merged = true;
        sql.prepare_cached("INSERT INTO members VALUES (?1, ?2, ?3)")?.execute(params![
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
        for (group, recent) in merge.committed() {
            self.take(&group, recent);
        }
        self.merge = Some(merge);
    }

    /// Undoes the changes of the open transaction.
    pub fn rolled_back(&mut self) {
        for (change, group, recent) in std::mem::take(&mut self.uncommitted).into_iter().rev() {
            match change {
                Change::Added => self.take(&group, recent),
                Change::Removed => self.put(group, recent),
            }
        }
        self.merge.iter_mut().for_each(Merge::rolled_back);
    }

    fn find(&self, group: &Group, seq: i64) -> Option<Recent> {
        let members = self.recent.get(group)?;
        let at = members.binary_search_by_key(&seq, |member| member.seq).ok()?;
        Some(members[at])
    }

    fn put(&mut self, group: Group, recent: Recent) {
        let members = self.recent.entry(group).or_default();
        let at = members.partition_point(|member| member.seq < recent.seq);
        members.insert(at, recent);
        self.count += 1;
    }

    /// Removes a member from memory, unless it was removed before.
    fn take(&mut self, group: &Group, recent: Recent) {
        let Some(members) = self.recent.get_mut(group) else { return };
        let Some(at) = members.iter().position(|member| *member == recent) else { return };
        members.remove(at);
        self.count -= 1;
        if members.is_empty() {
            self.recent.remove(group);
        }
    }
}
