//! One job: a sentence, its facts, and its timeline.

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::Path;
use axum::extract::Query;
use axum::extract::State;
use axum::response::Response;
use maud::Markup;
use maud::html;
use serde::Deserialize;

use super::Mood;
use super::PageError;
use super::job_acts;
use super::jobs;
use super::journals;
use super::peers;
use super::state;
use super::timeline;
use crate::admin;
use crate::admin::AdminError;
use crate::admin::JobView;
use crate::console::ConsoleState;
use crate::console::layout::Page;
use crate::console::layout::Section;
use crate::console::notice::Notice;
use crate::console::text;
use crate::console::text::segment;
use crate::http::auth::Access;
use crate::http::auth::Principal;
use crate::job_status::JobStatus;
use crate::job_status::StatusWord;
use crate::peers::Answer;
use crate::peers::SeenView;
use crate::peers::status;
use crate::peers::views;
use hoth_core::domain::JobKind;
use hoth_trail::JobRow;

/// The query parameters of a job's page.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Kind {
    kind: Option<JobKind>,
}

/// Handles `GET /console/jobs/{id}`.
pub async fn show(
    State(console): State<Arc<ConsoleState>>,
    Extension(principal): Extension<Principal>,
    Path(id): Path<String>,
    Query(Kind { kind }): Query<Kind>,
    Query(notice): Query<Notice>,
) -> Result<Response, PageError> {
    let (seen, own, answers) = find(&console, kind, &id).await?;
    let (kind, csp) = (seen.view.kind, seen.view.csp());
    // Journals are on the disk of this host.
    let journal = admin::journal_of_job(&console.admin, kind, csp, &id).await;
    let SeenView { view: JobView { kind: _, status, job, events: _ }, hosts, events } = seen;
    let dropped = job.as_ref().map_or(0, |job| job.events_dropped);
    let with_hosts = !console.peers.is_empty();
    let body = html! {
        (peers::missing(&answers))
        @match (&status, &job) {
            (Some(status), _) => p class="lead" { (mark(status.state)) " " (text::foreign(&status.detail)) },
            (None, Some(job)) => p class="lead" { (jobs::mark(job.state)) },
            (None, None) => {},
        }
        @if let Some(own) = own && principal.role.permits(Access::Operate) {
            (job_acts::forms(&console, &id, kind, &own))
        }
        dl class="facts" {
            @if let Some(status) = &status { (facts_of_status(status)) }
            @if let Some(job) = &job { (facts_of_row(job)) }
            @if let Some(journal) = &journal {
                dt { "Journal" } dd { a href=(journals::path(journal)) { "step by step" } }
            }
            @if with_hosts { dt { "Known to" } dd { (peers::names(&hosts)) } }
        }
        h2 { "Timeline" }
        @if dropped > 0 {
            p class="soft" { (text::count(u64::from(dropped), "event", "events")) " were not kept." }
        }
        @if events.is_empty() {
            p class="soft" { "The trail has no events of it." }
        } @else { (timeline::table(&events, with_hosts)) }
    };
    let page =
        Page { section: Section::Jobs, title: &id, live: true, notice: notice.sentence(), body };
    Ok(page.render(&principal))
}

/// Finds a job on this host and its peers. Returns also its status on this host,
/// which alone can act on it.
async fn find(
    console: &ConsoleState,
    kind: Option<JobKind>,
    id: &str,
) -> Result<(SeenView, Option<JobStatus>, Vec<Answer<Option<JobView>>>), PageError> {
    let (own, mut answers) =
        tokio::join!(find_here(console, kind, id), console.peers.job(kind, id));
    let own = own?;
    let own_status = own.as_ref().and_then(|view| view.status.clone());
    let own = own.map(|view| (peers::OWN, view));
    let theirs = answers.iter_mut().filter_map(|answer| {
        let view = answer.told.as_mut().ok()?.take()?;
        Some((answer.peer.as_str(), view))
    });
    if let Some(mut seen) = views(own.into_iter().chain(theirs)) {
        // Where no queue can be looked into, no host knows it all.
        if seen.view.status.as_ref().is_some_and(|status| status.observed_by.is_some()) {
            seen.view.status = status(&console.admin.statuses, &seen);
        }
        return Ok((seen, own_status, answers));
    }
    let missing = answers.iter().filter_map(|answer| {
        let down = answer.told.as_ref().err()?;
        Some(format!(" {} {}.", answer.peer, down.failure))
    });
    let message = format!(
        "No queue holds a job {id}, and the trail has none. The trail forgets jobs after \
         trail.max_age_hours.{}",
        missing.collect::<String>(),
    );
    Err(AdminError::NotFound(message).into())
}

