//! Dead letters over all queues, grouped by reason, and one of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Extension;
use axum::extract::Path;
use axum::extract::Query;
use axum::extract::State;
use axum::response::Response;
use maud::Markup;
use maud::html;
use serde::Deserialize;

use super::PageError;
use super::act;
use crate::admin;
use crate::admin::AdminError;
use crate::console::ConsoleState;
use crate::console::layout::Page;
use crate::console::layout::Section;
use crate::console::notice::Notice;
use crate::console::text;
use crate::console::text::segment;
use crate::http::audit;
use crate::http::auth::Access;
use crate::http::auth::Principal;
use hoth_core::domain::QueuedJob;
use hoth_core::domain::Timestamp;
use hoth_queue::DeadLetter;
use hoth_queue::DeadLetterId;
use hoth_queue::QueueName;

/// The dead letters that one page reads. Older ones are read first.
const READ_MAX: usize = 2_000;

/// The dead letters in memory at one time: each may have a mebibyte.
const PAGE: usize = 64;

/// The dead letters that a group lists.
const LISTED_MAX: usize = 20;

/// The filter of the page.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Filter {
    queue: String,
}

/// Dead letters with the same reason, apart from the ids and numbers in it.
#[derive(Debug)]
struct Group {
    count: u64,
    first: Timestamp,
    last: Timestamp,
    /// The first ones: id, job, time.
    letters: Vec<(DeadLetterId, String, Timestamp)>,
}

/// Handles `GET /console/dead-letters`.
pub async fn list(
    State(console): State<Arc<ConsoleState>>,
    Extension(principal): Extension<Principal>,
    Query(filter): Query<Filter>,
    Query(notice): Query<Notice>,
) -> Result<Response, PageError> {
    let mut groups: BTreeMap<(String, String), Group> = BTreeMap::new();
    let mut read = 0;
    for queue in &console.admin.queues {
        let name = queue.to_string();
        if !filter.queue.is_empty() && filter.queue != name {
            continue;
        }
        read += gather(&console, queue, READ_MAX - read, &mut groups).await?;
    }
    let body = html! {
        form class="filter" method="get" {
            label { "Queue"
                select name="queue" {
                    option value="" { "all" }
                    @for queue in &console.admin.queues {
                        option selected[filter.queue == queue.to_string()] { (queue) }
                    }
                }
            }
            button { "Show" }
        }
        @if groups.is_empty() { p class="quiet-state" { "There are no dead letters." } }
        @if read == READ_MAX { p class="soft" { "Only the oldest " (READ_MAX) " are shown." } }
        @for ((queue, reason), group) in &groups { (section(&principal, queue, reason, group)) }
    };
    let page = Page {
        section: Section::DeadLetters,
        title: "Dead letters",
        live: false,
        notice: notice.sentence(),
        body,
    };
    Ok(page.render(&principal))
}

/// Adds up to `max` dead letters of a queue to the groups. Returns how many.
async fn gather(
    console: &ConsoleState,
    queue: &QueueName,
    max: usize,
    groups: &mut BTreeMap<(String, String), Group>,
) -> Result<usize, PageError> {
    let (mut read, mut after) = (0, None);
    while read < max {
        let page = console.admin.queue.dead_letters(queue, after.as_ref(), PAGE.min(max - read));
        let page = page.await?;
        let Some(last) = page.last() else { break };
        after = Some(last.id.clone());
        read += page.len();
        for letter in page {
            let key = (queue.to_string(), normalized(&letter.reason));
            let group = groups.entry(key).or_insert_with(|| Group {
                count: 0,
                first: letter.died_at,
                last: letter.died_at,
                letters: Vec::new(),
            });
            group.count += 1;
            group.first = group.first.min(letter.died_at);
            group.last = group.last.max(letter.died_at);
            if group.letters.len() < LISTED_MAX {
                group.letters.push((letter.id, letter.key, letter.died_at));
            }
        }
    }
    Ok(read)
}

/// Returns a reason with its ids and numbers left out, so that equal reasons of
/// different jobs meet.
fn normalized(reason: &str) -> String {
    let mut words = Vec::new();
    for word in reason.split_whitespace() {
        let has_digit = word.bytes().any(|byte| byte.is_ascii_digit());
        words.push(if has_digit { "…" } else { word });
    }
    words.dedup();
    words.join(" ")
}

fn section(principal: &Principal, queue: &str, reason: &str, group: &Group) -> Markup {
    let path = format!("/console/queues/{}", segment(queue));
    let common = longest_part(reason);
    html! {
        h2 { (text::foreign(reason)) }
        p {
            (text::count(group.count, "dead letter", "dead letters")) " of "
            a href=(path) { (queue) } ", " (text::time(group.first)) " to " (text::time(group.last))
        }
        @if principal.role.permits(Access::Operate) {
            (act("Redrive", &format!("{path}/redrive"),
                "These jobs go on where they stopped, and each ends with one more outcome. Mend the cause first.",
                &html! {
                    input type="hidden" name="reason" value=(common);
                    label { "At most (empty for all), the oldest first" input name="max" inputmode="numeric"; }
                }, false))
            (act("Delete", &format!("{path}/purge"),
                "They cannot be redriven afterwards. ServiceNow has their failure messages.",
                &html! {
                    input type="hidden" name="reason" value=(common);
                    label { "Type " (queue) " to confirm" input name="confirm" autocomplete="off" required; }
                }, true))
        }
        div class="scroll" tabindex="0" { table {
            thead { tr { th scope="col" { "Dead letter" } th scope="col" { "Job" } th scope="col" { "Since" } } }
            tbody { @for (id, job, at) in &group.letters { tr {
                th scope="row" {
                    a href={ "/console/dead-letters/" (segment(queue)) "/" (segment(id.as_str())) } { (id) }
                }
                td { a href={ "/console/jobs/" (segment(job)) } { (text::foreign(job)) } }
                td { (text::time(*at)) }
            } } }
        } }
    }
}

