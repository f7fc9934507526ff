//! The first page: what is wrong, how every CSP stands, what changed.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use maud::Markup;
use maud::html;

use super::audit;
use super::csps;
use crate::console::ConsoleState;
use crate::console::chart;
use crate::console::layout::Page;
use crate::console::layout::Section;
use crate::console::snapshot::Reading;
use crate::console::snapshot::Snapshot;
use crate::console::text;
use crate::console::troubles;
use crate::console::troubles::Severity;
use crate::console::troubles::Trouble;
use crate::http::auth::Principal;
use hoth_core::domain::Timestamp;
use hoth_queue::Stage;
use hoth_trail::Act;
use hoth_trail::ActFilter;

/// The acts on the page.
const ACTS: usize = 10;

/// Handles `GET /console`.
pub async fn show(
    State(console): State<Arc<ConsoleState>>,
    Extension(principal): Extension<Principal>,
) -> Response {
    let seen = Snapshot::read(&console).await;
    let troubles = troubles::find(&console, &seen).await;
    // The troubles say if the trail cannot be read.
    let acts = console.admin.trail.acts(ActFilter::default(), None, ACTS).await;
    let acts = acts.map(|(acts, _)| acts).unwrap_or_default();
    let body = html! {
        (troubles_list(&troubles))
        @if console.admin.trail.is_on() {
            h2 { "The last 24 hours" }
            (chart::ended(&seen.minutes, None, seen.now, &version_changes(&acts)))
        }
        h2 { "CSPs" }
        (csps::rows(&console, &seen.queues))
        h2 { "Outcomes for ServiceNow" }
        (outcomes(&seen.queues))
        @if !acts.is_empty() {
            h2 { "Last acts" }
            (audit::table(&acts))
        }
    };
    let page = Page { section: Section::Now, title: "Now", live: true, notice: None, body };
    page.render(&principal)
}

/// Returns the times at which acts have changed versions of adapters.
fn version_changes(acts: &[Act]) -> Vec<Timestamp> {
    let changes = acts.iter().filter(|act| matches!(act.act.as_str(), "deploy" | "roll-back"));
    changes.map(|act| act.at).collect()
}

fn troubles_list(troubles: &[Trouble]) -> Markup {
    html! {
        @if troubles.is_empty() { p class="quiet-state" { "Nothing needs you." } }
        @else { ul class="troubles" { @for trouble in troubles {
            li class=[(trouble.severity == Severity::Bad).then_some("bad")] {
                a href=(trouble.href) { (trouble.cause) }
                div class="remedy" { (trouble.remedy) }
            }
        } } }
    }
}

fn outcomes(queues: &[Reading<'_>]) -> Markup {
    html! { div class="scroll" tabindex="0" { table {
        thead { tr {
            th scope="col" { "Queue" }
            th scope="col" class="number" { "Not collected" }
            th scope="col" class="number" { "Leased" }
            th scope="col" class="number" { "Oldest" }
        } }
        tbody { @for (name, stats) in queues.iter().filter(|(name, _)| name.stage == Stage::Outcomes) { tr {
            th scope="row" { a href={ "/console/queues/" (name) } { (name) } }
            @match stats {
                Ok(stats) => {
                    td class="number" { (stats.depth) }
                    td class="number" { (stats.in_flight) }
                    td class="number" { (stats.oldest_age.map_or_else(|| "–".to_owned(), text::duration)) }
                }
                Err(error) => td colspan="3" { (error) },
            }
        } } }
    } } }
}
