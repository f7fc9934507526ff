//! Members of groups, compared with a plain set, through merges, rollbacks and
//! restarts.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use super::*;
use crate::embedded::backlog::Backlog;
use crate::embedded::merge::MERGE_FROM;
use crate::embedded::merge::MERGED_AT_ONCE;
use crate::embedded::tables::new_tables;

/// A file, its groups, and the members that they must have.
struct File {
    sql: Connection,
    groups: Groups,
    expected: BTreeSet<(Group, i64)>,
}

fn group(number: i64) -> Group {
    // Texts and digests are sorted differently.
    let id = match number % 2 {
        0 => StoredId::new(&format!("g{number}")),
        _ => StoredId::new(&format!("{number:032x}")),
    };
    Group { queue: number % 3, id }
}

impl File {
    fn new() -> Self {
        let sql = Connection::open_in_memory().expect("memory is free");
        sql.execute_batch(&new_tables()).expect("the tables can be made");
        let groups = Groups::open(&sql).expect("the file can be read");
        Self { sql, groups, expected: BTreeSet::new() }
    }

    fn add(&mut self, number: i64, seq: i64) {
        self.groups.add(&Statements::of(&self.sql), group(number), seq).expect("it can be added");
        self.expected.insert((group(number), seq));
    }

    fn remove(&mut self, number: i64, seq: i64) {
        self.groups
            .remove(&Statements::of(&self.sql), &group(number), seq)
            .expect("it can be removed");
        self.expected.remove(&(group(number), seq));
    }

    /// Runs `work` in a transaction that is committed.
    fn run<T>(&mut self, work: impl FnOnce(&mut Self) -> T) -> T {
        self.sql.execute_batch("BEGIN").expect("no transaction is open");
        let done = work(self);
        self.sql.execute_batch("COMMIT").expect("it can be committed");
        self.groups.committed();
        done
    }

    /// Runs `work` in a transaction that is rolled back.
    fn undo(&mut self, work: impl FnOnce(&mut Self)) {
        let expected = self.expected.clone();
        self.sql.execute_batch("BEGIN").expect("no transaction is open");
        work(self);
        self.sql.execute_batch("ROLLBACK").expect("a transaction is open");
        self.groups.rolled_back();
        self.expected = expected;
    }

    fn tend(&mut self) -> Backlog {
        self.run(|file| file.groups.tend(&Statements::of(&file.sql)).expect("it runs"))
    }

    fn begin_merge(&mut self) {
        self.groups.merge = Some(self.groups.begin_merge());
    }

    fn merge(&mut self) {
        self.begin_merge();
        while self.tend() == Backlog::Remains {}
    }

    /// Reads the file as after a crash. The counts of the queues are those of
    /// the messages, which these tests do not have.
    fn restart(&mut self) {
        let set = "DELETE FROM queues; INSERT INTO queues VALUES (1, 'q', ?1, 0)";
        let count = self.expected.len();
        self.sql.execute_batch(&set.replace("?1", &count.to_string())).expect("valid SQL");
        self.groups = Groups::open(&self.sql).expect("the file can be read");
        self.check();
    }

    fn counts(&self, queue: i64) -> Counts<'_> {
        Counts::read(&self.sql, queue).expect("it can be read")
    }

    fn count(&self, group: &Group) -> u64 {
        self.counts(group.queue).of(group).expect("it can be read")
    }

    fn check(&self) {
        let mut found = BTreeSet::new();
        let read = Groups::read(&self.sql).expect("the file can be read");
        let named: BTreeSet<&Group> = self.expected.iter().map(|(group, _)| group).collect();
        let queues: BTreeSet<i64> = named.iter().map(|group| group.queue).collect();
        let counts: BTreeMap<i64, Counts<'_>> =
            queues.into_iter().map(|queue| (queue, self.counts(queue))).collect();
        for group in named {
            let count = counts[&group.queue].of(group).expect("it can be read");
            for groups in [&self.groups, &read] {
                let all =
                    groups.members_after(&Statements::of(&self.sql), group, i64::MIN, usize::MAX);
                let all = all.expect("it can be read");
                assert!(all.is_sorted_by(|one, next| one < next), "{all:?}");
                assert_eq!(count, all.len() as u64);
                found.extend(all.into_iter().map(|seq| (group.clone(), seq)));
            }
        }
        assert_eq!(found, self.expected);
        let rows = |table: &str| {
            let query = format!("SELECT COUNT(*) FROM {table}");
            self.sql.query_row(&query, [], |row| row.get::<_, i64>(0)).expect("it is there")
        };
        if self.groups.merge.is_none() {
            let all = rows("members") + rows("recent_members");
            assert_eq!(all, self.expected.len() as i64, "no row is left of another member");
        }
    }
}