/// Returns the longest part of a normalized reason that the reasons of the
/// whole group contain.
fn longest_part(reason: &str) -> &str {
    reason.split('…').map(str::trim).max_by_key(|part| part.len()).unwrap_or_default()
}

/// Handles `GET /console/dead-letters/{queue}/{id}`.
pub async fn show(
    State(console): State<Arc<ConsoleState>>,
    Extension(principal): Extension<Principal>,
    Path((queue, id)): Path<(String, String)>,
) -> Result<Response, PageError> {
    let letter = find(&console, &queue, &id).await?;
    Ok(letter_page(&console, &principal, &queue, &letter, None))
}

/// Handles `POST /console/dead-letters/{queue}/{id}/body`: shows the payload,
/// and writes an audit line.
pub async fn body(
    State(console): State<Arc<ConsoleState>>,
    Extension(principal): Extension<Principal>,
    Path((queue, id)): Path<(String, String)>,
) -> Result<Response, PageError> {
    if !may_read_payloads(&console, &principal) {
        return Err(PageError::Forbidden(principal.role));
    }
    let letter = find(&console, &queue, &id).await?;
    audit::payload_read(&principal, &queue, &id);
    Ok(letter_page(&console, &principal, &queue, &letter, Some(&letter.body)))
}

fn may_read_payloads(console: &ConsoleState, principal: &Principal) -> bool {
    console.config.payloads && principal.role.permits(Access::Administer)
}

async fn find(console: &ConsoleState, queue: &str, id: &str) -> Result<DeadLetter, PageError> {
    let name = admin::find_queue(&console.admin, queue)?;
    let found = console.admin.queue.find_dead_letters(name, &[DeadLetterId::new(id)]).await?;
    let missing = || AdminError::NotFound(format!("{queue} has no dead letter {id}"));
    Ok(found.into_iter().next().ok_or_else(missing)?)
}

fn letter_page(
    console: &ConsoleState,
    principal: &Principal,
    queue: &str,
    letter: &DeadLetter,
    payload: Option<&str>,
) -> Response {
    let queued = QueuedJob::decode(&letter.body).ok();
    let path = format!("/console/queues/{}", segment(queue));
    let title = format!("Dead letter {}", letter.id);
    let one = html! { input type="hidden" name="id" value=(letter.id); };
    let body = html! {
        p class="lead" { (text::foreign(&letter.reason)) }
        @if principal.role.permits(Access::Operate) {
            (act("Redrive", &format!("{path}/redrive"),
                "The job goes on where it stopped, and ends with one more outcome.", &one, false))
            (act("Delete", &format!("{path}/purge"), "It cannot be redriven afterwards.", &html! {
                (one)
                label { "Type " (queue) " to confirm" input name="confirm" autocomplete="off" required; }
            }, true))
        }
        dl class="facts" {
            dt { "Job" }
            dd { a href={ "/console/jobs/" (segment(&letter.key)) } { (text::foreign(&letter.key)) } }
            dt { "Queue" } dd { a href=(path) { (queue) } }
            dt { "Sent" } dd { (text::time(letter.sent_at)) }
            dt { "Dead since" } dd { (text::time(letter.died_at)) }
            dt { "Received" } dd { (text::count(u64::from(letter.receive_count), "time", "times")) }
            @if let Some(queued) = &queued {
                dt { "Operation" } dd { (queued.job.operation) }
                dt { "CSP" } dd { (queued.job.csp) }
                @if let Some(from) = &queued.resumption {
                    dt { "Last note" } dd { (text::foreign(&from.progress.note)) }
                }
            } @else {
                dt { "Content" } dd { "It cannot be read as a job, so it cannot be redriven." }
            }
        }
        @match payload {
            Some(payload) => { h2 { "Payload" } pre { (payload) } }
            None if may_read_payloads(console, principal) => form method="post"
                action={ "/console/dead-letters/" (segment(queue)) "/" (segment(letter.id.as_str())) "/body" } {
                p class="soft" { "Reading the payload leaves an audit line." }
                button { "Show the payload" }
            },
            None => p class="soft" { "The payload is hidden." },
        }
    };
    let page =
        Page { section: Section::DeadLetters, title: &title, live: false, notice: None, body };
    page.render(principal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_of_different_jobs_meet_in_one_group() {
        for (reason, expected, part) in [
            (
                "the job was started 20 times and never came to an end",
                "the job was started … times and never came to an end",
                "times and never came to an end",
            ),
            (
                "cannot read state of job-17 at byte 5",
                "cannot read state of … at byte …",
                "cannot read state of",
            ),
            ("plain", "plain", "plain"),
            ("1 2 3", "…", ""),
        ] {
            assert_eq!(normalized(reason), expected);
            assert_eq!(longest_part(expected), part);
            assert!(reason.contains(part));
        }
    }
}
