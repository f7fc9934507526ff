//! The numbers of members of groups, as a reader sees them.

use std::collections::HashMap;

use rusqlite::Connection;
use rusqlite::params;

use super::Group;
use super::MOVED_BEFORE;
use super::Result;
use crate::embedded::stored_id::StoredId;

/// The numbers of members of the groups of one queue.
pub struct Counts<'a> {
    sql: &'a Connection,
    recent: HashMap<StoredId, u64>,
}

impl<'a> Counts<'a> {
    /// Counts the recent members of a queue. The caller has a transaction open,
    /// because members move from table to table.
    pub fn read(sql: &'a Connection, queue: i64) -> Result<Self> {
        let mut statement = sql.prepare_cached(&format!(
            "SELECT grp, COUNT(*) FROM recent_members
             WHERE queue = ?1 AND NOT {MOVED_BEFORE} GROUP BY grp"
        ))?;
        let mut rows = statement.query([queue])?;
        let mut recent = HashMap::new();
        while let Some(row) = rows.next()? {
            let Some(id) = StoredId::read(row.get_ref(0)?) else { continue };
            recent.insert(id, row.get::<_, i64>(1)?.unsigned_abs());
        }
        Ok(Self { sql, recent })
    }

    /// Returns the number of members of a group of this queue.
    pub fn of(&self, group: &Group) -> Result<u64> {
        let merged: i64 = self
            .sql
            .prepare_cached("SELECT COUNT(*) FROM members WHERE queue = ?1 AND grp = ?2")?
            .query_row(params![group.queue, group.id], |row| row.get(0))?;
        let recent = self.recent.get(&group.id).copied().unwrap_or(0);
        Ok(merged.unsigned_abs().saturating_add(recent))
    }
}

/// Lists the members of a group, in their order. The caller has a transaction
/// open. Reads all recent members, of which there are 64 Ki at most.
pub fn members_of(sql: &Connection, group: &Group) -> Result<Vec<i64>> {
    let mut merged =
        sql.prepare_cached("SELECT seq FROM members WHERE queue = ?1 AND grp = ?2 ORDER BY seq")?;
    let mut recent = sql.prepare_cached(&format!(
        "SELECT seq FROM recent_members WHERE queue = ?1 AND grp = ?2 AND NOT {MOVED_BEFORE}"
    ))?;
    let values = params![group.queue, group.id];
    let mut found = merged.query_map(values, |row| row.get(0))?.collect::<Result<Vec<i64>>>()?;
    for seq in recent.query_map(values, |row| row.get(0))? {
        found.push(seq?);
    }
    found.sort_unstable();
    Ok(found)
}
