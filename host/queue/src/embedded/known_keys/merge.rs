//! The move of recent keys to `known_keys`, and the deletion of expired keys.
//!
//! Both are done in parts, each in a transaction of its own, because all
//! callers wait while one runs.

use rusqlite::OptionalExtension as _;
use rusqlite::params;

use super::Key;
use super::KnownKeys;
use super::RECENT_MAX;
use super::Recent;
use super::period;
use super::stored_periods;
use crate::embedded::backlog::Backlog;
use crate::embedded::store::Result;
use crate::embedded::store::Store;
use crate::embedded::store::millis;
use crate::embedded::stored_id::StoredId;

/// The number of recent keys at which a merge begins. The more keys it moves,
/// the more of them share a page.
pub const MERGE_FROM: usize = RECENT_MAX / 2;

/// The keys that one transaction moves: twice as many as a commit can add, and
/// few enough that it takes a few milliseconds.
pub const MERGED_AT_ONCE: usize = 1_024;

/// The keys that one transaction deletes from the beginning of a table. They
/// share pages, so this is quicker than their move.
const DELETED_AT_ONCE: i64 = 4_096;

/// The move of the recent keys up to a row.
#[derive(Debug)]
pub struct Merge {
    /// The keys that are not in `known_keys` yet, the last ones first.
    keys: Vec<(Key, Recent)>,
    /// The number of keys at the end of the list that the open transaction has
    /// moved.
    moved: usize,
    /// The last row of `recent_keys` that is merged. All of them are deleted at
    /// the end.
    last_row: i64,
}

impl Merge {
    /// Removes the keys that the committed transaction has moved, and returns
    /// them with their rows.
    pub fn committed(&mut self) -> impl Iterator<Item = (Key, i64)> {
        let rest = self.keys.len() - std::mem::take(&mut self.moved);
        self.keys.drain(rest..).map(|(key, recent)| (key, recent.row))
    }

    pub fn rolled_back(&mut self) {
        self.moved = 0;
    }
}

impl KnownKeys {
    /// Returns true if a merge must begin.
    pub fn is_merge_due(&self) -> bool {
        self.merge.is_none() && self.recent.len() >= MERGE_FROM
    }

    /// Moves and deletes one part of the keys that are due.
    pub fn tend(&mut self, store: Store<'_>) -> Result<Backlog> {
        if self.is_merge_due() {
            self.merge = Some(self.begin_merge());
        }
        let rest = match self.merge.take() {
            Some(merge) => {
                self.merge = self.go_on(store, merge)?;
                if self.merge.is_some() { Backlog::Remains } else { Backlog::None }
            }
            None => self.delete_expired_recent(store)?,
        };
        Ok(rest.max(self.delete_expired_known(store)?))
    }

    pub(super) fn begin_merge(&self) -> Merge {
        // The newest row stays: the queue's time never goes back behind it.
        let newest = self.recent.values().map(|recent| recent.row).max();
        let last_row = newest.map_or(0, |row| row - 1);
        let merged = self.recent.iter().filter(|(_, recent)| recent.row <= last_row);
        let mut keys: Vec<_> = merged.map(|(key, recent)| (key.clone(), *recent)).collect();
        // In the order of the table, from the end of the list.
        keys.sort_unstable_by(|(one, first), (other, second)| {
            (period(second.expires_at), other).cmp(&(period(first.expires_at), one))
        });
        Merge { keys, moved: 0, last_row }
    }

    /// Moves the next keys, or deletes the next rows of those that were moved.
    /// Returns `None` at the end.
    fn go_on(&mut self, store: Store<'_>, mut merge: Merge) -> Result<Option<Merge>> {
        if merge.keys.is_empty() {
            let first = first_row(store)?.filter(|row| *row <= merge.last_row);
            let Some(first) = first else { return Ok(None) };
            let last = merge.last_row.min(first.saturating_add(DELETED_AT_ONCE - 1));
            delete_to(store, last)?;
            return Ok(Some(merge));
        }
        let part = merge.keys.len().min(MERGED_AT_ONCE);
        for (key, recent) in merge.keys.iter().rev().take(part) {
            self.insert_known(store, key, recent)?;
        }
        merge.moved = part;
        Ok(Some(merge))
    }

    /// Deletes recent keys from the oldest on, as far as they have expired.
    fn delete_expired_recent(&mut self, store: Store<'_>) -> Result<Backlog> {
        let mut statement = store.sql.prepare_cached(
            "SELECT id, scope, key, expires_at FROM recent_keys ORDER BY id LIMIT ?1",
        )?;
        let mut rows = statement.query([DELETED_AT_ONCE])?;
        let (mut last, mut count) = (None, 0);
        while let Some(row) = rows.next()? {
            if row.get::<_, i64>(3)? > millis(store.now) {
                break;
            }
            let number: i64 = row.get(0)?;
            (last, count) = (Some(number), count + 1);
            let Some(id) = StoredId::read(row.get_ref(2)?) else { continue };
            let key = Key { scope: row.get(1)?, id };
            // It counts no more, also if this transaction is rolled back.
            if self.recent.get(&key).is_some_and(|recent| recent.row == number) {
                self.recent.remove(&key);
            }
        }
        if let Some(last) = last {
            delete_to(store, last)?;
        }
        Ok(if count == DELETED_AT_ONCE { Backlog::Remains } else { Backlog::None })
    }

    /// Deletes keys from the beginning of `known_keys`, as far as their period
    /// is over.
    fn delete_expired_known(&mut self, store: Store<'_>) -> Result<Backlog> {
        let now = period(millis(store.now));
        if self.periods.is_none_or(|(first, _)| first >= now) {
            return Ok(Backlog::None);
        }
        // Read before the deletion, which may be rolled back.
        self.periods = stored_periods(store.sql)?;
        let deleted = store
            .sql
            .prepare_cached(
                "DELETE FROM known_keys WHERE (period, scope, key) IN
                 (SELECT period, scope, key FROM known_keys WHERE period < ?1
                  ORDER BY period, scope, key LIMIT ?2)",
            )?
            .execute(params![now, DELETED_AT_ONCE])?;
        let full = i64::try_from(deleted) == Ok(DELETED_AT_ONCE);
        Ok(if full { Backlog::Remains } else { Backlog::None })
    }
}

fn first_row(store: Store<'_>) -> Result<Option<i64>> {
    let mut statement =
        store.sql.prepare_cached("SELECT id FROM recent_keys ORDER BY id LIMIT 1")?;
    statement.query_row([], |row| row.get(0)).optional()
}

fn delete_to(store: Store<'_>, row: i64) -> Result<()> {
    store.sql.prepare_cached("DELETE FROM recent_keys WHERE id <= ?1")?.execute([row])?;
    Ok(())
}
