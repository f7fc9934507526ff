//! The report of the replay gate on a candidate.

use std::sync::Arc;

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
use super::adapters;
use super::state;
use crate::admin;
use crate::admin::AdminError;
use crate::console::ConsoleState;
use crate::console::layout::Page;
use crate::console::layout::Section;
use crate::console::notice::Notice;
use crate::console::text;
use crate::console::text::segment;
use crate::http::auth::Access;
use crate::http::auth::Principal;
use crate::replay::FindingKind;
use crate::replay::ReplayReport;
use crate::replay::Verdict;
use hoth_core::domain::Digest;

/// Handles `GET /console/adapters/{adapter}/replay`.
pub async fn show(
    State(console): State<Arc<ConsoleState>>,
    Extension(principal): Extension<Principal>,
    Path(name): Path<String>,
    Query(notice): Query<Notice>,
) -> Result<Response, PageError> {
    let adapter = admin::adapter_listing(&console.admin, &name).await?;
    let Some((at, report)) = console.admin.registry.last_report(&adapter.name) else {
        let missing = format!("`{name}` was not replayed since this host started");
        return Err(AdminError::NotFound(missing).into());
    };
    let title = format!("Replay of {}", at.to_rfc3339());
    let candidate = report.candidate.sha256;
    let is_retained = adapter.versions.iter().any(|version| version.sha256 == candidate);
    let acts = html! {
        @if principal.role.permits(Access::Administer) {
            @if is_retained { (again(&name, &candidate)) }
            @if report.refuses() && !is_retained { (accept(&name)) }
        }
    };
    Ok(page(&principal, &name, &title, &report, &acts, notice.sentence()))
}

/// Returns the form that replays the candidate again.
fn again(adapter: &str, candidate: &Digest) -> Markup {
    act(
        "Replay again",
        &format!("/console/adapters/{}/replay", segment(adapter)),
        "The journals of now are replayed, for some seconds. No CSP is called, and nothing changes.",
        &html! { input type="hidden" name="sha256" value=(candidate); },
        false,
    )
}

/// Returns the form that accepts a refused candidate.
fn accept(adapter: &str) -> Markup {
    html! {
        (adapters::deploy(&format!("/console/adapters/{}", segment(adapter)), true))
        p class="soft" {
            "The host does not keep a refused component: choose its file again. With the gate on \
             warn it is activated, and compared afterwards; the configured policy stays as it is. \
             On the command line: " code { "hoth adapters deploy FILE.wasm --name " (adapter) " --replay warn" }
        }
    }
}

/// Returns the page with the report of a candidate that was just sent. Only a
/// refused one can be accepted here: a dry run asks for nothing more.
pub fn report_page(
    principal: &Principal,
    adapter: &str,
    title: &str,
    report: &ReplayReport,
    is_refusal: bool,
) -> Response {
    let acts = html! { @if is_refusal { (accept(adapter)) } };
    page(principal, adapter, title, report, &acts, None)
}

fn page(
    principal: &Principal,
    adapter: &str,
    title: &str,
    report: &ReplayReport,
    acts: &Markup,
    notice: Option<String>,
) -> Response {
    let mood = match report.verdict {
        Verdict::Same => Mood::Good,
        Verdict::Untested | Verdict::Slower => Mood::Warn,
        Verdict::Different | Verdict::Trap => Mood::Bad,
    };
    let body = html! {
        p class="lead" { (state(mood, report.verdict.as_str())) " " (report.summary()) }
        (acts)
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
    let page = Page { section: Section::Adapters, title, live: false, notice, body };
    page.render(principal)
}

fn kind(kind: FindingKind) -> &'static str {
    match kind {
        FindingKind::Trap => "broken by the candidate",
        FindingKind::Different => "different",
        FindingKind::Mended => "mended by the candidate",
    }
}
