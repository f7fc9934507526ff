//! Queues: depths, ages, and what blocks a portfolio.

use std::sync::Arc;

use axum::Extension;
use axum::extract::Path;
use axum::extract::State;
use axum::response::Response;
use maud::Markup;
use maud::html;

use super::Mood;
use super::PageError;
use super::state;
use crate::admin;
use crate::console::ConsoleState;
use crate::console::layout::Page;
use crate::console::layout::Section;
use crate::console::text;
use crate::console::text::segment;
use crate::http::auth::Principal;
use hoth_queue::Blocked;
use hoth_queue::BlockedGroup;
use hoth_queue::QueueError;
use hoth_queue::QueueStats;

/// Handles `GET /console/queues`.
pub async fn list(
    State(console): State<Arc<ConsoleState>>,
    Extension(principal): Extension<Principal>,
) -> Response {
    let rows = console.admin.stats.read_all().await;
    let body = html! {
        div class="scroll" tabindex="0" { table {
            thead { tr {
                th scope="col" { "Queue" }
                th scope="col" class="number" { "Waiting" }
                th scope="col" class="number" { "In hand" }
                th scope="col" class="number" { "Oldest" }
                th scope="col" class="number" { "Oldest that could run" }
                th scope="col" class="number" { "Dead letters" }
            } }
            tbody { @for (name, stats) in &rows { tr {
                th scope="row" {
                    a href={ "/console/queues/" (segment(&name.to_string())) } { (name) }
                }
                @match stats {
                    Ok(stats) => (numbers(stats)),
                    Err(error) => { td colspan="5" { (state(Mood::Bad, "unknown")) " " (error) } }
                }
            } } }
        } }
    };
    let page = Page { section: Section::Queues, title: "Queues", live: true, notice: None, body };
    page.render(&principal)
}

fn numbers(stats: &QueueStats) -> Markup {
    let age = |age: Option<_>| age.map_or_else(|| "–".to_owned(), text::duration);
    html! {
        td class="number" { (stats.depth) }
        td class="number" { (stats.in_flight) }
        td class="number" { (age(stats.oldest_age)) }
        td class="number" { (age(stats.oldest_claimable_age)) }
        td class="number" { (stats.dead_letters) }
    }
}

/// Handles `GET /console/queues/{queue}`.
pub async fn show(
    State(console): State<Arc<ConsoleState>>,
    Extension(principal): Extension<Principal>,
    Path(name): Path<String>,
) -> Result<Response, PageError> {
    let queue = admin::find_queue(&console.admin, &name)?;
    let stats = console.admin.stats.read(queue).await?;
    let blocked = match console.admin.queue.blocked(queue).await {
        Ok(blocked) => Some(blocked),
        // SQS cannot list groups.
        Err(QueueError::NotOffered(_)) => None,
        Err(error) => return Err(error.into()),
    };
    let reasons = admin::reasons(&console.admin, queue, &stats, blocked.as_deref());
    let body = html! {
        div class="scroll" tabindex="0" { table {
            thead { tr {
                th scope="col" class="number" { "Waiting" }
                th scope="col" class="number" { "In hand" }
                th scope="col" class="number" { "Oldest" }
                th scope="col" class="number" { "Oldest that could run" }
                th scope="col" class="number" { "Dead letters" }
            } }
            tbody { tr { (numbers(&stats)) } }
        } }
        h2 { "Why it does not move" }
        @if reasons.is_empty() { p { "Nothing holds it back." } }
        @else { ul { @for reason in &reasons { li { (text::foreign(reason)) } } } }
        @if stats.dead_letters > 0 {
            p { a href={ "/console/dead-letters?queue=" (segment(&name)) } {
                (text::count(stats.dead_letters, "dead letter", "dead letters"))
            } }
        }
        h2 { "Portfolios whose first message is not to be had now" }
        @match &blocked {
            None => p class="soft" { "This queue backend cannot list them." },
            Some(groups) if groups.is_empty() => p class="soft" { "None." },
            Some(groups) => (blocked_groups(groups)),
        }
    };
    let page = Page { section: Section::Queues, title: &name, live: true, notice: None, body };
    Ok(page.render(&principal))
}

fn blocked_groups(groups: &[BlockedGroup]) -> Markup {
    html! { div class="scroll" tabindex="0" { table {
        thead { tr {
            th scope="col" { "First job" } th scope="col" { "Why" } th scope="col" { "Until" }
            th scope="col" class="number" { "Messages" }
        } }
        tbody { @for group in groups { tr {
            th scope="row" {
                a href={ "/console/jobs/" (segment(&group.head)) } { (text::foreign(&group.head)) }
            }
            td { (why(group.why)) }
            td { (text::time(group.until)) }
            td class="number" { (group.waiting) }
        } } }
    } } }
}

fn why(why: Blocked) -> &'static str {
    match why {
        Blocked::LeasedToWorker => "in hand; the lease ends",
        Blocked::LeasedToClient => "leased to a client; the lease ends",
        Blocked::NotDue => "not due",
    }
}
