//! The move of recent rows to a large table, in the order of that table.
//!
//! Rows in random order would cost a page of the large table each. They are
//! appended to a small table instead, found by a map in memory, and moved many
//! at a time, so that they share pages. A move is done in parts, each in a
//! transaction of its own, because all callers wait while one runs.

use rusqlite::OptionalExtension as _;

use super::backlog::Backlog;
use super::statements::Statements;

/// The most recent rows of one kind in memory: about 8 MiB. Further rows go to
/// the large table at once, at a page each. A merge moves more rows in one
/// transaction than a commit can add, and begins at half of this number, so that
/// happens only while merges fail.
pub const RECENT_MAX: usize = 64 * 1_024;

/// The number of recent rows at which a merge begins. The more of them it moves,
/// the more share a page.
pub const MERGE_FROM: usize = RECENT_MAX / 2;

/// The rows that one transaction moves: twice as many as a commit can add, and
/// few enough that it takes a few milliseconds.
pub const MERGED_AT_ONCE: usize = 1_024;

/// The rows that one transaction deletes from the beginning of a table. They
/// share pages, so this is quicker than their move.
pub const DELETED_AT_ONCE: i64 = 4_096;

/// The move of the recent rows up to a number.
#[derive(Debug)]
pub struct Merge<E> {
    /// The rows that were not moved yet, the last ones first.
    rest: Vec<E>,
    /// The number of rows at the end of the list that the open transaction has
    /// moved.
    moved: usize,
    /// The last row that is merged. All of them are deleted at the end.
    last_row: i64,
}

impl<E> Merge<E> {
    /// Begins the move of `rows`, which are in the order of the large table.
    pub fn new(mut rows: Vec<E>, last_row: i64) -> Self {
        rows.reverse();
        Self { rest: rows, moved: 0, last_row }
    }

    pub fn last_row(&self) -> i64 {
        self.last_row
    }

    /// Returns the next rows, which the open transaction moves. There are none
    /// when all are moved.
    pub fn next_part(&mut self) -> impl Iterator<Item = &E> {
        self.moved = self.rest.len().min(MERGED_AT_ONCE);
        self.rest[self.rest.len() - self.moved..].iter().rev()
    }

    /// Removes the rows that the committed transaction has moved, and returns
    /// them.
    pub fn committed(&mut self) -> impl Iterator<Item = E> {
        let rest = self.rest.len() - std::mem::take(&mut self.moved);
        self.rest.drain(rest..)
    }

    pub fn rolled_back(&mut self) {
        self.moved = 0;
    }

    /// Deletes the next rows that were moved from a table of recent rows.
    pub fn delete_part(
        &self,
        sql: &Statements<'_>,
        table: RecentTable,
    ) -> rusqlite::Result<Backlog> {
        let Some(first) = table.first_row(sql)?.filter(|row| *row <= self.last_row) else {
            return Ok(Backlog::None);
        };
        table.delete_to(sql, self.last_row.min(first.saturating_add(DELETED_AT_ONCE - 1)))?;
        Ok(Backlog::Remains)
    }
}

/// A table of recent rows, with a growing number `id` for each.
#[derive(Debug, Clone, Copy)]
pub enum RecentTable {
    Keys,
    Members,
}

impl RecentTable {
    fn first_row(self, sql: &Statements<'_>) -> rusqlite::Result<Option<i64>> {
        let query = match self {
            Self::Keys => "SELECT id FROM recent_keys ORDER BY id LIMIT 1",
            Self::Members => "SELECT id FROM recent_members ORDER BY id LIMIT 1",
        };
        sql.prepare(query)?.query_row([], |row| row.get(0)).optional()
    }

    /// Deletes the rows up to a number.
    pub fn delete_to(self, sql: &Statements<'_>, row: i64) -> rusqlite::Result<()> {
        let deletion = match self {
            Self::Keys => "DELETE FROM recent_keys WHERE id <= ?1",
            Self::Members => "DELETE FROM recent_members WHERE id <= ?1",
        };
        sql.prepare(deletion)?.execute([row]).map(drop)
    }
}
