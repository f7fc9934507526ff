//! The queries, each bounded in rows and in time.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;
use std::time::Instant;

use rusqlite::Connection;
use rusqlite::OpenFlags;
use rusqlite::ToSql;
use rusqlite::config::DbConfig;
use rusqlite::params;
use serde::Deserialize;
use serde::Serialize;

use crate::act::Act;
use crate::act::ActFilter;
use crate::batches::TimelineEvent;
use crate::failure::TrailError;
use crate::minutes::Minute;
use crate::rows;
use crate::rows::COLUMNS;
use crate::rows::key_of;
use crate::rows::kind_number;
use crate::rows::millis;
use crate::rows::timestamp;
use crate::state::JobRow;
use crate::state::JobState;
use crate::store::identity;
use hoth_core::domain::CspName;
use hoth_core::domain::JobKind;
use hoth_core::domain::Operation;
use hoth_core::domain::Timestamp;
use hoth_core::domain::rfc3339;

/// The longest time of one query. A filter looks at every job of the file, and
/// the largest file takes longer: a narrower filter ends sooner.
const QUERY_MAX: Duration = Duration::from_secs(5);

/// Instructions of SQLite between two looks at the clock.
const INSTRUCTIONS_PER_LOOK: i32 = 20_000;

/// The most rows of one answer.
pub const ROWS_MAX: usize = 1_000;

/// The most distinct reasons of an answer, and the failed jobs that are looked
/// at for them.
const REASONS_MAX: usize = 200;

/// The jobs to list. An empty filter lists all.
#[derive(Debug, Clone, Default)]
pub struct JobFilter {
    pub kind: Option<JobKind>,
    /// A job id, a request id or a portfolio id.
    pub id: Option<String>,
    pub portfolio_id: Option<String>,
    pub csp: Option<CspName>,
    pub operation: Option<Operation>,
    /// Jobs in one of these states; all if empty.
    pub states: Vec<JobState>,
    /// Jobs with news at or after this time.
    pub since: Option<Timestamp>,
    /// Jobs with news before this time.
    pub until: Option<Timestamp>,
}

/// A page of jobs, the newest first.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct JobPage {
    pub jobs: Vec<JobRow>,
    /// Continues the list; `None` at its end.
    pub next: Option<String>,
}

/// A job and its events.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct JobTimeline {
    pub job: JobRow,
    /// By their start. A job with very many has its first and last ones.
    pub events: Vec<TimelineEvent>,
}

/// Failed jobs with one class and reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FailedReason {
    pub csp: Option<String>,
    pub class: Option<String>,
    pub reason: Option<String>,
    pub jobs: u64,
    #[serde(serialize_with = "rfc3339::serialize")]
    pub first_at: Timestamp,
    #[serde(serialize_with = "rfc3339::serialize")]
    pub last_at: Timestamp,
    /// The id of the last one.
    pub example: String,
}

/// A connection, with the device and inode of its file.
type OpenFile = (Connection, Option<(u64, u64)>);

/// The connection of the readers. One query runs at a time: the trail must not
/// take processors from the jobs.
#[derive(Debug)]
pub(crate) struct Reader {
    path: PathBuf,
    /// The open file, and its identity at that time.
    open: Arc<Mutex<Option<OpenFile>>>,
}

impl Reader {
    pub fn new(path: PathBuf) -> Self {
        Self { path, open: Arc::default() }
    }

    /// Runs a query on a thread for blocking work.
    pub async fn query<T, Q>(&self, query: Q) -> Result<T, TrailError>
    where
        T: Send + 'static,
        Q: FnOnce(&Connection) -> Result<T, TrailError> + Send + 'static,
    {
        let (path, open) = (self.path.clone(), Arc::clone(&self.open));
        let work = move || {
            let mut open = open.lock().unwrap_or_else(PoisonError::into_inner);
            // Opened after a failure, and when the file was replaced: a deleted
            // file would show the past.
            let (mut sql, file) = match open.take() {
                Some((sql, file)) if file == identity(&path) => (sql, file),
                Some(_) | None => (connect(&path)?, identity(&path)),
            };
            let deadline = Instant::now() + QUERY_MAX;
            sql.progress_handler(INSTRUCTIONS_PER_LOOK, Some(move || Instant::now() > deadline))?;
            let answer = query(&sql)?;
            *open = Some((sql, file));
            Ok(answer)
        };
        let answer = tokio::task::spawn_blocking(work).await;
        answer.map_err(|error| TrailError::Unavailable(error.into()))?
    }
}

fn connect(path: &std::path::Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let sql = Connection::open_with_flags(path, flags)?;
    sql.set_prepared_statement_cache_capacity(16);
    sql.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    Ok(sql)
}