#[test]
fn members_are_found_in_order_wherever_they_are_stored() {
    let mut file = File::new();
    file.run(|file| (0..9).for_each(|seq| file.add(seq % 3, seq * 10)));
    file.check();
    file.merge();
    file.check();
    file.run(|file| (0..9).for_each(|seq| file.add(seq % 3, seq * 10 + 5)));
    file.check();
    let after = |seq, limit| {
        file.groups
            .members_after(&Statements::of(&file.sql), &group(1), seq, limit)
            .expect("it can be read")
    };
    assert_eq!(after(i64::MIN, 10), [10, 15, 40, 45, 70, 75]);
    assert_eq!(after(15, 2), [40, 45]);
    assert_eq!(after(75, 2), [0_i64; 0]);
    file.run(|file| [10, 45].into_iter().for_each(|seq| file.remove(1, seq)));
    file.check();
    file.restart();
}

#[test]
fn a_rollback_undoes_changes_and_the_part_of_a_merge() {
    let mut file = File::new();
    let many = 3 * MERGED_AT_ONCE as i64;
    file.run(|file| (0..many).for_each(|seq| file.add(seq % 100, seq)));
    file.begin_merge();
    assert_eq!(file.tend(), Backlog::Remains);
    file.check();
    file.undo(|file| {
        file.remove(1, 1);
        file.remove(1, 2901);
        file.add(1, many);
        file.remove(1, many);
        file.add(1, 1);
        assert_eq!(
            file.groups.tend(&Statements::of(&file.sql)).expect("it runs"),
            Backlog::Remains
        );
    });
    file.check();
    while file.tend() == Backlog::Remains {}
    file.check();
    file.restart();
}

#[test]
fn a_merge_goes_on_after_a_part_that_failed() {
    let mut file = File::new();
    let many = 3 * MERGED_AT_ONCE as i64;
    file.run(|file| (0..many).for_each(|seq| file.add(seq % 100, seq)));
    file.begin_merge();
    assert_eq!(file.tend(), Backlog::Remains);
    let read_only = |file: &File, word| {
        let pragma = format!("PRAGMA query_only = {word}");
        file.sql.execute_batch(&pragma).expect("valid SQL");
    };
    for _ in 0..2 {
        read_only(&file, "on");
        file.undo(|file| {
            drop(file.groups.tend(&Statements::of(&file.sql)).expect_err("nothing can be written"))
        });
        read_only(&file, "off");
        file.check();
        assert_eq!(file.tend(), Backlog::Remains);
        file.run(|file| file.remove(1, 1));
        file.run(|file| file.add(1, 1));
        file.check();
    }
    while file.tend() == Backlog::Remains {}
    file.check();
    file.restart();
}

#[test]
fn a_crash_within_a_merge_neither_loses_nor_doubles_a_member() {
    let many = 5 * MERGED_AT_ONCE as i64;
    for parts in 0..10 {
        let mut file = File::new();
        file.run(|file| (0..many).for_each(|seq| file.add(seq % 100, seq)));
        file.begin_merge();
        for part in 0..parts {
            file.tend();
            // Members come and go meanwhile: moved ones, others, and new ones in
            // their places.
            file.run(|file| {
                for number in 0..50 {
                    file.remove(number, number + 100 * part);
                    file.add(number, many + number + 100 * part);
                    if number % 3 == 0 {
                        file.add(number, number + 100 * part);
                    }
                }
            });
            file.check();
        }
        file.restart();
        file.merge();
        file.check();
        file.restart();
    }
}

#[test]
fn a_row_of_a_new_member_survives_the_end_of_a_merge() {
    let mut file = File::new();
    file.run(|file| (0..10).for_each(|seq| file.add(seq, seq)));
    file.begin_merge();
    // The last rows go before the merge has come to them.
    file.run(|file| (5..10).for_each(|seq| file.remove(seq, seq)));
    file.run(|file| (5..10).for_each(|seq| file.add(seq, seq + 10)));
    while file.tend() == Backlog::Remains {}
    file.check();
    file.restart();
}

#[test]
fn a_merge_begins_by_itself_before_the_memory_is_full() {
    let mut file = File::new();
    let count = MERGE_FROM as i64;
    file.run(|file| (0..count).for_each(|seq| file.add(seq, seq)));
    assert!(file.groups.is_merge_due());
    while file.tend() == Backlog::Remains {}
    assert_eq!(file.groups.recent.len(), 0);
    // Without a merge, the memory has a bound, too.
    let more = RECENT_MAX as i64 + 10;
    file.run(|file| (count..count + more).for_each(|seq| file.add(seq, seq)));
    assert_eq!(file.groups.recent.len(), RECENT_MAX);
    file.restart();
}

#[test]
fn an_index_that_does_not_fit_the_messages_is_made_anew() {
    let mut file = File::new();
    file.run(|file| file.add(1, 1));
    let insert = "INSERT INTO queues (id, name) VALUES (2, 'q');
        INSERT INTO messages (queue, grp, key, sent_at, visible_at, head)
        VALUES (2, 'a', 'k', 0, 0, 1), (2, 'a', 'k', 0, 0, 0)";
    file.sql.execute_batch(insert).expect("another program may write");
    file.groups = Groups::open(&file.sql).expect("the file can be read");
    let added = Group { queue: 2, id: StoredId::new("a") };
    assert_eq!((file.count(&added), file.count(&group(1))), (2, 0));
}
