//! Journals: those of an adapter, and one step by step.
//!
//! The steps and request lines are for every role; what the CSP answered is for
//! operators, with an audit line.

use std::sync::Arc;

use axum::Extension;
use axum::extract::Path;
use axum::extract::State;
use axum::response::Response;
use maud::Markup;
use maud::html;

use super::PageError;
use crate::admin;
use crate::admin::AdminError;
use crate::admin::JournalLink;
use crate::console::ConsoleState;
use crate::console::layout::Page;
use crate::console::layout::Section;
use crate::console::text;
use crate::console::text::segment;
use crate::http::audit;
use crate::http::auth::Access;
use crate::http::auth::Principal;
use crate::replay::Input;
use crate::replay::Journal;
use crate::replay::JournalBody;
use crate::replay::JournalCall;
use crate::replay::JournalResponse;
use hoth_core::domain::JobKind;
use hoth_core::domain::printable;

/// The characters of one body on a page. The saved file is complete.
const BODY_CHARS_MAX: usize = 4_000;

/// The bodies on one page, in characters. A page of more would be slow to read.
const BODIES_CHARS_MAX: usize = 200_000;

/// Returns the path of a journal's page.
pub fn path(link: &JournalLink) -> String {
    format!("/console/journals/{}/{}", segment(&link.adapter), segment(&link.name))
}

/// Handles `GET /console/journals/{adapter}`.
pub async fn list(
    State(console): State<Arc<ConsoleState>>,
    Extension(principal): Extension<Principal>,
    Path(adapter): Path<String>,
) -> Result<Response, PageError> {
    let listed = admin::list_journals(&console.admin, &adapter).await?;
    let title = format!("Journals of {adapter}");
    let body = html! {
        p class="soft" {
            "What the adapter was told while a job ran, redacted. New versions are replayed on them; "
            a href={ "/console/adapters/" (segment(&adapter)) } { "versions of " (adapter) } "."
        }
        @if listed.journals.is_empty() { p class="quiet-state" { "There are no journals of this adapter." } }
        @else {
            @if listed.count > listed.journals.len() {
                p { "The newest " (listed.journals.len()) " of " (listed.count) "." }
            }
            div class="scroll" tabindex="0" { table {
                thead { tr {
                    th scope="col" { "Finished" } th scope="col" { "Operation" }
                    th scope="col" { "End" } th scope="col" { "Journal" }
                } }
                tbody { @for link in &listed.journals { tr {
                    td { (text::time(link.described.finished_at)) }
                    td { (text::foreign(&link.described.operation)) }
                    td { (text::foreign(&link.described.ending)) }
                    th scope="row" { a href=(path(link)) { code { (text::foreign(&link.name)) } } }
                } } }
            } }
        }
    };
    let page = Page { section: Section::Adapters, title: &title, live: false, notice: None, body };
    Ok(page.render(&principal))
}

/// Handles `GET /console/journals/{adapter}/{name}`.
pub async fn show(
    State(console): State<Arc<ConsoleState>>,
    Extension(principal): Extension<Principal>,
    Path((adapter, name)): Path<(String, String)>,
) -> Result<Response, PageError> {
    let (link, _, journal) = read(&console, &adapter, &name).await?;
    Ok(page(&principal, &link, &journal, false))
}

/// Handles `POST /console/journals/{adapter}/{name}/bodies`: shows the journal
/// with its bodies, and writes an audit line.
pub async fn bodies(
    State(console): State<Arc<ConsoleState>>,
    Extension(principal): Extension<Principal>,
    Path((adapter, name)): Path<(String, String)>,
) -> Result<Response, PageError> {
    require_content(&principal)?;
    let (link, _, journal) = read(&console, &adapter, &name).await?;
    audit::journal_read(&principal, &link.adapter, &link.name);
    Ok(page(&principal, &link, &journal, true))
}

/// Handles `POST /console/journals/{adapter}/{name}/file`: returns the file, and
/// writes an audit line.
pub async fn file(
    State(console): State<Arc<ConsoleState>>,
    Extension(principal): Extension<Principal>,
    Path((adapter, name)): Path<(String, String)>,
) -> Result<Response, PageError> {
    require_content(&principal)?;
    let (link, text) = admin::read_journal(&console.admin, &adapter, &name).await?;
    Ok(admin::journal_file(&principal, &link, text))
}

fn require_content(principal: &Principal) -> Result<(), PageError> {
    match principal.role.permits(Access::Operate) {
        true => Ok(()),
        false => Err(PageError::Forbidden(principal.role)),
    }
}

async fn read(
    console: &ConsoleState,
    adapter: &str,
    name: &str,
) -> Result<(JournalLink, String, Journal), PageError> {
    let (link, text) = admin::read_journal(&console.admin, adapter, name).await?;
    let journal = Journal::decode(&text)
        .map_err(|error| AdminError::Conflict(format!("the file cannot be shown: {error}")))?;
    Ok((link, text, journal))
}

