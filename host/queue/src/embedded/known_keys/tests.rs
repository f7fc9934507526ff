//! Keys at the edges of their day, of a merge and of a restart.

use std::cell::RefCell;

use rusqlite::Connection;

use super::*;
use crate::conformance::message;
use crate::conformance::outcomes;
use crate::conformance::requests;
use crate::embedded::backlog::Backlog;
use crate::embedded::groups::Groups;
use crate::embedded::merge::MERGE_FROM;
use crate::embedded::merge::MERGED_AT_ONCE;
use crate::embedded::statements::Statements;
use crate::embedded::tables::new_tables;
use crate::message::DedupKey;
use hoth_core::domain::Digest;
use hoth_core::domain::Timestamp;

/// A multiple of [`PERIOD_MS`].
const NOON: i64 = 80_000 * PERIOD_MS;

/// A file, its keys, and the time.
struct File {
    sql: Connection,
    keys: KnownKeys,
    groups: RefCell<Groups>,
    now: i64,
}

impl File {
    fn new() -> Self {
        let sql = Connection::open_in_memory().expect("memory is free");
        sql.execute_batch(&new_tables()).expect("the tables can be made");
        Self { sql, keys: KnownKeys::default(), groups: RefCell::default(), now: NOON }
    }

    fn statements(&self) -> Statements<'_> {
        Statements::of(&self.sql)
    }

    fn store<'a, 'c>(&'a self, sql: &'a Statements<'c>) -> Store<'a, 'c> {
        let now = u64::try_from(self.now).expect("the time is later than 1970");
        Store { sql, now: Timestamp::from_millis(now), groups: &self.groups }
    }

    /// Runs `work` in a transaction that is committed.
    fn run<T>(&mut self, work: impl FnOnce(&mut KnownKeys, Store<'_, '_>) -> Result<T>) -> T {
        let mut keys = std::mem::take(&mut self.keys);
        self.sql.execute_batch("BEGIN").expect("no transaction is open");
        let done = work(&mut keys, self.store(&self.statements())).expect("it runs");
        self.sql.execute_batch("COMMIT").expect("it can be committed");
        keys.committed();
        self.keys = keys;
        done
    }

    fn remember(&mut self, name: &str) {
        let dedup = message("g", name).dedup;
        self.run(|keys, store| keys.remember(store, &requests(), &dedup));
    }

    fn sent(&self, name: &str) -> Option<Sent> {
        let dedup = message("g", name).dedup;
        self.keys
            .sent_before(self.store(&self.statements()), &requests(), &dedup)
            .expect("it can be read")
    }

    /// Moves all recent keys but the newest one.
    fn merge(&mut self) {
        self.keys.merge = Some(self.keys.begin_merge());
        while self.run(KnownKeys::tend) == Backlog::Remains {}
    }

    fn restart(&mut self) {
        self.keys = KnownKeys::load(&self.sql).expect("the keys can be read");
    }

    fn count(&self, table: &str) -> i64 {
        let query = format!("SELECT COUNT(*) FROM {table}");
        self.sql.query_row(&query, [], |row| row.get(0)).expect("it can be counted")
    }
}

#[test]
fn a_key_is_known_for_a_day_wherever_it_is_stored() {
    let day = i64::try_from(DEDUP_MS).expect("it is small");
    // Within a period, at both of its ends, and across all of its parts.
    for sent_at in [NOON - 1, NOON, NOON + 1, NOON + PERIOD_MS / 2] {
        for (merged, restarted) in [(false, false), (false, true), (true, false), (true, true)] {
            let mut file = File::new();
            file.now = sent_at;
            file.remember("a");
            file.remember("b");
            if merged {
                file.merge();
            }
            if restarted {
                file.restart();
            }
            assert_eq!(file.count("known_keys"), i64::from(merged));
            for (after, known) in [(0, true), (day - 1, true), (day, false), (day + 1, false)] {
                file.now = sent_at + after;
                let expected = known.then_some(Sent::Duplicate);
                let state = (sent_at - NOON, merged, restarted, after);
                assert_eq!(file.sent("a"), expected, "{state:?}");
                assert_eq!(file.sent("b"), expected, "{state:?}");
            }
            assert_eq!(file.sent("c"), None);
        }
    }
}

#[test]
fn other_content_is_a_conflict_and_another_family_has_keys_of_its_own() {
    let mut file = File::new();
    file.remember("a");
    file.remember("newest");
    let known = |file: &File, queue: &QueueName, content: &[u8]| {
        let dedup = Dedup { content: Digest::of(content), ..message("g", "a").dedup };
        file.keys
            .sent_before(file.store(&file.statements()), queue, &dedup)
            .expect("it can be read")
    };
    for merged in [false, true] {
        if merged {
            file.merge();
        }
        assert_eq!(known(&file, &requests(), b"a"), Some(Sent::Duplicate), "{merged}");
        assert_eq!(known(&file, &requests(), b"other"), Some(Sent::Conflict), "{merged}");
        assert_eq!(known(&file, &outcomes(), b"a"), None, "{merged}");
    }
}

