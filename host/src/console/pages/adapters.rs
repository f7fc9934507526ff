//! Adapters and their versions.

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
use crate::console::layout::Page;
use crate::console::layout::Section;
use crate::console::notice::Notice;
use crate::console::text;
use crate::console::text::segment;
use crate::http::auth::Access;
use crate::http::auth::Principal;
use crate::registry::AdapterListing;
use crate::registry::VersionListing;
use hoth_trail::WAITING_COUNT_MAX;

/// Handles `GET /console/adapters`.
pub async fn list(
    State(console): State<Arc<ConsoleState>>,
    Extension(principal): Extension<Principal>,
) -> Response {
    let adapters = admin::adapter_listings(&console.admin).await;
    let body = html! {
        div class="scroll" tabindex="0" { table {
            thead { tr {
                th scope="col" { "Adapter" } th scope="col" { "Active version" }
                th scope="col" { "State" } th scope="col" { "CSPs" }
                th scope="col" { "Since" }
                th scope="col" class="number" { "Versions" }
                th scope="col" class="number" { "Jobs in hand" }
                th scope="col" class="number" { "Waiting jobs" }
            } }
            tbody { @for adapter in &adapters {
                @let active = adapter.versions.iter().find(|version| version.active);
                tr {
                    th scope="row" { a href=(path(adapter)) { (adapter.name) } }
                    td { @match active {
                        Some(active) => { (text::foreign(&active.version)) " " code { (active.sha256.prefix()) } }
                        None => "none",
                    } }
                    td { (condition(adapter)) }
                    td { @for (n, csp) in adapter.csps.iter().enumerate() {
                        @if n > 0 { ", " }
                        a href={ "/console/csps/" (segment(csp.as_str())) } { (csp) }
                    } }
                    td { @if let Some(active) = active { (text::time_text(&active.arrived_at)) } }
                    td class="number" { (adapter.versions.len()) }
                    td class="number" {
                        (adapter.versions.iter().map(|version| version.jobs_in_flight).sum::<usize>())
                    }
                    td class="number" {
                        (waiting(adapter.versions.iter().map(|version| version.waiting_jobs).sum()))
                    }
                }
            } }
        } }
    };
    let page =
        Page { section: Section::Adapters, title: "Adapters", live: true, notice: None, body };
    page.render(&principal)
}

fn path(adapter: &AdapterListing) -> String {
    format!("/console/adapters/{}", segment(adapter.name.as_str()))
}

fn condition(adapter: &AdapterListing) -> Markup {
    let active = adapter.versions.iter().find(|version| version.active);
    match active {
        None => state(Mood::Bad, "none active"),
        Some(active) if active.failing.is_some() => state(Mood::Bad, "failing"),
        Some(_) if adapter.refused.is_some() => state(Mood::Warn, "a version was refused"),
        Some(_) => state(Mood::Good, "works"),
    }
}

/// Handles `GET /console/adapters/{adapter}`.
pub async fn show(
    State(console): State<Arc<ConsoleState>>,
    Extension(principal): Extension<Principal>,
    Path(name): Path<String>,
    Query(notice): Query<Notice>,
) -> Result<Response, PageError> {
    let adapter = admin::adapter_listing(&console.admin, &name).await?;
    let path = path(&adapter);
    let body = html! {
        p class="lead" { (condition(&adapter)) }
        @if let Some(problem) = &adapter.problem { p class="refusal" { (text::foreign(problem)) } }
        @if let Some(refused) = &adapter.refused {
            h2 { "Last refusal" }
            p { (text::time_text(&refused.at)) ", version " code { (refused.sha256.prefix()) } ": " (text::foreign(&refused.message)) }
        }
        @for failing in adapter.versions.iter().filter_map(|version| version.failing.as_ref()) {
            p class="refusal" { "Calls fail: " (text::foreign(failing)) }
        }
        @if principal.role.permits(Access::Administer) { (deploy(&path, false)) }
        h2 { "Versions" }
        div class="scroll" tabindex="0" { table {
            thead { tr {
                th scope="col" { "Version" } th scope="col" { "State" }
                th scope="col" class="number" { "Jobs in hand" }
                th scope="col" class="number" { "Waiting jobs" }
                th scope="col" class="number" { "Calls" }
                th scope="col" class="number" { "Failed" }
                th scope="col" class="number" { "p50" }
                th scope="col" class="number" { "p99" }
                th scope="col" class="number" { "Longest" }
                th scope="col" class="number" { "Memory" }
                th scope="col" { "Acts" }
            } }
            tbody { @for version in &adapter.versions { (row(&principal, &path, version)) } }
        } }
        p class="soft" {
            "Waiting jobs have a state that the version has written, as far as this host has seen. \
             The active version continues them if it reads that state, and their own version otherwise. \
             Calls are of this host since its start."
        }
        h2 { "Origin" }
        div class="scroll" tabindex="0" { table {
            thead { tr {
                th scope="col" { "Version" } th scope="col" { "SHA-256" } th scope="col" { "Arrived" }
                th scope="col" class="number" { "Size" }
                th scope="col" { "States that it reads" }
                th scope="col" { "Signer" }
            } }
            tbody { @for version in &adapter.versions { (origin(version)) } }
        } }
        @if let Some(replay) = &adapter.replay {
            h2 { "Replay gate" }
            p { (text::time_text(&replay.at)) ": " a href={ (path) "/replay" } { (replay.summary) } }
        }
        p {
            a href={ "/console/journals/" (segment(&name)) } { "Journals" } " "
            @for csp in &adapter.csps { a href={ "/console/jobs?csp=" (segment(csp.as_str())) } { "Jobs of " (csp) } " " }
        }
    };
    let page = Page {
        section: Section::Adapters,
        title: &name,
        live: true,
        notice: notice.sentence(),
        body,
    };
    Ok(page.render(&principal))
}

