//! CSPs: their state, and the reasons why their jobs wait.

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::Path;
use axum::extract::Query;
use axum::extract::State;
use axum::response::Response;
use maud::Markup;
use maud::html;

use super::Mood;
use super::PageError;
use super::act;
use super::state;
use crate::admin;
use crate::console::ConsoleState;
use crate::console::chart;
use crate::console::layout::Page;
use crate::console::layout::Section;
use crate::console::notice::Notice;
use crate::console::snapshot::Reading;
use crate::console::snapshot::Snapshot;
use crate::console::text;
use crate::console::text::segment;
use crate::http::auth::Access;
use crate::http::auth::Principal;
use crate::worker::CspRuntime;
use crate::worker::CspStatus;
use hoth_core::domain::CspName;
use hoth_core::domain::SupportedOperations;
use hoth_core::domain::Timestamp;
use hoth_egress::BreakerPhase;
use hoth_egress::BreakerStatus;
use hoth_queue::Stage;
use hoth_trail::Minute;

/// Returns the state of a breaker in words.
pub fn breaker(status: &BreakerStatus) -> Markup {
    match status.phase {
        BreakerPhase::Closed => state(Mood::Good, "responds"),
        BreakerPhase::HalfOpen => state(Mood::Warn, "probing after an outage"),
        BreakerPhase::Open => state(Mood::Bad, "does not respond"),
        BreakerPhase::GivenUp => state(Mood::Bad, "down for long; jobs try and fail"),
    }
}

/// Returns the state of a CSP in words: the worst one first.
pub fn condition(status: &CspStatus) -> Markup {
    let is_down = |breaker: &BreakerStatus| !breaker.allows_jobs();
    html! {
        @if status.paused_since.is_some() { (state(Mood::Warn, "paused")) " " }
        @if status.missing_secret.is_some() { (state(Mood::Bad, "no secret")) " " }
        @if !status.missing_credentials.is_empty() { (state(Mood::Bad, "no credential")) " " }
        (breaker(&status.breaker))
        @if status.other_breakers.iter().any(|(_, breaker)| is_down(breaker)) {
            " " (state(Mood::Bad, "an endpoint does not respond"))
        }
    }
}

/// The messages of one CSP, over its queues.
#[derive(Debug, Clone, Copy, Default)]
pub struct Load {
    pub queued: u64,
    pub in_hand: u64,
    pub polling: u64,
}

