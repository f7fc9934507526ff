//! CSPs: a list of them with their state.

use std::sync::Arc;

use axum::Extension;
use axum::extract::Query;
use axum::extract::State;
use axum::response::Response;
use maud::Markup;
use maud::html;

use super::Mood;
use super::state;
use crate::console::ConsoleState;
use crate::console::layout::Page;
use crate::console::layout::Section;
use crate::console::notice::Notice;
use crate::console::snapshot::Reading;
use crate::console::text;
use crate::console::text::segment;
use crate::http::auth::Principal;
use crate::worker::CspRuntime;
use crate::worker::CspStatus;
use hoth_core::domain::CspName;
use hoth_egress::BreakerPhase;
use hoth_egress::BreakerStatus;
use hoth_queue::Stage;

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
    pub fn of(csp: &CspName, queues: &[Reading<'_>]) -> Option<Self> {
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

/// Returns the version that new jobs of a CSP run on.
pub fn version(console: &ConsoleState, csp: &CspRuntime) -> Markup {
    match console.admin.registry.serving(&csp.name) {
        Ok(version) => {
            let info = version.adapter().info();
            html! { (text::foreign(&info.version)) " " code { (version.adapter().digest().prefix()) } }
        }
        Err(_) => state(Mood::Bad, "none active"),
    }
}
