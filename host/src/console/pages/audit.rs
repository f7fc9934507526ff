//! Acts: who did what, when.

use std::sync::Arc;

use axum::Extension;
use axum::extract::Query;
use axum::extract::State;
use axum::response::Response;
use maud::Markup;
use maud::html;
use serde::Deserialize;

use super::PageError;
use crate::admin::AdminError;
use crate::admin::AuditQuery;
use crate::console::ConsoleState;
use crate::console::layout::Page;
use crate::console::layout::Section;
use crate::console::text;
use crate::http::auth::Principal;
use hoth_trail::Act;

/// The rows of one page.
const PAGE: usize = 100;

/// The filter, as the form sends it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Filter {
    act: String,
    by: String,
    object: String,
    cursor: String,
}

/// Handles `GET /console/audit`.
pub async fn list(
    State(console): State<Arc<ConsoleState>>,
    Extension(principal): Extension<Principal>,
    Query(filter): Query<Filter>,
) -> Result<Response, PageError> {
    let given = |text: &str| (!text.trim().is_empty()).then(|| text.trim().to_owned());
    let query = AuditQuery {
        act: given(&filter.act),
        by: given(&filter.by),
        object: given(&filter.object),
        ..AuditQuery::default()
    };
    let cursor = given(&filter.cursor);
    let acts = console.admin.trail.acts(query.filter()?, cursor.as_deref(), PAGE);
    let (acts, next) = acts.await.map_err(AdminError::from)?;
    let link = |cursor: &str| {
        let of = |text: &str| text::segment(text);
        format!(
            "/console/audit?act={}&by={}&object={}&cursor={}",
            of(&filter.act),
            of(&filter.by),
            of(&filter.object),
            of(cursor)
        )
    };
    let body = html! {
        p class="soft" {
            "Acts of operators, and of the configuration. The log has the complete audit trail; this list \
             may lose its last second in a crash. What happened to a job is on the job's page."
        }
        form class="filter" method="get" role="search" {
            label { "Act" input name="act" value=(filter.act); }
            label { "By" input name="by" value=(filter.by); }
            label { "Object" input name="object" value=(filter.object); }
            button { "Show" }
        }
        @if acts.is_empty() { p class="quiet-state" { "No act matches." } } @else { (table(&acts)) }
        @if let Some(next) = next { nav class="pages" aria-label="Pages" { a href=(link(&next)) { "Older" } } }
    };
    let page = Page { section: Section::Audit, title: "Audit", live: true, notice: None, body };
    Ok(page.render(&principal))
}

/// Returns a table of acts.
pub fn table(acts: &[Act]) -> Markup {
    html! { div class="scroll" tabindex="0" { table {
        thead { tr {
            th scope="col" { "Time" } th scope="col" { "Act" } th scope="col" { "Object" }
            th scope="col" { "By" } th scope="col" { "Details" }
        } }
        tbody { @for act in acts { tr {
            td { (text::time(act.at)) }
            th scope="row" { (text::foreign(&act.act)) }
            td class="text" { (text::foreign(&act.object)) }
            td { (text::foreign(&act.by)) }
            td class="text" { (text::foreign(&act.details)) }
        } } }
    } } }
}
