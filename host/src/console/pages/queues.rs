//! Queues: depths, ages, rates, waits, and what blocks a portfolio.

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
use crate::activity::QueueTraffic;
use crate::admin;
use crate::console::ConsoleState;
use crate::console::chart;
use crate::console::layout::Page;
use crate::console::layout::Section;
use crate::console::text;
use crate::console::text::segment;
use crate::http::auth::Principal;
use hoth_queue::Blocked;
use hoth_queue::BlockedGroup;
use hoth_queue::QueueError;
use hoth_queue::QueueStats;

/// The columns of numbers; only the last one may be missing.
const COLUMNS: [&str; 8] = [
    "Waiting",
    "In hand",
    "Oldest",
    "Oldest that could run",
    "In, per minute",
    "Out, per minute",
    "Wait p50",
    "p99",
];

/// Handles `GET /console/queues`.
pub async fn list(
    State(console): State<Arc<ConsoleState>>,
    Extension(principal): Extension<Principal>,
) -> Response {
    let activity = &console.admin.activity;
    let rows = console.admin.stats.read_all().await;
    let rows: Vec<_> =
        rows.into_iter().map(|(name, stats)| (name, stats, activity.queue(name))).collect();
    let body = html! {
        div class="scroll" tabindex="0" { table class="dense" {
            thead { tr {
                th scope="col" { "Queue" }
                @for column in COLUMNS { th scope="col" class="number" { (column) } }
                th scope="col" { "Last 24 hours" }
                th scope="col" class="number" { "Dead letters" }
            } }
            tbody { @for (name, stats, traffic) in &rows { tr {
                th scope="row" {
                    a href={ "/console/queues/" (segment(&name.to_string())) } { (name) }
                }
                @match stats {
                    Ok(stats) => (numbers(stats)),
                    Err(error) => { td colspan="4" { (state(Mood::Bad, "unknown")) " " (error) } }
                }
                (rates(traffic))
                td { (chart::spark(&traffic.bars)) }
                td class="number" { @match stats {
                    Ok(stats) => (stats.dead_letters), Err(_) => "–",
                } }
            } } }
        } }
        (explanation(&console))
    };
    let page = Page { section: Section::Queues, title: "Queues", live: true, notice: None, body };
    page.render(&principal)
}

fn explanation(console: &ConsoleState) -> Markup {
    html! { p class="soft" {
        "Rates and waits are of the last hour, as this host has seen them since its start at "
        (text::time(console.admin.activity.since()))
        ". Out counts deliveries to a worker, or collections. Bars: in; dashes: out. Half of the \
         messages waited no longer than p50 after they were due, and 99 % no longer than p99."
    } }
}

fn numbers(stats: &QueueStats) -> Markup {
    let age = |age: Option<_>| age.map_or_else(|| "–".to_owned(), text::duration);
    html! {
        td class="number" { (stats.depth) }
        td class="number" { (stats.in_flight) }
        td class="number" { (age(stats.oldest_age)) }
        td class="number" { (age(stats.oldest_claimable_age)) }
    }
}

fn rates(traffic: &QueueTraffic) -> Markup {
    let time = |time: Option<_>| time.map_or_else(|| "–".to_owned(), text::duration);
    let rate = |way| match (traffic.hour.counts[way], traffic.hour.per_minute(way)) {
        (0, _) => "0".to_owned(),
        (_, rate) if rate < 0.1 => "< 0.1".to_owned(),
        (_, rate) => format!("{rate:.1}"),
    };
    html! {
        td class="number" { (rate(0)) }
        td class="number" { (rate(1)) }
        td class="number" { (time(traffic.hour.p50)) }
        td class="number" { (time(traffic.hour.p99)) }
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
    let traffic = console.admin.activity.queue(queue);
    let reasons = admin::reasons(&console.admin, queue, &stats, blocked.as_deref());
    let body = html! {
        div class="scroll" tabindex="0" { table {
            thead { tr {
                @for column in COLUMNS { th scope="col" class="number" { (column) } }
                th scope="col" class="number" { "Dead letters" }
            } }
            tbody { tr {
                (numbers(&stats))
                (rates(&traffic))
                td class="number" { (stats.dead_letters) }
            } }
        } }
        (chart::traffic(&traffic.bars))
        (explanation(&console))
        h2 { "Why it does not move" }
        @if reasons.is_empty() { p { "Nothing holds it back." } }
        @else { ul { @for reason in &reasons { li { (text::foreign(reason)) } } } }
        @if stats.dead_letters > 0 {
            p { a href={ "/console/dead-letters?queue=" (segment(&name)) } {
                (text::count(stats.dead_letters, "dead letter", "dead letters"))
            } }
        }
        h2 { "Portfolios whose first message is not available" }
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
