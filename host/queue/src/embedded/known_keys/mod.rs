//! The deduplication keys that were used within [`DEDUP_MS`].
//!
//! Keys are random, so each one that is stored in its place in a large table
//! costs a page of its own: in the log, in a sync, and in a checkpoint.
//! Therefore a new key is appended to the table `recent_keys`, and found by a
//! map in memory that has the same keys. Many of them together are later moved
//! to the table `known_keys`, in its order, so that they share pages.
//!
//! That table begins with the period in which its keys expire. Periods are
//! deleted from its beginning, and only few of them are searched.

mod merge;
#[cfg(test)]
mod tests;

use std::collections::HashMap;

use rusqlite::Connection;
use rusqlite::OptionalExtension as _;
use rusqlite::params;

use self::merge::KeyMerge;
use super::merge::Merge;
use super::merge::RECENT_MAX;
use super::store::Result;
use super::store::Store;
use super::store::millis;
use super::stored_id::StoredId;
use crate::contract::Sent;
use crate::message::Dedup;
use crate::name::QueueName;
use crate::name::Stage;
use hoth_core::domain::JobKind;

/// The time for which a deduplication key is remembered: 24 h.
pub const DEDUP_MS: u64 = 24 * 60 * 60 * 1_000;

/// The length of a period, in milliseconds: 6 h. A quarter of the keys of a day
/// share more pages than all of them would, and at most five periods are
/// searched.
const PERIOD_MS: i64 = 6 * 60 * 60 * 1_000;

/// The bytes of a content's digest that are stored: enough to tell two apart.
const CONTENT_BYTES: usize = 16;

type Content = [u8; CONTENT_BYTES];

/// A deduplication key and the family of queues in which it counts.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Key {
    scope: i64,
    id: StoredId,
}

/// A key's row in `recent_keys`.
#[derive(Debug, Clone, Copy)]
struct Recent {
    row: i64,
    content: Content,
    expires_at: i64,
}

/// The keys in memory, and the state of their move to `known_keys`.
#[derive(Debug, Default)]
pub struct KnownKeys {
    /// The content of `recent_keys`, apart from rows that have been merged.
    recent: HashMap<Key, Recent>,
    /// The keys that the open transaction has added.
    uncommitted: Vec<Key>,
    merge: Option<KeyMerge>,
    /// The first and the last period that `known_keys` may hold, or `None` if
    /// the table is empty.
    periods: Option<(i64, i64)>,
}

impl Key {
    fn new(queue: &QueueName, dedup: &Dedup) -> Self {
        Self { scope: scope(queue), id: StoredId::new(dedup.key.as_str()) }
    }
}

/// Returns the number of a family of queues. Files have these numbers.
fn scope(queue: &QueueName) -> i64 {
    match (queue.kind, &queue.stage) {
        (JobKind::Provisioning, Stage::Requests(_)) => 1,
        (JobKind::Provisioning, Stage::Polls(_)) => 2,
        (JobKind::Provisioning, Stage::Outcomes) => 3,
        (JobKind::Cost, Stage::Requests(_)) => 4,
        (JobKind::Cost, Stage::Polls(_)) => 5,
        (JobKind::Cost, Stage::Outcomes) => 6,
    }
}

fn content(dedup: &Dedup) -> Content {
    let digest = dedup.content.as_bytes();
    std::array::from_fn(|byte| digest[byte])
}

fn period(expires_at: i64) -> i64 {
    expires_at.div_euclid(PERIOD_MS)
}

