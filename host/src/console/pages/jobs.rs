//! Jobs: a list with filters, and its export.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::Extension;
use axum::extract::Query;
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse as _;
use axum::response::Response;
use maud::Markup;
use maud::html;
use serde::Deserialize;
use serde::Serialize;

use super::Mood;
use super::PageError;
use super::peers;
use super::state;
use crate::admin::AdminError;
use crate::admin::JobsQuery;
use crate::console::ConsoleState;
use crate::console::layout::Page;
use crate::console::layout::Section;
use crate::console::text;
use crate::console::text::segment;
use crate::http::auth::Principal;
use crate::peers::Answer;
use crate::peers::Place;
use crate::peers::Places;
use crate::peers::SeenJob;
use crate::peers::jobs as merge_jobs;
use hoth_core::domain::JobKind;
use hoth_core::domain::Operation;
use hoth_trail::JobPage;
use hoth_trail::JobRow;
use hoth_trail::JobState;

/// The rows of one page.
const PAGE: usize = 50;

/// The rows of an export.
const EXPORT_MAX: usize = 1_000;

/// The filter, as the form sends it: empty fields select nothing.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct Filter {
    /// A job id, a request id or a portfolio id.
    q: String,
    csp: String,
    operation: String,
    state: String,
    since: String,
    #[serde(skip_serializing)]
    cursor: String,
}

impl Filter {
    fn query(&self) -> JobsQuery {
        let given = |text: &str| {
            let text = text.trim();
            (!text.is_empty()).then(|| text.to_owned())
        };
        JobsQuery {
            id: given(&self.q),
            csp: given(&self.csp),
            operation: given(&self.operation),
            state: given(&self.state),
            since: given(&self.since).map(|since| complete(&since)),
            ..JobsQuery::default()
        }
    }

    /// Returns the query of a link with the same filter.
    fn link(&self, path: &str, cursor: Option<&str>) -> String {
        let mut link = format!("{path}?");
        for (name, value) in [
            ("q", self.q.as_str()),
            ("csp", &self.csp),
            ("operation", &self.operation),
            ("state", &self.state),
            ("since", &self.since),
            ("cursor", cursor.unwrap_or_default()),
        ] {
            if !value.is_empty() {
                write!(link, "{name}={}&", segment(value)).expect("writing to a string succeeds");
            }
        }
        link.pop();
        link
    }
}

/// Completes a time as browsers' fields for times send it, to RFC 3339 in UTC.
fn complete(since: &str) -> String {
    match since.len() {
        10 => format!("{since}T00:00:00Z"),
        16 => format!("{since}:00Z"),
        _ => since.to_owned(),
    }
}

/// One page of the jobs of this host and its peers.
struct Merged {
    jobs: Vec<SeenJob>,
    /// Continues the list.
    next: Option<String>,
    answers: Vec<Answer<JobPage>>,
}

/// Reads the next [`PAGE`] jobs of this host and of each peer.
async fn merged(console: &ConsoleState, filter: &Filter) -> Result<Merged, PageError> {
    let query = filter.query();
    let mut places = Places::parse(&filter.cursor, console.peers.len());
    let theirs = places.peers.clone();
    let (own, mut answers) = tokio::join!(
        read(console, &query, &places.own, PAGE),
        console.peers.jobs(&query, &theirs, PAGE)
    );
    let own = own?;
    places.own = Place::after(own.next.as_deref());
    for (place, answer) in places.peers.iter_mut().zip(&answers) {
        // A peer that told nothing keeps its place.
        if let Ok(page) = &answer.told {
            *place = Place::after(page.next.as_deref());
        }
    }
    let theirs = answers.iter_mut().filter_map(|answer| {
        let page = answer.told.as_mut().ok()?;
        Some((answer.peer.as_str(), std::mem::take(&mut page.jobs)))
    });
    let jobs = merge_jobs(std::iter::once((peers::OWN, own.jobs)).chain(theirs));
    Ok(Merged { jobs, next: places.cursor(), answers })
}

/// Reads the jobs of this host.
async fn read(
    console: &ConsoleState,
    query: &JobsQuery,
    place: &Place,
    limit: usize,
) -> Result<JobPage, PageError> {
    let cursor = match place {
        Place::Start => None,
        Place::After(cursor) => Some(cursor.as_str()),
        Place::End => return Ok(JobPage { jobs: Vec::new(), next: None }),
    };
    let jobs = console.admin.trail.jobs(query.filter()?, cursor, limit);
    Ok(jobs.await.map_err(AdminError::from)?)
}

