//! The events of jobs, in batches: those of one job and one transaction.
//!
//! A batch is a row, whose number is made of that of the job and of the batch.
//! Batches of a job are next to each other, and those of a new job at the end.

use rusqlite::CachedStatement;
use rusqlite::Connection;
use rusqlite::params;
use serde::Deserialize;
use serde::Serialize;
use serde::Serializer as _;

use hoth_core::domain::JobEventKind;
use hoth_core::domain::JobRecord;
use hoth_core::domain::Timestamp;
use hoth_core::domain::rfc3339;

/// The most batches of one job that are kept: its first and its last ones. A
/// job that is polled for days has thousands.
pub(crate) const BATCHES_MAX: u32 = 512;

/// The first batches that are kept.
const FIRST_KEPT: u32 = 64;

/// The numbers for batches of one job. A job that is polled every second for ten
/// days has fewer.
const NUMBERS: i64 = 1 << 20;

/// The table. Its rows are ordered by their number alone, which is cheaper than
/// a key of two columns.
pub(crate) const TABLE: &str = "CREATE TABLE events (id INTEGER PRIMARY KEY, body TEXT NOT NULL);";

/// Converts the table of schema 1.
pub(crate) const UPGRADE: &str = "
ALTER TABLE events RENAME TO events_before;
CREATE TABLE events (id INTEGER PRIMARY KEY, body TEXT NOT NULL);
INSERT INTO events
    SELECT (job << 20) + row_number() OVER (PARTITION BY job ORDER BY batch), body
    FROM events_before;
DROP TABLE events_before;
";

/// An event of a job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TimelineEvent {
    #[serde(with = "rfc3339")]
    pub at: Timestamp,
    /// In microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub took_us: Option<u64>,
    #[serde(flatten)]
    pub what: JobEventKind,
}

/// Adds batches.
pub(crate) struct BatchWriter<'a> {
    insert: CachedStatement<'a>,
    delete: CachedStatement<'a>,
    /// The text of the last batch, whose memory the next one uses.
    text: Vec<u8>,
}

impl<'a> BatchWriter<'a> {
    pub fn new(sql: &'a Connection) -> rusqlite::Result<Self> {
        Ok(Self {
            // A job that has used up its numbers keeps the first and the last.
            insert: sql.prepare_cached("INSERT OR REPLACE INTO events VALUES (?1, ?2)")?,
            delete: sql.prepare_cached("DELETE FROM events WHERE id = ?1")?,
            text: Vec::new(),
        })
    }

    /// Adds the batch with this number, from 1.
    pub fn add(&mut self, job: i64, number: u32, records: &[&JobRecord]) -> rusqlite::Result<()> {
        self.text.clear();
        encode(records, &mut self.text);
        let text = str::from_utf8(&self.text).expect("JSON is UTF-8");
        self.insert.execute(params![id_of(job, number), text])?;
        // Those in the middle go: how a job began and where it stands matter.
        if number > BATCHES_MAX {
            self.delete.execute([id_of(job, number - (BATCHES_MAX - FIRST_KEPT))])?;
        }
        Ok(())
    }
}

/// Reads the events of a job, in the order of their times.
pub(crate) fn read(sql: &Connection, job: i64) -> rusqlite::Result<Vec<TimelineEvent>> {
    let mut query = sql.prepare_cached(
        "SELECT body FROM events WHERE id BETWEEN ?1 AND ?2 ORDER BY id LIMIT ?3",
    )?;
    let values = params![id_of(job, 0), id_of(job, u32::MAX), BATCHES_MAX];
    let bodies = query.query_map(values, |row| row.get::<_, String>(0))?;
    let mut events = Vec::new();
    for body in bodies {
        // A batch that cannot be read must not hide the others.
        let batch: Vec<Stored> = serde_json::from_str(&body?).unwrap_or_default();
        events.extend(batch.into_iter().map(|Stored { at, us, e }| TimelineEvent {
            at,
            took_us: us,
            what: e,
        }));
    }
    events.sort_by_key(|event| event.at);
    Ok(events)
}

/// Deletes the batches of the jobs up to this one.
pub(crate) fn delete_up_to(sql: &Connection, job: i64) -> rusqlite::Result<usize> {
    sql.execute("DELETE FROM events WHERE id <= ?1", [id_of(job, u32::MAX)])
}

/// Deletes the batches of one job.
pub(crate) fn delete(sql: &Connection, job: i64) -> rusqlite::Result<usize> {
    let mut delete = sql.prepare_cached("DELETE FROM events WHERE id BETWEEN ?1 AND ?2")?;
    delete.execute([id_of(job, 0), id_of(job, u32::MAX)])
}

/// Returns the number of a row.
fn id_of(job: i64, batch: u32) -> i64 {
    job.saturating_mul(NUMBERS).saturating_add(i64::from(batch).min(NUMBERS - 1))
}

/// An event in its stored form.
#[derive(Deserialize)]
struct Stored {
    at: Timestamp,
    /// In microseconds.
    #[serde(default)]
    us: Option<u64>,
    e: JobEventKind,
}

/// The same, to be written.
#[derive(Serialize)]
struct Storing<'a> {
    at: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    us: Option<u64>,
    e: &'a JobEventKind,
}

/// Appends the stored text of the events of one job.
fn encode(records: &[&JobRecord], text: &mut Vec<u8>) {
    let events = records.iter().flat_map(|record| {
        record.events.iter().map(|event| Storing {
            at: record.start_of(event).as_millis(),
            us: event.took.map(|took| u64::try_from(took.as_micros()).unwrap_or(u64::MAX)),
            e: &event.what,
        })
    });
    let written = serde_json::Serializer::new(text).collect_seq(events);
    written.expect("events have string keys and writing to memory succeeds");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Store;

    #[test]
    fn events_of_the_earlier_schema_are_kept() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("trail.db");
        drop(Store::open(&path, 256 << 20).expect("a new file"));
        let sql = Connection::open(&path).expect("it is there");
        let event = |n: i64| format!(r#"[{{"at":{n},"e":{{"event":"delayed","byMs":{n}}}}}]"#);
        sql.execute_batch(
            "PRAGMA user_version = 1; DROP TABLE events;
             CREATE TABLE events (
                 job INTEGER NOT NULL, batch INTEGER NOT NULL, body TEXT NOT NULL,
                 PRIMARY KEY (job, batch)
             ) WITHOUT ROWID;",
        )
        .expect("the tables of schema 1");
        for (job, at) in [(1, 1_000), (2, 1_000), (1, 2_000), (1, 3_000)] {
            let values = params![job, at, event(at)];
            sql.execute("INSERT INTO events VALUES (?1, ?2, ?3)", values).expect("it is written");
        }
        drop(sql);
        let store = Store::open(&path, 256 << 20).expect("it is converted");
        let times = |job| -> Vec<u64> {
            let events = read(&store.sql, job).expect("it is read");
            events.iter().map(|event| event.at.as_millis()).collect()
        };
        assert_eq!((times(1), times(2)), (vec![1_000, 2_000, 3_000], vec![1_000]));
        delete(&store.sql, 1).expect("it is deleted");
        assert_eq!((times(1), times(2)), (vec![], vec![1_000]));
        drop(store);
        Store::open(&path, 256 << 20).expect("it is of this schema");
    }
}