impl Load {
    /// Adds up the queues of a CSP. Returns `None` if one of them could not be
    /// read.
    fn of(csp: &CspName, queues: &[Reading<'_>]) -> Option<Self> {
        let mut load = Self::default();
        for (queue, stats) in queues.iter().filter(|(queue, _)| queue.csp() == Some(csp)) {
            let stats = stats.as_ref().ok()?;
            match queue.stage {
                Stage::Requests(_) => load.queued += stats.depth,
                Stage::Polls(_) => load.polling += stats.depth,
                Stage::Outcomes => {}
            }
            load.in_hand += stats.in_flight;
        }
        Some(load)
    }
}

/// Handles `GET /console/csps`.
pub async fn list(
    State(console): State<Arc<ConsoleState>>,
    Extension(principal): Extension<Principal>,
    Query(notice): Query<Notice>,
) -> Response {
    let rows = rows(&console, &console.admin.stats.read_all().await);
    let page = Page {
        section: Section::Csps,
        title: "CSPs",
        live: true,
        notice: notice.sentence(),
        body: rows,
    };
    page.render(&principal)
}

/// Returns the table of all CSPs.
pub fn rows(console: &ConsoleState, queues: &[Reading<'_>]) -> Markup {
    let loads: Vec<_> = console
        .admin
        .csps
        .values()
        .map(|csp| (csp, csp.status(&console.admin.registry), Load::of(&csp.name, queues)))
        .collect();
    let number = |load: &Option<Load>, of: fn(&Load) -> u64| {
        load.as_ref().map_or_else(|| "unknown".to_owned(), |load| of(load).to_string())
    };
    html! {
        div class="scroll" tabindex="0" { table {
            thead { tr {
                th scope="col" { "CSP" }
                th scope="col" { "State" }
                th scope="col" class="number" { "Queued" }
                th scope="col" class="number" { "In hand" }
                th scope="col" class="number" { "Waiting for the CSP" }
                th scope="col" { "Adapter" }
                th scope="col" { "Version" }
            } }
            tbody {
                @for (csp, status, load) in &loads { tr {
                    th scope="row" {
                        a href={ "/console/csps/" (segment(csp.name.as_str())) } { (csp.name) }
                    }
                    td { (condition(status)) }
                    td class="number" { (number(load, |load| load.queued)) }
                    td class="number" { (number(load, |load| load.in_hand)) }
                    td class="number" { (number(load, |load| load.polling)) }
                    td { a href={ "/console/adapters/" (segment(&csp.adapter)) } { (csp.adapter) } }
                    td { (version(console, csp)) }
                } }
            }
        } }
    }
}

fn version(console: &ConsoleState, csp: &CspRuntime) -> Markup {
    match console.admin.registry.serving(&csp.name) {
        Ok(version) => {
            let info = version.adapter().info();
            html! { (text::foreign(&info.version)) " " code { (version.adapter().digest().prefix()) } }
        }
        Err(_) => state(Mood::Bad, "none active"),
    }
}

/// Handles `GET /console/csps/{csp}`.
pub async fn show(
    State(console): State<Arc<ConsoleState>>,
    Extension(principal): Extension<Principal>,
    Path(name): Path<String>,
    Query(notice): Query<Notice>,
) -> Result<Response, PageError> {
    let csp = admin::find_csp(&console.admin, &name)?;
    let status = csp.status(&console.admin.registry);
    let seen = Snapshot::read(&console).await;
    let (load, now, minutes) = (Load::of(&csp.name, &seen.queues), seen.now, &seen.minutes);
    let body = html! {
        p class="lead" { (condition(&status)) }
        @if principal.role.permits(Access::Operate) { (acts(csp, &status)) }
        (facts(&console, csp, &status, load.as_ref()))
        @if console.admin.trail.is_on() {
            h2 { "The last 24 hours" }
            (chart::ended(minutes, Some(csp.name.as_str()), now, &[]))
            (calls(minutes, csp.name.as_str(), now))
        }
        h2 { "Origins" }
        div class="scroll" tabindex="0" { table {
            thead { tr {
                th scope="col" { "Origin" } th scope="col" { "State" } th scope="col" { "Since" }
                th scope="col" class="number" { "Jobs with a failed call since the last response" }
            } }
            tbody {
                (origin(&status.origin.to_string(), &status.breaker))
                @for (pattern, breaker) in &status.other_breakers {
                    (origin(&pattern.to_string(), breaker))
                }
            }
        } }
        p { a href={ "/console/jobs?csp=" (segment(csp.name.as_str())) } { "Jobs of this CSP" } }
    };
    let page = Page {
        section: Section::Csps,
        title: csp.name.as_str(),
        live: true,
        notice: notice.sentence(),
        body,
    };
    Ok(page.render(&principal))
}

/// Returns the calls of the last hour, and of the last ten minutes.
fn calls(minutes: &[Minute], csp: &str, now: Timestamp) -> Markup {
    let spans =
        [("last hour", Duration::from_hours(1)), ("last ten minutes", Duration::from_mins(10))];
    html! { div class="scroll" tabindex="0" { table {
        thead { tr {
            th scope="col" { "Calls to the CSP" } th scope="col" class="number" { "Calls" }
            th scope="col" class="number" { "Failed" } th scope="col" class="number" { "Mean" }
            th scope="col" class="number" { "Longest" }
        } }
        tbody { @for (name, span) in spans {
            @let of_span = || minutes.iter().filter(|minute| minute.csp == csp && minute.at >= now - span);
            @let calls = of_span().map(|minute| minute.calls).sum::<u64>();
            @let mean = of_span().map(|minute| minute.call_ms_sum).sum::<u64>().checked_div(calls);
            @let longest = of_span().map(|minute| minute.call_ms_max).max();
            @let words = |ms: Option<u64>| ms.map_or_else(|| "–".to_owned(), |ms| text::duration(Duration::from_millis(ms)));
            tr {
                th scope="row" { (name) }
                td class="number" { (calls) }
                td class="number" { (of_span().map(|minute| minute.calls_failed).sum::<u64>()) }
                td class="number" { (words(mean)) }
                td class="number" { (words(longest)) }
            }
        } }
    } } }
}

fn acts(csp: &CspRuntime, status: &CspStatus) -> Markup {
    let path = format!("/console/csps/{}", segment(csp.name.as_str()));
    match status.paused_since {
        Some(_) => {
            act("Resume", &format!("{path}/resume"), "Its queued jobs run again.", &html! {}, false)
        }
        None => act(
            "Pause",
            &format!("{path}/pause"),
            "Its queued jobs wait until someone resumes it; jobs in hand go on. A restart of this \
             host forgets the pause.",
            &html! {},
            false,
        ),
    }
}

fn facts(
    console: &ConsoleState,
    csp: &CspRuntime,
    status: &CspStatus,
    load: Option<&Load>,
) -> Markup {
    let now = console.admin.clock.now();
    html! { dl class="facts" {
        @if let Some(since) = status.paused_since {
            dt { "Paused" }
            dd { "since " (text::time(since)) ", for " (text::duration(now.since(since))) }
        }
        @if let Some(missing) = &status.missing_secret {
            dt { "Missing secret" }
            dd { (missing) ". Its jobs wait, and go on by themselves when the secret can be read." }
        }
        @if !status.missing_credentials.is_empty() {
            dt { "Missing credentials" }
            dd { (status.missing_credentials.join(", "))
                ": the adapter asks for them; add them below csp." (csp.name) ".credentials." }
        }
        dt { "Adapter" }
        dd { a href={ "/console/adapters/" (segment(&csp.adapter)) } { (csp.adapter) } " " (version(console, csp)) }
        @if let Err(reason) = console.admin.registry.serving(&csp.name) {
            dt { "No adapter serves" } dd { (reason) }
        }
        @if let Some(load) = load {
            dt { "Jobs" }
            dd { (load.queued) " queued, " (load.in_hand) " in hand, " (load.polling) " waiting for the CSP" }
        }
        dt { "Requests at a time" } dd { "at most " (csp.max_concurrent) }
        dt { "Operations" }
        dd { (operations(console, csp)) }
    } }
}

fn operations(console: &ConsoleState, csp: &CspRuntime) -> String {
    let offered = match console.admin.registry.operations(&csp.name) {
        SupportedOperations::Any => return "all".to_owned(),
        SupportedOperations::Only(operations) => operations,
    };
    let names: Vec<&str> = offered.iter().map(|operation| operation.wit_name()).collect();
    names.join(", ")
}

fn origin(origin: &str, status: &BreakerStatus) -> Markup {
    html! { tr {
        th scope="row" { code { (origin) } }
        td { (breaker(status)) }
        td { (text::time(status.since)) }
        td class="number" { (status.failures) }
    } }
}