/// Handles `GET /console/jobs`.
pub async fn list(
    State(console): State<Arc<ConsoleState>>,
    Extension(principal): Extension<Principal>,
    Query(filter): Query<Filter>,
) -> Result<Response, PageError> {
    let page = merged(&console, &filter).await?;
    let with_hosts = !console.peers.is_empty();
    let body = html! {
        (form(&console, &filter))
        (peers::missing(&page.answers))
        @if page.jobs.is_empty() {
            p class="quiet-state" { "No job matches." }
            p class="soft" { "The trail keeps what happened for a bounded time." }
        } @else {
            (table(&console, &page.jobs, with_hosts))
            nav class="pages" aria-label="Pages" {
                @if !filter.cursor.is_empty() {
                    a href=(filter.link("/console/jobs", None)) { "Newest" }
                }
                @if let Some(next) = &page.next {
                    a href=(filter.link("/console/jobs", Some(next))) { "Older" }
                }
                a href=(filter.link("/console/jobs.csv", None)) {
                    "Export as CSV" @if with_hosts { " (jobs of this host)" }
                }
            }
        }
    };
    let page = Page { section: Section::Jobs, title: "Jobs", live: true, notice: None, body };
    Ok(page.render(&principal))
}

fn form(console: &ConsoleState, filter: &Filter) -> Markup {
    html! {
        form class="filter" method="get" action="/console/jobs" role="search" {
            label { "Job, request or portfolio id" input type="search" name="q" value=(filter.q) size="40"; }
            label { "CSP" select name="csp" {
                option value="" { "all" }
                @for csp in console.admin.csps.keys() {
                    option selected[csp.as_str() == filter.csp] { (csp) }
                }
            } }
            label { "Operation" select name="operation" {
                option value="" { "all" }
                @for operation in Operation::ALL {
                    option value=(operation.wit_name()) selected[operation.wit_name() == filter.operation] {
                        (operation.wit_name())
                    }
                }
            } }
            label { "State" select name="state" {
                option value="" { "all" }
                @for one in JobState::ALL {
                    option value=(one.as_str()) selected[one.as_str() == filter.state] { (words(one)) }
                }
            } }
            label { "Since (UTC)" input type="datetime-local" name="since" value=(filter.since); }
            button { "Show" }
        }
    }
}

/// Returns a table of jobs, with the hosts that have seen them if there are
/// several.
fn table(console: &ConsoleState, jobs: &[SeenJob], with_hosts: bool) -> Markup {
    // What holds the jobs of another host is not known here.
    let hold = |job: &JobRow, hosts: &[String]| {
        let own = hosts.iter().any(|host| host == peers::OWN);
        own.then(|| console.admin.statuses.hold(job)).flatten()
    };
    html! { div class="scroll" tabindex="0" { table {
        thead { tr {
            th scope="col" { "Job" } th scope="col" { "State" } th scope="col" { "Since" }
            th scope="col" { "CSP" } th scope="col" { "Operation" } th scope="col" { "Portfolio" }
            th scope="col" class="number" { "Code" }
            th scope="col" class="number" { "Requests" }
            @if with_hosts { th scope="col" { "Seen by" } }
            th scope="col" { "Reason, or last report" }
        } }
        tbody { @for SeenJob { job, hosts } in jobs { tr {
            th scope="row" { a href=(path(job)) { (text::foreign(&job.id)) } }
            td { @match hold(job, hosts) {
                Some(hold) => { (state(Mood::Warn, "held")) " " span class="soft" { (hold.words()) } }
                None => (mark(job.state)),
            } }
            td { (text::time(job.since)) }
            td { @if let Some(csp) = &job.csp { a href={ "/console/csps/" (segment(csp.as_str())) } { (csp) } } }
            td { @if let Some(operation) = job.operation { (operation.wit_name()) } }
            td { @if let Some(portfolio) = &job.portfolio_id {
                a href={ "/console/jobs?q=" (segment(portfolio)) } { (text::foreign(portfolio)) }
            } }
            td class="number" { @if let Some(code) = job.code { (code) } }
            td class="number" { (job.requests) }
            @if with_hosts { td { (peers::names(hosts)) } }
            td class="text" { (text::foreign(job.reason.as_ref().or(job.note.as_ref()).map_or("", |text| text))) }
        } } }
    } } }
}

