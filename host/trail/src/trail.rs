//! The trail of a host: takes records, and answers queries.

use std::sync::Arc;
use std::time::Duration;

use rusqlite::Connection;

use crate::act::Act;
use crate::act::ActFilter;
use crate::batches;
use crate::buffer::Buffer;
use crate::config::Config;
use crate::failure::TrailError;
use crate::minutes::Minute;
use crate::read;
use crate::read::FailedReason;
use crate::read::JobFilter;
use crate::read::JobPage;
use crate::read::JobTimeline;
use crate::read::ROWS_MAX;
use crate::read::Reader;
use crate::rows;
use crate::state::JobRow;
use crate::waiting;
use crate::writer::Writer;
use hoth_core::domain::JobKind;
use hoth_core::domain::JobRecord;
use hoth_core::domain::Timestamp;
use hoth_platform::clock::Clock;

/// The longest wait for the writer at the end of a host.
const END_MAX: Duration = Duration::from_secs(2);

/// The trail of a host. Cheap to clone; [`Trail::close`] ends its writer.
#[derive(Debug, Clone)]
pub struct Trail(Option<Arc<Inner>>);

#[derive(Debug)]
struct Inner {
    buffer: Arc<Buffer>,
    reader: Reader,
}

impl Trail {
    /// Makes a trail and its writer. Returns a trail that is off, and no
    /// writer, if `config` says so. Opens no file: that is the writer's, which
    /// tries again until it can.
    pub fn new(config: &Config, clock: Clock) -> (Self, Option<Writer>) {
        if !config.enabled {
            return (Self::off(), None);
        }
        let buffer = Arc::new(Buffer::default());
        let reader = Reader::new(config.path.clone());
        let writer = Writer::new(config, Arc::clone(&buffer), clock);
        (Self(Some(Arc::new(Inner { buffer, reader }))), Some(writer))
    }

    /// Returns a trail that keeps nothing.
    pub fn off() -> Self {
        Self(None)
    }

    /// Returns true if the configuration has switched the trail on.
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Takes a record. Never blocks; drops and counts the record if the writer
    /// cannot keep up.
    pub fn observe(&self, record: &Arc<JobRecord>) {
        if let Some(inner) = &self.0 {
            inner.buffer.push(Arc::clone(record));
        }
    }

    /// Takes an act, as [`Trail::observe`] takes a record.
    pub fn act(&self, act: Act) {
        if let Some(inner) = &self.0 {
            inner.buffer.push_act(act);
        }
    }

    /// Lets the writer store the rest, and end.
    pub fn close(&self) {
        if let Some(inner) = &self.0 {
            inner.buffer.close();
        }
    }

    /// Closes the trail, and waits until the writer has stored the rest, for
    /// two seconds at most.
    pub async fn end(&self) {
        let Some(inner) = &self.0 else { return };
        let buffer = Arc::clone(&inner.buffer);
        buffer.close();
        // A disk that is stuck must not keep the host from its restart.
        let waited = tokio::task::spawn_blocking(move || buffer.wait_for_end(END_MAX));
        drop(tokio::time::timeout(END_MAX, waited).await);
    }
}

impl Trail {
    async fn query<T, Q>(&self, query: Q) -> Result<T, TrailError>
    where
        T: Send + 'static,
        Q: FnOnce(&Connection) -> Result<T, TrailError> + Send + 'static,
    {
        self.0.as_deref().ok_or(TrailError::Off)?.reader.query(query).await
    }

    /// Lists jobs, the newest first. `cursor` continues a list; `limit` is at
    /// most [`ROWS_MAX`].
    ///
    /// # Errors
    ///
    /// [`TrailError`].
    pub async fn jobs(
        &self,
        filter: JobFilter,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<JobPage, TrailError> {
        let before = match cursor {
            None => i64::MAX,
            Some(text) => text.parse().map_err(|_| TrailError::BadCursor)?,
        };
        self.query(move |sql| read::jobs(sql, &filter, before, limit.clamp(1, ROWS_MAX))).await
    }

    /// Returns a job and its events, or `None` if the trail does not know it.
    ///
    /// # Errors
    ///
    /// [`TrailError`].
    pub async fn job(&self, kind: JobKind, id: &str) -> Result<Option<JobTimeline>, TrailError> {
        let id = id.to_owned();
        self.query(move |sql| {
            let Some((job, row)) = rows::find(&mut rows::prepare_find(sql)?, kind, &id)? else {
                return Ok(None);
            };
            Ok(Some(JobTimeline { job: row, events: batches::read(sql, job)? }))
        })
        .await
    }

    /// Returns the last known state of a job, or `None` if the trail does not
    /// know it.
    ///
    /// # Errors
    ///
    /// [`TrailError`].
    pub async fn job_row(&self, kind: JobKind, id: &str) -> Result<Option<JobRow>, TrailError> {
        let id = id.to_owned();
        self.query(move |sql| {
            let found = rows::find(&mut rows::prepare_find(sql)?, kind, &id)?;
            Ok(found.map(|(_, row)| row))
        })
        .await
    }

    /// Lists acts, the newest first. `cursor` is the position after which the
    /// list goes on, as the last answer returned it.
    ///
    /// # Errors
    ///
    /// [`TrailError`].
    pub async fn acts(
        &self,
        filter: ActFilter,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<(Vec<Act>, Option<String>), TrailError> {
        let before = match cursor {
            None => i64::MAX,
            Some(text) => text.parse().map_err(|_| TrailError::BadCursor)?,
        };
        self.query(move |sql| read::acts(sql, &filter, before, limit.clamp(1, ROWS_MAX))).await
    }

    /// Returns the number of jobs that wait with a state of each of these
    /// versions, which are the first twelve digits of their digests. Counts up to
    /// [`WAITING_COUNT_MAX`](crate::WAITING_COUNT_MAX).
    ///
    /// # Errors
    ///
    /// [`TrailError`].
    pub async fn waiting(&self, digests: Vec<String>) -> Result<Vec<u64>, TrailError> {
        let count = |sql: &Connection, digest: &String| waiting::count(sql, digest);
        self.query(move |sql| digests.iter().map(|digest| count(sql, digest)).collect()).await
    }

    /// Returns the counts of each minute from `since` on, oldest first.
    ///
    /// # Errors
    ///
    /// [`TrailError`].
    pub async fn minutes(&self, since: Timestamp) -> Result<Vec<Minute>, TrailError> {
        self.query(move |sql| read::minutes(sql, since)).await
    }

    /// Groups the failed jobs since `since` by CSP, class and reason, the most
    /// frequent first.
    ///
    /// # Errors
    ///
    /// [`TrailError`].
    pub async fn failed_reasons(&self, since: Timestamp) -> Result<Vec<FailedReason>, TrailError> {
        self.query(move |sql| read::failed_reasons(sql, since)).await
    }
}