/// Returns a number of waiting jobs, which are counted up to a bound.
fn waiting(jobs: Option<u64>) -> String {
    match jobs {
        None => "–".to_owned(),
        Some(jobs) if jobs >= WAITING_COUNT_MAX => format!("{jobs} or more"),
        Some(jobs) => jobs.to_string(),
    }
}

fn origin(version: &VersionListing) -> Markup {
    html! { tr {
        th scope="row" { (text::foreign(&version.version)) }
        td class="digest" { code { (version.sha256) } }
        td { (text::time_text(&version.arrived_at)) }
        td class="number" { (text::bytes(version.size as u64)) }
        td { @match version.states {
            Some((oldest, newest)) if oldest == newest => (newest),
            Some((oldest, newest)) => { (oldest) " to " (newest) }
            None => span class="soft" { "not loaded" },
        } }
        td class="text" { @match &version.signer {
            Some(signer) => { code { (text::foreign(&signer.key)) } " " span class="soft" { (text::foreign(&signer.comment)) } }
            None => span class="soft" { "not signed by a trusted key" },
        } }
    } }
}

fn row(principal: &Principal, path: &str, version: &VersionListing) -> Markup {
    let usage = &version.usage;
    let failed = usage.traps + usage.timeouts + usage.out_of_memory + usage.invalid;
    let seconds = |seconds: Option<f64>| {
        seconds.map_or_else(|| "–".to_owned(), |s| text::duration(Duration::from_secs_f64(s)))
    };
    let longest = (usage.calls > 0).then_some(usage.seconds_max);
    html! { tr {
        th scope="row" { (text::foreign(&version.version)) " " code { (version.sha256.prefix()) } }
        td { @match (version.active, version.jobs_in_flight) {
            (true, _) => (state(Mood::Good, "active")),
            (false, 0) => (state(Mood::Plain, "retained")),
            (false, _) => (state(Mood::Warn, "draining")),
        } }
        td class="number" { (version.jobs_in_flight) }
        td class="number" { (waiting(version.waiting_jobs)) }
        td class="number" { (usage.calls) }
        td class="number" { (failed) }
        td class="number" { (seconds(usage.seconds_p50)) }
        td class="number" { (seconds(usage.seconds_p99)) }
        td class="number" { (seconds(longest)) }
        td class="number" { (text::bytes(usage.memory_max_bytes)) }
        td { @if !version.active && principal.role.permits(Access::Administer) {
            (act("Activate", &format!("{path}/rollback"),
                "New jobs run on this version from now on; jobs in hand end on theirs.",
                &html! { input type="hidden" name="sha256" value=(version.sha256); }, false))
            (act("Replay", &format!("{path}/replay"),
                "It is compared with the active version on recorded jobs. No CSP is called, and nothing changes.",
                &html! { input type="hidden" name="sha256" value=(version.sha256); }, false))
        } }
    } }
}

/// Returns the form of a deployment. With `accept`, the gate only warns.
pub fn deploy(path: &str, accept: bool) -> Markup {
    html! {
        details class="act" {
            summary { @if accept { "Accept it once…" } @else { "Deploy a version…" } }
            form method="post" action={ (path) "/deploy" } enctype="multipart/form-data" {
                p { "New jobs run on it from now on; jobs in hand end on the version before. A component that is not acceptable changes nothing." }
                label { "Component (.wasm)" input type="file" name="component" accept=".wasm" required; }
                label { "Signature (.minisig), if one is required" input type="file" name="signature" accept=".minisig"; }
                label { "Replay gate" select name="replay" {
                    option value="" { "as configured" } option value="block" { "block a candidate that behaves differently" }
                    option value="warn" selected[accept] { "warn" } option value="off" { "off" }
                } }
                label { "Mode" select name="dry-run" {
                    option value="" { "deploy" } option value="yes" { "dry run: report only" }
                } }
                button { "Deploy" }
            }
        }
    }
}