async fn find_here(
    console: &ConsoleState,
    kind: Option<JobKind>,
    id: &str,
) -> Result<Option<JobView>, PageError> {
    let kinds = kind.map_or_else(|| JobKind::ALL.to_vec(), |kind| vec![kind]);
    for kind in kinds {
        if let Some(found) = admin::find_job(&console.admin, kind, id).await? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

/// Returns the position of a job as a mark.
fn mark(word: StatusWord) -> Markup {
    let (mood, words) = match word {
        StatusWord::Queued => (Mood::Plain, "queued"),
        StatusWord::Held => (Mood::Warn, "held"),
        StatusWord::Running => (Mood::Plain, "in hand"),
        StatusWord::Waiting => (Mood::Plain, "waiting for the CSP"),
        StatusWord::Succeeded => (Mood::Good, "done, not collected"),
        StatusWord::Failed => (Mood::Warn, "failed, not collected"),
        StatusWord::Collected => (Mood::Plain, "collected"),
        StatusWord::Dead => (Mood::Bad, "dead letter"),
    };
    state(mood, words)
}

/// Returns what the queue knows.
fn facts_of_status(status: &JobStatus) -> Markup {
    html! {
        @if let Some(csp) = &status.target_csp_name {
            dt { "CSP" } dd { a href={ "/console/csps/" (segment(csp.as_str())) } { (csp) } }
        }
        @if let Some(operation) = &status.operation_type { dt { "Operation" } dd { (operation) } }
        @if let Some(portfolio) = &status.portfolio_id {
            dt { "Portfolio" }
            dd { a href={ "/console/jobs?q=" (segment(portfolio)) } { (text::foreign(portfolio)) } }
        }
        dt { "Since" } dd { (text::time(status.since)) }
        dt { "Requests to the CSP" } dd { (status.requests) }
        @if let Some(progress) = &status.progress {
            dt { "Last report of the CSP" } dd { (text::foreign(&progress.note)) }
            @if let Some(reference) = &progress.reference {
                dt { "Reference at the CSP" } dd { code { (text::foreign(reference)) } }
            }
            @if let Some(details) = &progress.details {
                dt { "Details of the CSP" } dd { code { (text::foreign(details.get())) } }
            }
        }
        @if let Some(at) = status.next_look_at { dt { "Next look" } dd { (text::time(at)) } }
        @if let Some(at) = status.deadline_at { dt { "Given up" } dd { (text::time(at)) } }
        @if let Some(hosts) = &status.observed_by { dt { "Seen by" } dd { (peers::names(hosts)) } }
    }
}

/// Returns what only the trail knows.
fn facts_of_row(job: &JobRow) -> Markup {
    html! {
        @if let Some(at) = job.accepted_at {
            dt { "Accepted" }
            dd { (text::time(at)) @if let Some(by) = &job.accepted_by { " from " (text::foreign(by)) } }
        }
        @if let (Some(version), Some(digest)) = (&job.version, &job.digest) {
            dt { "Version of the adapter" }
            dd { (text::foreign(version)) " " code { (text::foreign(digest)) } }
        }
        dt { "Delivery" } dd { (job.attempt) }
        @if let Some(code) = job.code { dt { "Code" } dd { (code) } }
        @if let Some(class) = &job.class {
            dt { "Class of the failure" } dd { code { (text::foreign(class)) } }
        }
        @if let Some(reason) = &job.reason { dt { "Reason" } dd { (text::foreign(reason)) } }
        @if let Some(took) = job.took_ms {
            dt { "Took" }
            dd { (text::duration(Duration::from_millis(took))) " from its acceptance to its end" }
        }
        @if let Some(at) = job.collected_at {
            dt { "Collected" }
            dd { (text::time(at)) @if let Some(by) = &job.collected_by { " by " (text::foreign(by)) } }
        }
    }
}