#[test]
fn a_rollback_forgets_the_keys_of_its_transaction_and_undoes_its_part_of_a_merge() {
    let mut file = File::new();
    let names: Vec<String> = (0..2 * MERGED_AT_ONCE).map(|n| format!("k{n}")).collect();
    names.iter().for_each(|name| file.remember(name));
    file.keys.merge = Some(file.keys.begin_merge());
    let mut keys = std::mem::take(&mut file.keys);
    for undone in [false, true, true] {
        file.sql.execute_batch("BEGIN").expect("no transaction is open");
        let lost = message("g", "lost").dedup;
        keys.remember(file.store(&file.statements()), &requests(), &lost)
            .expect("it can be stored");
        assert_eq!(keys.tend(file.store(&file.statements())).expect("it runs"), Backlog::Remains);
        if undone {
            file.sql.execute_batch("ROLLBACK").expect("a transaction is open");
            keys.rolled_back();
        } else {
            file.sql.execute_batch("COMMIT").expect("a transaction is open");
            keys.committed();
            let lost = keys.recent.remove(&Key::new(&requests(), &lost));
            file.sql
                .execute("DELETE FROM recent_keys WHERE id = ?1", [lost.map(|one| one.row)])
                .expect("it can be deleted");
        }
    }
    file.keys = keys;
    assert_eq!(file.sent("lost"), None);
    assert!(names.iter().all(|name| file.sent(name) == Some(Sent::Duplicate)));
    while file.run(KnownKeys::tend) == Backlog::Remains {}
    assert!(names.iter().all(|name| file.sent(name) == Some(Sent::Duplicate)));
    assert_eq!(file.count("recent_keys"), 1, "the newest key stays");
    file.restart();
    assert!(names.iter().all(|name| file.sent(name) == Some(Sent::Duplicate)));
}

#[test]
fn a_restart_within_a_merge_loses_no_key() {
    let mut file = File::new();
    let names: Vec<String> = (0..3 * MERGED_AT_ONCE).map(|n| format!("k{n}")).collect();
    names.iter().for_each(|name| file.remember(name));
    file.keys.merge = Some(file.keys.begin_merge());
    for round in 0..20 {
        file.run(KnownKeys::tend);
        file.restart();
        file.keys.merge = Some(file.keys.begin_merge());
        for _ in 0..round {
            file.run(KnownKeys::tend);
        }
        assert!(names.iter().all(|name| file.sent(name) == Some(Sent::Duplicate)), "{round}");
    }
    assert_eq!(file.count("known_keys"), 3 * MERGED_AT_ONCE as i64 - 1);
}

#[test]
fn a_merge_begins_by_itself_before_the_memory_is_full() {
    let mut file = File::new();
    let name = |n: usize| format!("k{n}");
    let dedup = |n: usize| Dedup {
        key: DedupKey::new(name(n)).expect("a valid key"),
        ..message("g", "m").dedup
    };
    let count = MERGE_FROM;
    file.run(|keys, store| {
        (0..count).try_for_each(|n| keys.remember(store, &requests(), &dedup(n)))
    });
    assert!(file.keys.is_merge_due());
    while file.run(KnownKeys::tend) == Backlog::Remains {}
    assert_eq!((file.keys.recent.len(), file.count("recent_keys")), (1, 1));
    assert_eq!(file.count("known_keys"), count as i64 - 1);
    // Without a merge, the memory has a bound, too.
    let more = RECENT_MAX + 10;
    file.run(|keys, store| {
        (count..count + more).try_for_each(|n| keys.remember(store, &requests(), &dedup(n)))
    });
    assert_eq!(file.keys.recent.len(), RECENT_MAX);
    for n in [0, count - 1, count, count + RECENT_MAX, count + more - 1] {
        let sent = file.keys.sent_before(file.store(&file.statements()), &requests(), &dedup(n));
        assert_eq!(sent.expect("it can be read"), Some(Sent::Duplicate), "{n}");
    }
}

#[test]
fn expired_keys_are_deleted_from_both_tables_and_no_others() {
    let day = i64::try_from(DEDUP_MS).expect("it is small");
    let mut file = File::new();
    for (name, sent_at) in [("a", NOON), ("b", NOON + 1), ("c", NOON + PERIOD_MS)] {
        file.now = sent_at;
        file.remember(name);
    }
    file.merge();
    for (name, after) in [("d", 0), ("e", 1), ("f", PERIOD_MS)] {
        file.now = NOON + PERIOD_MS + after;
        file.remember(name);
    }
    let counts = |file: &File| (file.count("known_keys"), file.count("recent_keys"));
    assert_eq!(counts(&file), (2, 4));
    for (after, left) in [
        (PERIOD_MS - 1, (2, 4)),
        (PERIOD_MS, (0, 2)),
        (PERIOD_MS + 1, (0, 1)),
        (2 * PERIOD_MS - 1, (0, 1)),
        (2 * PERIOD_MS, (0, 0)),
    ] {
        file.now = NOON + day + after;
        while file.run(KnownKeys::tend) == Backlog::Remains {}
        assert_eq!(counts(&file), left, "{after}");
    }
    assert!(file.keys.recent.is_empty() && file.keys.merge.is_none());
    // A key may be used again.
    file.remember("a");
    assert_eq!(file.sent("a"), Some(Sent::Duplicate));
}

#[test]
fn a_key_that_is_used_again_after_it_expired_is_known_by_its_later_row() {
    let day = i64::try_from(DEDUP_MS).expect("it is small");
    let mut file = File::new();
    file.remember("a");
    file.now += day;
    file.remember("a");
    file.remember("newest");
    file.merge();
    file.restart();
    file.now += day - 1;
    assert_eq!(file.sent("a"), Some(Sent::Duplicate));
    file.now += 1;
    assert_eq!(file.sent("a"), None);
}
