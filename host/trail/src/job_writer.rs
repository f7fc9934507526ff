//! The writer of jobs: merges what has gathered about each into its row.

use std::collections::HashMap;
use std::sync::Arc;

use rusqlite::CachedStatement;
use rusqlite::Connection;

use crate::apply::apply;
use crate::batches::BatchWriter;
use crate::minutes::Minutes;
use crate::rows;
use crate::rows::key_of;
use crate::state::JobRow;
use hoth_core::domain::JobEventKind;
use hoth_core::domain::JobKind;
use hoth_core::domain::JobRecord;

/// Writes jobs, with statements that are prepared once for all of them.
pub(crate) struct JobWriter<'a> {
    sql: &'a Connection,
    find: CachedStatement<'a>,
    insert: CachedStatement<'a>,
    update: CachedStatement<'a>,
    batches: BatchWriter<'a>,
}

impl<'a> JobWriter<'a> {
    pub fn new(sql: &'a Connection) -> rusqlite::Result<Self> {
        Ok(Self {
            sql,
            find: rows::prepare_find(sql)?,
            insert: sql.prepare_cached(rows::INSERT)?,
            update: sql.prepare_cached(rows::UPDATE)?,
            batches: BatchWriter::new(sql)?,
        })
    }

    /// Stores records, and counts their events.
    pub fn write(
        &mut self,
        records: &[Arc<JobRecord>],
        minutes: &mut Minutes,
    ) -> rusqlite::Result<()> {
        for records in by_job(records) {
            self.write_job(&records, minutes)?;
        }
        Ok(())
    }

    fn write_job(&mut self, records: &[&JobRecord], minutes: &mut Minutes) -> rusqlite::Result<()> {
        let (kind, id) = (records[0].job.kind, &records[0].job.id);
        let (known, mut row) = match rows::find(&mut self.find, kind, id)? {
            Some((job, row)) => (Some(job), row),
            // A client or an operator may name any id.
            None if !records.iter().any(|record| tells_of_new_job(record)) => return Ok(()),
            None => (None, JobRow::new(kind, id.clone(), records[0].at)),
        };
        for record in records {
            apply(&mut row, record, minutes);
        }
        row.batches = row.batches.saturating_add(1);
        let job = match known {
            Some(job) => {
                rows::save(&mut self.update, &row, job)?;
                job
            }
            None => {
                rows::save(&mut self.insert, &row, key_of(kind, id))?;
                self.sql.last_insert_rowid()
            }
        };
        self.batches.add(job, row.batches, records)
    }
}

/// Groups records by their job, in the order in which the jobs first appear.
fn by_job(records: &[Arc<JobRecord>]) -> Vec<Vec<&JobRecord>> {
    let mut places: HashMap<(JobKind, &str), usize> = HashMap::with_capacity(records.len());
    let mut jobs: Vec<Vec<&JobRecord>> = Vec::with_capacity(records.len());
    for record in records {
        let place = *places.entry((record.job.kind, &record.job.id)).or_insert(jobs.len());
        match jobs.get_mut(place) {
            Some(job) => job.push(record),
            None => jobs.push(vec![record]),
        }
    }
    jobs
}

/// Returns false for a record that only makes sense about a known job.
fn tells_of_new_job(record: &JobRecord) -> bool {
    record.events.iter().any(|event| {
        !matches!(
            event.what,
            JobEventKind::Leased { .. }
                | JobEventKind::Released { .. }
                | JobEventKind::Redelivered { .. }
                | JobEventKind::Redriven { .. }
                | JobEventKind::Purged { .. }
        )
    })
}
