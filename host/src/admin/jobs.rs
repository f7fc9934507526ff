//! Jobs and acts, as the trail of this host has them.

use std::sync::Arc;

use axum::Json;
use axum::extract::Path;
use axum::extract::Query;
use axum::extract::State;
use axum::extract::rejection::QueryRejection;
use serde::Deserialize;
use serde::Serialize;

use super::error::AdminError;
use super::journals;
use super::journals::JournalLink;
use super::state::AdminState;
use crate::job_status::CspHold;
use crate::job_status::JobStatus;
use hoth_core::domain::CspName;
use hoth_core::domain::JobKind;
use hoth_core::domain::Operation;
use hoth_core::domain::Timestamp;
use hoth_trail::Act;
use hoth_trail::ActFilter;
use hoth_trail::JobFilter;
use hoth_trail::JobPage;
use hoth_trail::JobRow;
use hoth_trail::JobState;
use hoth_trail::TimelineEvent;
use hoth_trail::TrailError;

/// The default number of rows on one page.
const PAGE: usize = 100;

/// The query parameters of `GET /jobs`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct JobsQuery {
    /// A job id, a request id or a portfolio id.
    pub id: Option<String>,
    pub kind: Option<JobKind>,
    pub portfolio_id: Option<String>,
    pub csp: Option<String>,
    pub operation: Option<String>,
    /// Words of states, separated by commas.
    pub state: Option<String>,
    pub since: Option<String>,
    pub until: Option<String>,
    pub cursor: Option<String>,
    pub limit: Option<usize>,
}

/// The query parameters of `GET /audit`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct AuditQuery {
    pub act: Option<String>,
    pub by: Option<String>,
    pub object: Option<String>,
    pub since: Option<String>,
    pub until: Option<String>,
    pub cursor: Option<String>,
    pub limit: Option<usize>,
}

/// A page of acts, the newest first.
#[derive(Debug, Serialize)]
pub struct ActPage {
    acts: Vec<Act>,
    /// Continues the list; `null` at its end.
    next: Option<String>,
}

/// A page of jobs.
#[derive(Debug, Serialize)]
pub struct ListedJobs {
    jobs: Vec<ListedJob>,
    /// Continues the list; `null` at its end.
    next: Option<String>,
}

/// A job of a list.
#[derive(Debug, Serialize)]
struct ListedJob {
    #[serde(flatten)]
    row: JobRow,
    /// The cause for which this host begins and continues no jobs of its CSP now,
    /// if the job is due; `null` if there is none.
    held: Option<&'static str>,
}

/// Handles `GET /jobs`: lists jobs, the newest first.
pub async fn list(
    State(state): State<Arc<AdminState>>,
    query: Result<Query<JobsQuery>, QueryRejection>,
) -> Result<Json<ListedJobs>, AdminError> {
    let Query(query) = query.map_err(|bad| AdminError::BadRequest(bad.body_text()))?;
    let filter = query.filter()?;
    let limit = query.limit.unwrap_or(PAGE);
    let JobPage { jobs, next } = state.trail.jobs(filter, query.cursor.as_deref(), limit).await?;
    let listed = |row: JobRow| {
        let held = state.statuses.hold(&row).map(CspHold::as_str);
        ListedJob { row, held }
    };
    Ok(Json(ListedJobs { jobs: jobs.into_iter().map(listed).collect(), next }))
}

/// Handles `GET /audit`: lists acts, the newest first.
pub async fn audit(
    State(state): State<Arc<AdminState>>,
    query: Result<Query<AuditQuery>, QueryRejection>,
) -> Result<Json<ActPage>, AdminError> {
    let Query(query) = query.map_err(|bad| AdminError::BadRequest(bad.body_text()))?;
    let filter = query.filter()?;
    let limit = query.limit.unwrap_or(PAGE);
    let (acts, next) = state.trail.acts(filter, query.cursor.as_deref(), limit).await?;
    Ok(Json(ActPage { acts, next }))
}

impl AuditQuery {
    /// Returns the filter.
    ///
    /// # Errors
    ///
    /// Returns an error that names the parameter that is wrong.
    pub fn filter(&self) -> Result<ActFilter, AdminError> {
        Ok(ActFilter {
            act: self.act.clone(),
            by: self.by.clone(),
            object: self.object.clone(),
            since: time("since", self.since.as_deref())?,
            until: time("until", self.until.as_deref())?,
        })
    }
}