pub(crate) fn jobs(
    sql: &Connection,
    filter: &JobFilter,
    before: i64,
    limit: usize,
) -> Result<JobPage, TrailError> {
    let mut conditions = vec!["id < ?".to_owned()];
    let mut values: Vec<Box<dyn ToSql>> = vec![Box::new(before)];
    let mut add = |condition: &str, value: Box<dyn ToSql>| {
        conditions.push(condition.to_owned());
        values.push(value);
    };
    if let Some(kind) = filter.kind {
        add("kind = ?", Box::new(kind_number(kind)));
    }
    if let Some(csp) = &filter.csp {
        add("csp = ?", Box::new(csp.as_str().to_owned()));
    }
    if let Some(operation) = filter.operation {
        add("operation = ?", Box::new(operation.wit_name()));
    }
    if let Some(portfolio) = &filter.portfolio_id {
        add("portfolio = ?", Box::new(portfolio.clone()));
    }
    if let Some(since) = filter.since {
        add("updated >= ?", Box::new(millis(since)));
    }
    if let Some(until) = filter.until {
        add("updated < ?", Box::new(millis(until)));
    }
    if !filter.states.is_empty() {
        // Numbers of a closed list.
        let states: Vec<String> =
            filter.states.iter().map(|state| state.number().to_string()).collect();
        conditions.push(format!("state IN ({})", states.join(", ")));
    }
    if let Some(id) = &filter.id {
        // The index finds the id of a job; only a portfolio needs a look at
        // every row.
        let keys = JobKind::ALL.map(|kind| key_of(kind, id));
        let is_job = sql
            .prepare_cached(
                "SELECT EXISTS (SELECT 1 FROM jobs WHERE key IN (?1, ?2) AND job = ?3)",
            )?
            .query_row(params![keys[0], keys[1], id], |row| row.get::<_, bool>(0))?;
        match is_job {
            true => {
                conditions.push(format!("key IN ({}, {})", keys[0], keys[1]));
                conditions.push("job = ?".to_owned());
            }
            false => conditions.push("portfolio = ?".to_owned()),
        }
        values.push(Box::new(id.clone()));
    }
    let text = format!(
        "SELECT {COLUMNS} FROM jobs WHERE {} ORDER BY id DESC LIMIT {}",
        conditions.join(" AND "),
        limit + 1,
    );
    let mut query = sql.prepare(&text)?;
    let values: Vec<&dyn ToSql> = values.iter().map(|value| &**value).collect();
    let rows = query
        .query_map(values.as_slice(), |row| Ok((row.get::<_, i64>(0)?, rows::read_row(row)?)))?;
    let mut rows: Vec<(i64, JobRow)> = rows.collect::<rusqlite::Result<_>>()?;
    let more = rows.len() > limit;
    rows.truncate(limit);
    let next = rows.last().filter(|_| more).map(|(id, _)| id.to_string());
    Ok(JobPage { jobs: rows.into_iter().map(|(_, row)| row).collect(), next })
}

pub(crate) fn acts(
    sql: &Connection,
    filter: &ActFilter,
    before: i64,
    limit: usize,
) -> Result<(Vec<Act>, Option<String>), TrailError> {
    let mut query = sql.prepare_cached(
        "SELECT id, at, act, by, object, details FROM acts WHERE id < ?1 \
         AND (?2 IS NULL OR act = ?2) AND (?3 IS NULL OR by = ?3) \
         AND (?4 IS NULL OR object = ?4) AND (?5 IS NULL OR at >= ?5) \
         AND (?6 IS NULL OR at < ?6) ORDER BY id DESC LIMIT ?7",
    )?;
    let values = params![
        before,
        filter.act,
        filter.by,
        filter.object,
        filter.since.map(millis),
        filter.until.map(millis),
        (limit + 1) as i64,
    ];
    let rows = query.query_map(values, |row| {
        let act = Act {
            at: timestamp(row.get(1)?),
            act: row.get(2)?,
            by: row.get(3)?,
            object: row.get(4)?,
            details: row.get(5)?,
        };
        Ok((row.get::<_, i64>(0)?, act))
    })?;
    let mut rows: Vec<(i64, Act)> = rows.collect::<rusqlite::Result<_>>()?;
    let more = rows.len() > limit;
    rows.truncate(limit);
    let next = rows.last().filter(|_| more).map(|(id, _)| id.to_string());
    Ok((rows.into_iter().map(|(_, act)| act).collect(), next))
}

pub(crate) fn minutes(sql: &Connection, since: Timestamp) -> Result<Vec<Minute>, TrailError> {
    let mut query =
        sql.prepare_cached("SELECT * FROM minutes WHERE minute >= ?1 ORDER BY minute, csp")?;
    let rows = query.query_map([millis(since)], |row| {
        let count = |column: usize| -> rusqlite::Result<u64> {
            Ok(u64::try_from(row.get::<_, i64>(column)?).unwrap_or(0))
        };
        Ok(Minute {
            at: timestamp(row.get(0)?),
            csp: row.get(1)?,
            ended_ok: count(2)?,
            ended_failed: count(3)?,
            calls: count(4)?,
            calls_failed: count(5)?,
            call_ms_sum: count(6)?,
            call_ms_max: count(7)?,
            accepted: count(8)?,
            collected: count(9)?,
        })
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

pub(crate) fn failed_reasons(
    sql: &Connection,
    since: Timestamp,
) -> Result<Vec<FailedReason>, TrailError> {
    // With `max`, SQLite takes the other columns from the row that has it.
    let mut query = sql.prepare_cached(
        "SELECT csp, class, reason, count(*), min(ended_at), max(ended_at), job FROM jobs \
         WHERE code >= 400 AND ended_at >= ?1 GROUP BY csp, class, reason \
         ORDER BY count(*) DESC, max(ended_at) DESC LIMIT ?2",
    )?;
    let rows = query.query_map(params![millis(since), REASONS_MAX as i64], |row| {
        Ok(FailedReason {
            csp: row.get(0)?,
            class: row.get(1)?,
            reason: row.get(2)?,
            jobs: u64::try_from(row.get::<_, i64>(3)?).unwrap_or(0),
            first_at: timestamp(row.get(4)?),
            last_at: timestamp(row.get(5)?),
            example: row.get(6)?,
        })
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}
