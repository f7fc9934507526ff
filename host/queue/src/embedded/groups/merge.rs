//! The move of recent members to the table `members`.
//!
//! It is done in parts, each in a transaction of its own, because all callers
//! wait while one runs.

use rusqlite::Connection;
use rusqlite::OptionalExtension as _;
use rusqlite::params;

use super::Group;
use super::Groups;
use super::RECENT_MAX;
use super::Recent;
use super::Result;
use crate::embedded::backlog::Backlog;

/// The number of recent members at which a merge begins. The more of them it
/// moves, the more share a page.
pub const MERGE_FROM: usize = RECENT_MAX / 2;

/// The members that one transaction moves: twice as many as a commit can add.
pub const MERGED_AT_ONCE: usize = 1_024;

/// The rows that one transaction deletes from the beginning of
/// `recent_members`.
const DELETED_AT_ONCE: i64 = 4_096;

/// The move of the recent members up to a row.
#[derive(Debug)]
pub struct Merge {
    /// The members that were not moved yet, the last ones first. Those that are
    /// no longer in memory have been removed meanwhile.
    members: Vec<(Group, Recent)>,
    /// The number of members at the end of the list that the open transaction
    /// has moved.
    moved: usize,
    /// The last row of `recent_members` that is merged.
    last_row: i64,
}

impl Merge {
    /// Removes the members that the committed transaction has moved, and
    /// returns them.
    pub fn committed(&mut self) -> impl Iterator<Item = (Group, Recent)> {
        let rest = self.members.len() - std::mem::take(&mut self.moved);
        self.members.drain(rest..)
    }

    pub fn rolled_back(&mut self) {
        self.moved = 0;
    }
}

impl Groups {
    /// Returns true if a merge must begin.
    pub fn is_merge_due(&self) -> bool {
        self.merge.is_none() && self.count >= MERGE_FROM
    }

    /// Moves one part of the members if there are many.
    pub fn tend(&mut self, sql: &Connection) -> Result<Backlog> {
        if self.is_merge_due() {
            self.merge = Some(self.begin_merge());
        }
        let Some(mut merge) = self.merge.take() else { return Ok(Backlog::None) };
        let rest = self.go_on(sql, &mut merge)?;
        self.merge = (rest == Backlog::Remains).then_some(merge);
        Ok(rest)
    }

    pub(super) fn begin_merge(&self) -> Merge {
        let each = |(group, members): (&Group, &Vec<Recent>)| {
            let group = group.clone();
            members.iter().map(move |recent| (group.clone(), *recent)).collect::<Vec<_>>()
        };
        let mut members: Vec<_> = self.recent.iter().flat_map(each).collect();
        // In the order of the table, from the end of the list.
        members.sort_unstable_by(|(one, first), (other, second)| {
            (other, second.seq).cmp(&(one, first.seq))
        });
        let last_row = members.iter().map(|(_, recent)| recent.row).max().unwrap_or(0);
        Merge { members, moved: 0, last_row }
    }

    fn go_on(&mut self, sql: &Connection, merge: &mut Merge) -> Result<Backlog> {
        if merge.members.is_empty() {
            return delete_merged(sql, merge.last_row);
        }
        let part = merge.members.len().min(MERGED_AT_ONCE);
        for (group, recent) in merge.members.iter().rev().take(part) {
            if self.find(group, recent.seq) == Some(*recent) {
                self.insert_merged(sql, group, recent.seq)?;
            }
        }
        // In the same transaction: a restart must know which members were moved.
        if let Some((group, recent)) = merge.members.get(merge.members.len() - part) {
            sql.prepare_cached("INSERT OR REPLACE INTO member_merge VALUES (1, ?1, ?2, ?3, ?4)")?
                .execute(params![merge.last_row, group.queue, group.id, recent.seq])?;
        }
        merge.moved = part;
        Ok(Backlog::Remains)
    }
}

/// Deletes the next rows of members that were moved, and the state of the merge
/// with the last ones.
fn delete_merged(sql: &Connection, last_row: i64) -> Result<Backlog> {
    let first: Option<i64> = sql
        .prepare_cached("SELECT id FROM recent_members ORDER BY id LIMIT 1")?
        .query_row([], |row| row.get(0))
        .optional()?;
    let Some(first) = first.filter(|row| *row <= last_row) else {
        sql.prepare_cached("DELETE FROM member_merge")?.execute([])?;
        return Ok(Backlog::None);
    };
    let last = last_row.min(first.saturating_add(DELETED_AT_ONCE - 1));
    sql.prepare_cached("DELETE FROM recent_members WHERE id <= ?1")?.execute([last])?;
    Ok(Backlog::Remains)
}
