//! Adapters, their versions, and the replay gate's report.

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
use crate::admin::AdminError;
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
use crate::replay::FindingKind;
use crate::replay::ReplayReport;
use crate::replay::Verdict;

/// Handles `GET /console/adapters`.
pub async fn list(
    State(console): State<Arc<ConsoleState>>,
    Extension(principal): Extension<Principal>,
) -> Response {
    let adapters = console.admin.registry.list();
    let body = html! {
        div class="scroll" tabindex="0" { table {
            thead { tr {
                th scope="col" { "Adapter" } th scope="col" { "Active version" }
                th scope="col" { "State" } th scope="col" { "CSPs" }
                th scope="col" { "Since" }
                th scope="col" class="number" { "Versions" }
                th scope="col" class="number" { "Jobs in hand" }
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
    let adapter = find(&console, &name)?;
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
        @if principal.role.permits(Access::Administer) { (deploy(&path)) }
        h2 { "Versions" }
        div class="scroll" tabindex="0" { table {
            thead { tr {
                th scope="col" { "Version" } th scope="col" { "State" } th scope="col" { "Arrived" }
                th scope="col" class="number" { "Size" }
                th scope="col" class="number" { "Jobs in hand" }
                th scope="col" class="number" { "Calls" }
                th scope="col" class="number" { "Failed" }
                th scope="col" class="number" { "Mean, longest" }
                th scope="col" class="number" { "Memory" }
                th scope="col" { "Acts" }
            } }
            tbody { @for version in &adapter.versions { (row(&principal, &path, version)) } }
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

fn find(console: &ConsoleState, name: &str) -> Result<AdapterListing, AdminError> {
    let found = console.admin.registry.list().into_iter().find(|one| one.name.as_str() == name);
    found.ok_or_else(|| AdminError::NotFound(format!("adapter `{name}` not found")))
}

fn row(principal: &Principal, path: &str, version: &VersionListing) -> Markup {
    let usage = &version.usage;
    let failed = usage.traps + usage.timeouts + usage.out_of_memory + usage.invalid;
    #[expect(clippy::cast_precision_loss, reason = "microseconds are shown")]
    let mean = if usage.calls == 0 { 0.0 } else { usage.seconds / usage.calls as f64 };
    let micros =
        |seconds: f64| format!("{:.3} ms", Duration::from_secs_f64(seconds).as_secs_f64() * 1e3);
    html! { tr {
        th scope="row" { (text::foreign(&version.version)) " " code { (version.sha256.prefix()) } }
        td { @match (version.active, version.jobs_in_flight) {
            (true, _) => (state(Mood::Good, "active")),
            (false, 0) => (state(Mood::Plain, "retained")),
            (false, _) => (state(Mood::Warn, "draining")),
        } }
        td { (text::time_text(&version.arrived_at)) }
        td class="number" { (text::bytes(version.size as u64)) }
        td class="number" { (version.jobs_in_flight) }
        td class="number" { (usage.calls) }
        td class="number" { (failed) }
        td class="number" { (micros(mean)) ", " (micros(usage.seconds_max)) }
        td class="number" { (text::bytes(usage.memory_max_bytes)) }
        td { @if !version.active && principal.role.permits(Access::Administer) {
            (act("Activate", &format!("{path}/rollback"),
                "New jobs run on this version from now on; jobs in hand end on theirs.",
                &html! { input type="hidden" name="sha256" value=(version.sha256); }, false))
        } }
    } }
}

fn deploy(path: &str) -> Markup {
    html! {
        details class="act" {
            summary { "Deploy a version…" }
            form method="post" action={ (path) "/deploy" } enctype="multipart/form-data" {
                p { "New jobs run on it from now on; jobs in hand end on the version before. A component that is not acceptable changes nothing." }
                label { "Component (.wasm)" input type="file" name="component" accept=".wasm" required; }
                label { "Signature (.minisig), if one is required" input type="file" name="signature" accept=".minisig"; }
                label { "Replay gate" select name="replay" {
                    option value="" { "as configured" } option value="block" { "block a candidate that behaves differently" }
                    option value="warn" { "warn" } option value="off" { "off" }
                } }
                label { "Mode" select name="dry-run" {
                    option value="" { "deploy" } option value="yes" { "dry run: report only" }
                } }
                button { "Deploy" }
            }
        }
    }
}

/// Handles `GET /console/adapters/{adapter}/replay`.
pub async fn replay(
    State(console): State<Arc<ConsoleState>>,
    Extension(principal): Extension<Principal>,
    Path(name): Path<String>,
) -> Result<Response, PageError> {
    let adapter = find(&console, &name)?;
    let Some((at, report)) = console.admin.registry.last_report(&adapter.name) else {
        let missing = format!("`{name}` was not replayed since this host started");
        return Err(AdminError::NotFound(missing).into());
    };
    let title = format!("Replay of {}", at.to_rfc3339());
    Ok(report_page(&principal, &name, &title, &report))
}

/// Returns a page with a report of the replay gate.
pub fn report_page(
    principal: &Principal,
    adapter: &str,
    title: &str,
    report: &ReplayReport,
) -> Response {
    let mood = match report.verdict {
        Verdict::Same => Mood::Good,
        Verdict::Untested | Verdict::Slower => Mood::Warn,
        Verdict::Different | Verdict::Trap => Mood::Bad,
    };
    let body = html! {
        p class="lead" { (state(mood, report.verdict.as_str())) " " (report.summary()) }
        dl class="facts" {
            dt { "Adapter" } dd { a href={ "/console/adapters/" (segment(adapter)) } { (adapter) } }
            @if let Some(active) = &report.active {
                dt { "Active" } dd { (text::foreign(&active.version)) " " code { (active.sha256.prefix()) } }
            }
            dt { "Candidate" } dd { (text::foreign(&report.candidate.version)) " " code { (report.candidate.sha256.prefix()) } }
            dt { "Policy" } dd { (report.policy.as_str()) @if report.refuses() { ": the candidate is refused" } }
            @if let Some(timing) = report.timing {
                dt { "Time per job" }
                dd { (timing.candidate_us) " µs, active version " (timing.active_us) " µs" @if timing.slower { ": slower" } }
            }
            @for note in &report.notes { dt { "Note" } dd { (text::foreign(note)) } }
        }
        @for finding in &report.findings {
            h2 { (text::count(finding.jobs as u64, "job", "jobs")) ", " (finding.operation) ": " (kind(finding.kind)) }
            p { "For example job " a href={ "/console/jobs/" (segment(&finding.example)) } { (text::foreign(&finding.example)) }
                ", whose page links its journal" }
            @for call in &finding.calls {
                h3 { (text::foreign(&call.at)) }
                div class="scroll" tabindex="0" { table {
                    thead { tr { th scope="col" { "Place" } th scope="col" { "Active version" } th scope="col" { "Candidate" } } }
                    tbody { @for difference in &call.differences { tr {
                        th scope="row" { (text::foreign(&difference.place)) }
                        td class="text" { @if let Some(before) = &difference.before { del { (text::foreign(before)) } } }
                        td class="text" { @if let Some(after) = &difference.after { ins { (text::foreign(after)) } } }
                    } } }
                } }
            }
            @if let Some(note) = &finding.note { p class="soft" { (text::foreign(note)) } }
        }
    };
    let page = Page { section: Section::Adapters, title, live: false, notice: None, body };
    page.render(principal)
}

fn kind(kind: FindingKind) -> &'static str {
    match kind {
        FindingKind::Trap => "broken by the candidate",
        FindingKind::Different => "different",
        FindingKind::Mended => "mended by the candidate",
    }
}