impl KnownKeys {
    /// Reads the recent keys of a file.
    pub fn load(sql: &Connection) -> Result<Self> {
        let mut keys = Self { periods: stored_periods(sql)?, ..Self::default() };
        // In the order of their rows: a key that has expired may be there
        // again, and the later row counts.
        let mut statement =
            sql.prepare("SELECT id, scope, key, content, expires_at FROM recent_keys ORDER BY id")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let content = row.get_ref(3)?.as_blob().ok().and_then(|bytes| bytes.try_into().ok());
            // A row that no host has written remembers nothing.
            let (Some(id), Some(content)) = (StoredId::read(row.get_ref(2)?), content) else {
                continue;
            };
            let key = Key { scope: row.get(1)?, id };
            let recent = Recent { row: row.get(0)?, content, expires_at: row.get(4)? };
            keys.recent.insert(key, recent);
        }
        Ok(keys)
    }

    /// Compares a message with an earlier one under the same key. Returns
    /// `None` if there was none within [`DEDUP_MS`].
    pub fn sent_before(
        &self,
        store: Store<'_, '_>,
        queue: &QueueName,
        dedup: &Dedup,
    ) -> Result<Option<Sent>> {
        let (key, sent) = (Key::new(queue, dedup), content(dedup));
        let recent = self.recent.get(&key).filter(|recent| recent.expires_at > millis(store.now));
        let same = match recent {
            Some(recent) => Some(recent.content == sent),
            None => self.merged_before(store, &key, &sent)?,
        };
        Ok(same.map(|same| if same { Sent::Duplicate } else { Sent::Conflict }))
    }

    /// Compares a content with that of a key in `known_keys`.
    fn merged_before(
        &self,
        store: Store<'_, '_>,
        key: &Key,
        sent: &Content,
    ) -> Result<Option<bool>> {
        let Some((first, last)) = self.periods else { return Ok(None) };
        let now = millis(store.now);
        // A key that counts expires within these periods.
        let first = first.max(period(now));
        let last = last.min(period(now.saturating_add_unsigned(DEDUP_MS)));
        let mut statement = store.sql.prepare(
            "SELECT content FROM known_keys
             WHERE period = ?1 AND scope = ?2 AND key = ?3 AND expires_at > ?4",
        )?;
        for period in first..=last {
            let same = statement
                .query_row(params![period, key.scope, key.id, now], |row| {
                    Ok(row.get_ref(0)?.as_blob().is_ok_and(|content| content == sent))
                })
                .optional()?;
            if same.is_some() {
                return Ok(same);
            }
        }
        Ok(None)
    }

    /// Remembers the key of a message that is sent now.
    pub fn remember(
        &mut self,
        store: Store<'_, '_>,
        queue: &QueueName,
        dedup: &Dedup,
    ) -> Result<()> {
        let (key, content) = (Key::new(queue, dedup), content(dedup));
        let expires_at = millis(store.now).saturating_add_unsigned(DEDUP_MS);
        if self.recent.len() >= RECENT_MAX {
            return self.insert_known(store, &key, &Recent { row: 0, content, expires_at });
        }
        store
            .sql
            .prepare(
                "INSERT INTO recent_keys (scope, key, content, expires_at)
                 VALUES (?1, ?2, ?3, ?4)",
            )?
            .execute(params![key.scope, key.id, content, expires_at])?;
        let recent =
            Recent { row: store.sql.connection().last_insert_rowid(), content, expires_at };
        self.recent.insert(key.clone(), recent);
        self.uncommitted.push(key);
        Ok(())
    }

    fn insert_known(&mut self, store: Store<'_, '_>, key: &Key, recent: &Recent) -> Result<()> {
        let period = period(recent.expires_at);
        // After a crash within a merge, keys are merged a second time.
        store
            .sql
            .prepare("INSERT OR REPLACE INTO known_keys VALUES (?1, ?2, ?3, ?4, ?5)")?
            .execute(params![period, key.scope, key.id, recent.content, recent.expires_at])?;
        // Stays after a rollback, at the cost of one needless search.
        let (first, last) = self.periods.unwrap_or((period, period));
        self.periods = Some((first.min(period), last.max(period)));
        Ok(())
    }

    /// Notes that the open transaction was committed.
    pub fn committed(&mut self) {
        self.uncommitted.clear();
        for (key, Recent { row, .. }) in self.merge.iter_mut().flat_map(Merge::committed) {
            // The key may have expired, and may have been used again.
            if self.recent.get(&key).is_some_and(|recent| recent.row == row) {
                self.recent.remove(&key);
            }
        }
    }

    /// Forgets the keys that the open transaction has added.
    pub fn rolled_back(&mut self) {
        // An expired row that one of them has replaced counted no more.
        for key in self.uncommitted.drain(..) {
            self.recent.remove(&key);
        }
        self.merge.iter_mut().for_each(Merge::rolled_back);
    }
}

fn stored_periods(sql: &Connection) -> Result<Option<(i64, i64)>> {
    // Two statements, because SQLite reads the whole table for one with both.
    let end = |query| sql.query_row(query, [], |row| row.get::<_, Option<i64>>(0));
    let first = end("SELECT MIN(period) FROM known_keys")?;
    let last = end("SELECT MAX(period) FROM known_keys")?;
    Ok(first.zip(last))
}