/// Returns the path of a job's page.
pub fn path(job: &JobRow) -> String {
    match job.kind {
        JobKind::Provisioning => format!("/console/jobs/{}", segment(&job.id)),
        JobKind::Cost => format!("/console/jobs/{}?kind=cost", segment(&job.id)),
    }
}

/// Returns a state in words.
pub fn words(state: JobState) -> &'static str {
    match state {
        JobState::Queued => "queued",
        JobState::Waiting => "waiting for the CSP",
        JobState::Succeeded => "done, not collected",
        JobState::Failed => "failed, not collected",
        JobState::Collected => "collected",
        JobState::Dead => "dead letter",
    }
}

/// Returns a state as a mark.
pub fn mark(one: JobState) -> Markup {
    let mood = match one {
        JobState::Queued | JobState::Waiting | JobState::Collected => Mood::Plain,
        JobState::Succeeded => Mood::Good,
        JobState::Failed => Mood::Warn,
        JobState::Dead => Mood::Bad,
    };
    state(mood, words(one))
}

/// Handles `GET /console/jobs.csv`: the jobs of a filter, without payloads.
pub async fn export(
    State(console): State<Arc<ConsoleState>>,
    Query(filter): Query<Filter>,
) -> Result<Response, PageError> {
    let page = read(&console, &filter.query(), &Place::Start, EXPORT_MAX).await?;
    let mut csv =
        "id,kind,csp,operation,portfolioId,state,since,acceptedAt,code,class,reason,requests\r\n"
            .to_owned();
    for job in &page.jobs {
        let time = |at: Option<hoth_core::domain::Timestamp>| {
            at.map(|at| at.to_rfc3339()).unwrap_or_default()
        };
        let code = job.code.map(|code| code.to_string()).unwrap_or_default();
        let requests = job.requests.to_string();
        let fields = [
            job.id.as_str(),
            job.kind.as_str(),
            job.csp.as_ref().map_or("", |csp| csp.as_str()),
            job.operation.map_or("", Operation::wit_name),
            job.portfolio_id.as_deref().unwrap_or_default(),
            job.state.as_str(),
            &job.since.to_rfc3339(),
            &time(job.accepted_at),
            &code,
            job.class.as_deref().unwrap_or_default(),
            job.reason.as_deref().unwrap_or_default(),
            &requests,
        ]
        .map(field);
        csv.push_str(&fields.join(","));
        csv.push_str("\r\n");
    }
    let headers = [
        (header::CONTENT_TYPE, "text/csv; charset=utf-8; header=present"),
        (header::CONTENT_DISPOSITION, "attachment; filename=\"hoth-jobs.csv\""),
    ];
    Ok((headers, csv).into_response())
}

/// Quotes a field (RFC 4180). A spreadsheet must not take foreign text for a
/// formula, so such a text gets an apostrophe before it.
fn field(text: &str) -> String {
    let is_formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let apostrophe = if is_formula { "'" } else { "" };
    format!("\"{apostrophe}{}\"", text.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_an_export_are_quoted_and_are_no_formulas() {
        for (text, expected) in [
            ("plain", "\"plain\""),
            ("a \"b\", c", "\"a \"\"b\"\", c\""),
            ("=1+1", "\"'=1+1\""),
            ("@x", "\"'@x\""),
        ] {
            assert_eq!(field(text), expected);
        }
    }

    #[test]
    fn a_link_keeps_the_filter() {
        let filter = Filter { q: "a&b".to_owned(), csp: "CSP_A".to_owned(), ..Filter::default() };
        assert_eq!(
            filter.link("/console/jobs", Some("7")),
            "/console/jobs?q=a%26b&csp=CSP_A&cursor=7"
        );
        assert_eq!(Filter::default().link("/console/jobs", None), "/console/jobs");
    }

    #[test]
    fn times_of_browsers_are_completed() {
        for (since, expected) in [
            ("2026-11-29", "2026-11-29T00:00:00Z"),
            ("2026-11-29T10:30", "2026-11-29T10:30:00Z"),
            ("2026-11-29T10:30:00Z", "2026-11-29T10:30:00Z"),
        ] {
            assert_eq!(complete(since), expected);
        }
    }
}