fn page(
    principal: &Principal,
    link: &JournalLink,
    journal: &Journal,
    with_bodies: bool,
) -> Response {
    let (path, job) = (path(link), &journal.job);
    let kind = if link.described.kind() == Some(JobKind::Cost) { "?kind=cost" } else { "" };
    let title = format!("Journal of {}", text::foreign(&job.id));
    let body = html! {
        p class="lead" {
            (text::foreign(&job.operation)) " at " (journal.csp) ": "
            @match journal.calls.last() {
                Some(call) => strong { (text::foreign(&call.step.to_string())) },
                None => "no call",
            }
        }
        dl class="facts" {
            dt { "Job" } dd { a href={ "/console/jobs/" (segment(&job.id)) (kind) } { (text::foreign(&job.id)) } }
            dt { "CSP" } dd { a href={ "/console/csps/" (segment(journal.csp.as_str())) } { (journal.csp) } }
            dt { "Adapter" }
            dd {
                a href={ "/console/adapters/" (segment(&link.adapter)) } { (link.adapter) } " "
                code { (journal.version.prefix()) }
            }
            dt { "Finished" } dd { (text::time(journal.finished_at)) }
            dt { "Other journals" }
            dd { a href={ "/console/journals/" (segment(&link.adapter)) } { "of " (link.adapter) } }
        }
        (steps(journal))
        h2 { "What the adapter was told" }
        p class="soft" {
            "Secrets and personal data are replaced by pseudonyms. Of equal polls, the first and the last are kept."
        }
        @if with_bodies { (contents(journal)) }
        @else if principal.role.permits(Access::Operate) {
            form method="post" action={ (path) "/bodies" } class="row" {
                button { "Show input and responses" }
                span class="soft" { "Leaves an audit line." }
            }
        } @else { p { "The input and the responses are hidden from the role " (principal.role.as_str()) "." } }
        @if principal.role.permits(Access::Operate) {
            h2 { "Run it again" }
            form method="post" action={ (path) "/file" } class="row" {
                button { "Save the journal" }
                span class="soft" { "Leaves an audit line. No command calls the CSP." }
            }
            pre { "hoth adapter run  FILE.wasm --journal " (link.file_name()) "\nhoth adapter test FILE.wasm " (link.file_name()) }
        }
    };
    let page = Page { section: Section::Adapters, title: &title, live: false, notice: None, body };
    page.render(principal)
}

/// Returns the calls, each with what came in and the step that it returned.
fn steps(journal: &Journal) -> Markup {
    let first = journal.calls.first().map(|call| call.now);
    html! { div class="scroll" tabindex="0" { table {
        thead { tr {
            th scope="col" class="number" { "Call" } th scope="col" { "Time" }
            th scope="col" class="number" { "After" }
            th scope="col" class="number" { "Delivery" }
            th scope="col" { "Input" } th scope="col" { "Step" }
        } }
        tbody { @for (at, call) in journal.calls.iter().enumerate() { tr {
            th scope="row" class="number" { (at + 1) }
            td { (text::time(call.now)) }
            td class="number" { @if let Some(first) = first.filter(|_| at > 0) {
                (text::duration(call.now.since(first)))
            } }
            td class="number" { (call.attempt) }
            td class="text" { (input(call)) }
            td class="text" { code { (text::foreign(&call.step.to_string())) } }
        } } }
    } } }
}

fn input(call: &JournalCall) -> Markup {
    let tries = |response: &JournalResponse| match response.tries {
        0 | 1 => String::new(),
        tries => format!(", try {tries}"),
    };
    html! { @match &call.input {
        Input::Begin => "begin",
        Input::Timer => "end of the wait",
        Input::Response(response) => {
            "response " strong { (response.status) } (tries(response)) ", " (size(&response.body))
        }
        Input::Failure { code, message, sent, last } => {
            "no response: " strong { (text::foreign(code)) } ", " (text::foreign(message))
            @if !sent { "; not sent" }
            @if let Some(last) = last { "; before it " (last.status) }
        }
    } }
}

fn size(body: &JournalBody) -> String {
    let length = match body {
        JournalBody::Text(text) => text.len(),
        JournalBody::Bytes(length) => *length,
    };
    text::bytes(length as u64)
}

/// Returns the input of the job, its settings and the responses.
fn contents(journal: &Journal) -> Markup {
    let mut left = BODIES_CHARS_MAX;
    let responses: Vec<(usize, &JournalResponse, String)> = journal
        .calls
        .iter()
        .enumerate()
        .filter_map(|(at, call)| match &call.input {
            Input::Response(response) => Some((at, response)),
            Input::Failure { last, .. } => last.as_ref().map(|last| (at, last)),
            Input::Begin | Input::Timer => None,
        })
        .map(|(at, response)| {
            let shown = body_text(&response.body, left.min(BODY_CHARS_MAX));
            left = left.saturating_sub(shown.len());
            (at, response, shown)
        })
        .collect();
    html! {
        h3 { "Input of the job" }
        pre tabindex="0" { (cut(journal.job.input.get(), BODY_CHARS_MAX)) }
        h3 { "Settings of the CSP" }
        pre tabindex="0" { (cut(journal.job.settings.get(), BODY_CHARS_MAX)) }
        @for (at, response, shown) in &responses {
            h3 { "Response before call " (at + 1) ": " (response.status) }
            p { code { (text::foreign(&response.url)) } }
            pre tabindex="0" {
                @for (name, value) in &response.headers {
                    (text::foreign(name)) ": " (text::foreign(value)) "\n"
                }
                "\n" (shown)
            }
        }
    }
}

fn body_text(body: &JournalBody, chars: usize) -> String {
    match body {
        JournalBody::Text(text) => cut(text, chars),
        JournalBody::Bytes(length) => format!("({length} bytes that are no text are not kept)"),
    }
}

/// Returns text with its lines, cut, and without characters that change the
/// order of others.
fn cut(text: &str, chars: usize) -> String {
    let lines: Vec<_> = text.lines().map(|line| printable(line).into_owned()).collect();
    let text = lines.join("\n");
    match text.char_indices().nth(chars) {
        None => text,
        Some((end, _)) => format!("{}…\n(cut; the saved journal has all of it)", &text[..end]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_bounded_and_keep_their_lines() {
        assert_eq!(cut("a\nb", 10), "a\nb");
        assert_eq!(cut("a\u{202e}b", 20), "a\\u{202e}b");
        assert_eq!(cut("äbc", 2), "äb…\n(cut; the saved journal has all of it)");
    }
}
