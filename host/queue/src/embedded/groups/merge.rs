//! The move of recent members to the table `members`.

use rusqlite::params;

use super::Groups;
use super::Member;
use super::Result;
use crate::embedded::backlog::Backlog;
use crate::embedded::merge::MERGE_FROM;
use crate::embedded::merge::Merge;
use crate::embedded::merge::RecentTable;
use crate::embedded::statements::Statements;

/// A move of members with their rows. Those that are no longer in memory have
/// been removed meanwhile.
pub type MemberMerge = Merge<(Member, i64)>;

impl Groups {
    /// Returns true if a merge must begin.
    pub fn is_merge_due(&self) -> bool {
        self.merge.is_none() && self.recent.len() >= MERGE_FROM
    }

    /// Moves one part of the members if there are many.
    pub fn tend(&mut self, sql: &Statements<'_>) -> Result<Backlog> {
        if self.is_merge_due() {
            self.merge = Some(self.begin_merge());
        }
        let Some(mut merge) = self.merge.take() else { return Ok(Backlog::None) };
        let rest = self.go_on(sql, &mut merge);
        // After an error the rollback needs it, and a later try goes on.
        if !matches!(rest, Ok(Backlog::None)) {
            self.merge = Some(merge);
        }
        rest
    }

    pub(super) fn begin_merge(&self) -> MemberMerge {
        let members = self.recent.iter().map(|(member, row)| (member.clone(), *row)).collect();
        let last_row = self.recent.values().max().copied().unwrap_or(0);
        Merge::new(members, last_row)
    }

    fn go_on(&mut self, sql: &Statements<'_>, merge: &mut MemberMerge) -> Result<Backlog> {
        let (last_row, mut last) = (merge.last_row(), None);
        for (member, row) in merge.next_part() {
            if self.recent.get(member) == Some(row) {
                self.insert_merged(sql, member)?;
            }
            last = Some(member);
        }
        if let Some(Member { group, seq }) = last {
            // In the same transaction: a restart must know which members were
            // moved.
            sql.prepare("INSERT OR REPLACE INTO member_merge VALUES (1, ?1, ?2, ?3, ?4)")?
                .execute(params![last_row, group.queue, group.id, seq])?;
            return Ok(Backlog::Remains);
        }
        let rest = merge.delete_part(sql, RecentTable::Members)?;
        if rest == Backlog::None {
            sql.prepare("DELETE FROM member_merge")?.execute([])?;
        }
        Ok(rest)
    }
}
