//! The move of recent keys to `known_keys`, and the deletion of expired keys.
//!
//! Both are done in parts: see [`merge`](crate::embedded::merge).

use rusqlite::params;

use super::Key;
use super::KnownKeys;
use super::Recent;
use super::period;
use super::stored_periods;
use crate::embedded::backlog::Backlog;
use crate::embedded::merge::DELETED_AT_ONCE;
use crate::embedded::merge::MERGE_FROM;
use crate::embedded::merge::Merge;
use crate::embedded::merge::RecentTable;
use crate::embedded::store::Result;
use crate::embedded::store::Store;
use crate::embedded::store::millis;
use crate::embedded::stored_id::StoredId;

/// A move of keys with their rows.
pub type KeyMerge = Merge<(Key, Recent)>;

impl KnownKeys {
    /// Returns true if a merge must begin.
    pub fn is_merge_due(&self) -> bool {
        self.merge.is_none() && self.recent.len() >= MERGE_FROM
    }

    /// Moves and deletes one part of the keys that are due.
    pub fn tend(&mut self, store: Store<'_, '_>) -> Result<Backlog> {
        if self.is_merge_due() {
            self.merge = Some(self.begin_merge());
        }
        let rest = match self.merge.take() {
            Some(mut merge) => {
                let rest = self.go_on(store, &mut merge);
                // After an error the rollback needs it, and a later try goes on.
                if !matches!(rest, Ok(Backlog::None)) {
                    self.merge = Some(merge);
                }
                rest?
            }
            None => self.delete_expired_recent(store)?,
        };
        Ok(rest.max(self.delete_expired_known(store)?))
    }

    pub(super) fn begin_merge(&self) -> KeyMerge {
        // The newest row stays: the queue's time never goes back behind it.
        let newest = self.recent.values().map(|recent| recent.row).max();
        let last_row = newest.map_or(0, |row| row - 1);
        let merged = self.recent.iter().filter(|(_, recent)| recent.row <= last_row);
        let mut keys: Vec<_> = merged.map(|(key, recent)| (key.clone(), *recent)).collect();
        // In the order of the table.
        keys.sort_unstable_by(|(one, first), (other, second)| {
            (period(first.expires_at), one).cmp(&(period(second.expires_at), other))
        });
        Merge::new(keys, last_row)
    }

    /// Moves the next keys, or deletes the next rows of those that were moved.
    fn go_on(&mut self, store: Store<'_, '_>, merge: &mut KeyMerge) -> Result<Backlog> {
        let mut moved = false;
        for (key, recent) in merge.next_part() {
            self.insert_known(store, key, recent)?;
            moved = true;
        }
        if moved {
            return Ok(Backlog::Remains);
        }
        merge.delete_part(store.sql, RecentTable::Keys)
    }

    /// Deletes recent keys from the oldest on, as far as they have expired.
    fn delete_expired_recent(&mut self, store: Store<'_, '_>) -> Result<Backlog> {
        let mut statement = store
            .sql
            .prepare("SELECT id, scope, key, expires_at FROM recent_keys ORDER BY id LIMIT ?1")?;
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
            RecentTable::Keys.delete_to(store.sql, last)?;
        }
        Ok(if count == DELETED_AT_ONCE { Backlog::Remains } else { Backlog::None })
    }

    /// Deletes keys from the beginning of `known_keys`, as far as their period
    /// is over.
    fn delete_expired_known(&mut self, store: Store<'_, '_>) -> Result<Backlog> {
        let now = period(millis(store.now));
        if self.periods.is_none_or(|(first, _)| first >= now) {
            return Ok(Backlog::None);
        }
        // Read before the deletion, which may be rolled back.
        self.periods = stored_periods(store.sql.connection())?;
        let deleted = store
            .sql
            .prepare(
                "DELETE FROM known_keys WHERE (period, scope, key) IN
                 (SELECT period, scope, key FROM known_keys WHERE period < ?1
                  ORDER BY period, scope, key LIMIT ?2)",
            )?
            .execute(params![now, DELETED_AT_ONCE])?;
        let full = i64::try_from(deleted) == Ok(DELETED_AT_ONCE);
        Ok(if full { Backlog::Remains } else { Backlog::None })
    }
}