impl JobsQuery {
    /// Returns the filter.
    ///
    /// # Errors
    ///
    /// Returns an error that names the parameter that is wrong.
    pub fn filter(&self) -> Result<JobFilter, AdminError> {
        let csp = self.csp.as_deref().map(str::parse::<CspName>).transpose();
        let csp = csp.map_err(|bad| AdminError::BadRequest(format!("csp: {bad}")))?;
        Ok(JobFilter {
            kind: self.kind,
            id: self.id.clone(),
            portfolio_id: self.portfolio_id.clone(),
            csp,
            operation: self.operation.as_deref().map(operation).transpose()?,
            states: states(self.state.as_deref())?,
            since: time("since", self.since.as_deref())?,
            until: time("until", self.until.as_deref())?,
        })
    }
}

fn operation(name: &str) -> Result<Operation, AdminError> {
    let of_wit = || Operation::ALL.into_iter().find(|operation| operation.wit_name() == name);
    Operation::from_api_name(name).or_else(of_wit).ok_or_else(|| {
        let known = Operation::ALL.map(Operation::api_name).join(", ");
        AdminError::BadRequest(format!("operation: is not one of {known}"))
    })
}

fn states(words: Option<&str>) -> Result<Vec<JobState>, AdminError> {
    let parse = |word: &str| {
        JobState::ALL.into_iter().find(|state| state.as_str() == word).ok_or_else(|| {
            let known = JobState::ALL.map(JobState::as_str).join(", ");
            AdminError::BadRequest(format!("state: {word:?} is not one of {known}"))
        })
    };
    words.into_iter().flat_map(|words| words.split(',')).map(parse).collect()
}

fn time(name: &str, text: Option<&str>) -> Result<Option<Timestamp>, AdminError> {
    let parse = |text: &str| {
        Timestamp::parse_rfc3339(text).ok_or_else(|| {
            let example = "2026-12-01T10:00:00Z";
            AdminError::BadRequest(format!("{name}: must be a time of RFC 3339, such as {example}"))
        })
    };
    text.map(parse).transpose()
}

/// Returns the kinds to look for: the one that was asked for, or both.
pub fn kinds(kind: Option<JobKind>) -> Vec<JobKind> {
    kind.map_or_else(|| JobKind::ALL.to_vec(), |kind| vec![kind])
}

/// The query parameters of `GET /jobs/{id}`, and of acts on the job.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct JobQuery {
    /// Needed only if a job and a request have the same id.
    pub kind: Option<JobKind>,
}

/// A job: where it is, and what happened to it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct JobView {
    pub kind: JobKind,
    /// `null` if no queue holds it, and the trail does not know it.
    pub status: Option<JobStatus>,
    /// The trail's row; `null` if the trail is off or has no such job.
    pub job: Option<JobRow>,
    pub events: Vec<TimelineEvent>,
}

/// The response to `GET /jobs/{id}`.
#[derive(Debug, Serialize)]
pub struct ShownJob {
    #[serde(flatten)]
    view: JobView,
    /// The journal of the job, which `GET /jobs/{id}/journal` returns; `null` if
    /// there is none.
    journal: Option<JournalLink>,
}

impl JobView {
    /// Returns the CSP of the job, or `None` if it is not known.
    pub fn csp(&self) -> Option<&CspName> {
        let of_status = self.status.as_ref().and_then(|status| status.target_csp_name.as_ref());
        of_status.or(self.job.as_ref().and_then(|job| job.csp.as_ref()))
    }
}

/// Handles `GET /jobs/{id}`: returns a job with its events.
pub async fn show(
    State(state): State<Arc<AdminState>>,
    Path(id): Path<String>,
    query: Result<Query<JobQuery>, QueryRejection>,
) -> Result<Json<ShownJob>, AdminError> {
    let Query(query) = query.map_err(|bad| AdminError::BadRequest(bad.body_text()))?;
    for kind in kinds(query.kind) {
        if let Some(view) = find(&state, kind, &id).await? {
            let journal = journals::of_job(&state, kind, view.csp(), &id).await;
            return Ok(Json(ShownJob { view, journal }));
        }
    }
    Err(AdminError::NotFound(format!("no queue holds the job {id:?}, and the trail has none")))
}

/// Returns a job, or `None` if neither the queue nor the trail knows it.
///
/// # Errors
///
/// Returns an error if the queue or the trail cannot be read.
pub async fn find(
    state: &AdminState,
    kind: JobKind,
    id: &str,
) -> Result<Option<JobView>, AdminError> {
    let status = state.statuses.find(kind, id).await?;
    let timeline = match state.trail.job(kind, id).await {
        Ok(timeline) => timeline,
        // The queue has answered.
        Err(TrailError::Off | TrailError::Unavailable(_)) if status.is_some() => None,
        Err(TrailError::Off) => None,
        Err(error) => return Err(error.into()),
    };
    if status.is_none() && timeline.is_none() {
        return Ok(None);
    }
    let (job, events) = match timeline {
        Some(found) => (Some(found.job), found.events),
        None => (None, Vec::new()),
    };
    Ok(Some(JobView { kind, status, job, events }))
}
