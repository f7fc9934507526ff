//! Dead letters: list, show, redrive and purge.

use std::sync::Arc;

use axum::Extension;
use axum::Json;
use axum::extract::Path;
use axum::extract::Query;
use axum::extract::State;
use axum::extract::rejection::QueryRejection;
use axum::http::HeaderMap;
use bytes::Bytes;
use serde::Deserialize;
use serde::Serialize;

use super::body;
use super::error::AdminError;
use super::queues;
use super::state::AdminState;
use crate::http::audit;
use crate::http::auth::Access;
use crate::http::auth::Principal;
use hoth_core::domain::JobEventKind;
use hoth_core::domain::JobFacts;
use hoth_core::domain::JobRecord;
use hoth_core::domain::QueuedJob;
use hoth_core::domain::QueuedOutcome;
use hoth_core::domain::Timestamp;
use hoth_queue::DEAD_LETTERS_MAX;
use hoth_queue::DeadLetter;
use hoth_queue::DeadLetterId;
use hoth_queue::GroupId;
use hoth_queue::NewMessage;
use hoth_queue::QueueName;
use hoth_queue::Redrive;
use hoth_queue::Stage;

/// The default number of dead letters on one page.
const PAGE: usize = 100;

/// The number of dead letters in memory during the search for the selected
/// ones: each may have a mebibyte.
const SELECTED_PAGE: usize = 64;

/// The query parameters of `GET /queues/{name}/dead-letters`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Page {
    /// The id of the last dead letter of the previous page.
    after: Option<String>,
    /// The largest number of dead letters on this page.
    limit: Option<usize>,
}

/// One page of dead letters.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Listing {
    dead_letters: Vec<DeadLetterRow>,
}

/// A dead letter.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DeadLetterRow {
    id: String,
    /// The job's id.
    key: String,
    reason: String,
    sent_at: String,
    died_at: String,
    receive_count: u32,
    /// Business data; only in the response for a single dead letter, and only
    /// for the role `admin`.
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<String>,
}

/// A selection of dead letters. A missing criterion selects all of them.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct Selection {
    /// Ids of dead letters.
    ids: Option<Vec<String>>,
    /// Ids of jobs.
    keys: Option<Vec<String>>,
    /// A part of the reason.
    reason_contains: Option<String>,
    /// The largest number of dead letters; the oldest first.
    max: Option<u64>,
    /// Only counts; nothing changes.
    dry_run: bool,
    /// The queue's name again; required to purge.
    confirm: Option<String>,
}

/// The response to a redrive.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Redriven {
    /// The number of selected dead letters.
    matched: u64,
    /// The number of dead letters that are back on the queue.
    redriven: u64,
    /// The number of dead letters that cannot be decoded, and stay as they are.
    unreadable: u64,
}

impl Redriven {
    /// Returns the number of dead letters that are back on the queue.
    pub fn redriven(&self) -> u64 {
        self.redriven
    }
}

/// The response to a purge.
#[derive(Debug, Serialize)]
pub struct Purged {
    /// The number of selected dead letters.
    matched: u64,
    /// The number of deleted dead letters.
    purged: u64,
}

impl Purged {
    /// Returns the number of deleted dead letters.
    pub fn purged(&self) -> u64 {
        self.purged
    }
}

/// Handles `GET /queues/{name}/dead-letters`.
pub async fn list(
    State(state): State<Arc<AdminState>>,
    Path(name): Path<String>,
    page: Result<Query<Page>, QueryRejection>,
) -> Result<Json<Listing>, AdminError> {
    let queue = queues::find(&state, &name)?;
    let Query(page) = page.map_err(|bad| AdminError::BadRequest(bad.body_text()))?;
    // The queue contract bounds a listing, because each body may be large.
    let limit = page.limit.unwrap_or(PAGE).min(DEAD_LETTERS_MAX);
    let after = page.after.map(DeadLetterId::new);
    let letters = state.queue.dead_letters(queue, after.as_ref(), limit).await?;
    Ok(Json(Listing { dead_letters: letters.into_iter().map(|one| row(one, false)).collect() }))
}

/// Handles `GET /queues/{name}/dead-letters/{id}`: returns a dead letter, with
/// its body if the caller may read payloads.
pub async fn show(
    State(state): State<Arc<AdminState>>,
    Extension(principal): Extension<Principal>,
    Path((name, id)): Path<(String, String)>,
) -> Result<Json<DeadLetterRow>, AdminError> {
    let queue = queues::find(&state, &name)?;
    let ids = [DeadLetterId::new(&*id)];
    let found = state.queue.find_dead_letters(queue, &ids).await?.into_iter().next();
    let letter =
        found.ok_or_else(|| AdminError::NotFound(format!("`{name}` has no dead letter `{id}`")))?;
    Ok(Json(row(letter, principal.role.permits(Access::Administer))))
}

/// Handles `POST /queues/{name}/redrive`.
pub async fn post_redrive(
    State(state): State<Arc<AdminState>>,
    Extension(principal): Extension<Principal>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<Redriven>, AdminError> {
    queues::find(&state, &name)?;
    let selection = parse_selection(&headers, &body)?;
    redrive(&state, &principal, &name, &selection).await.map(Json)
}

/// Returns the selected dead letters to their queue.
///
/// A job resumes where it stopped, and ends with one more outcome.
///
/// # Errors
///
/// Returns an error if there is no such queue, or if the queue cannot be
/// reached. What was redriven before the error stays redriven.
pub async fn redrive(
    state: &AdminState,
    by: &Principal,
    name: &str,
    selection: &Selection,
) -> Result<Redriven, AdminError> {
    let queue = queues::find(state, name)?;
    let mut done = Redriven::default();
    let mut pages = SelectedPages::new(state, queue, selection);
    while let Some(letters) = pages.next().await? {
        for letter in letters {
            done.matched += 1;
            let Some(message) = redriven_message(queue, &letter) else {
                done.unreadable += 1;
                continue;
            };
            // One by one, each durably: after a crash or an error the rest are
            // still dead letters, and a repetition of the request redrives them.
            if !selection.dry_run {
                match state.queue.redrive(queue, &letter.id, message).await? {
                    Redrive::Sent => {
                        done.redriven += 1;
                        let by = Some(by.name().into());
                        observe(state, queue, &letter.key, JobEventKind::Redriven { by });
                    }
                    // Another operator has redriven or purged it meanwhile.
                    Redrive::NotFound => {}
                }
            }
        }
    }
    if !selection.dry_run {
        audit::redriven(by, name, done.redriven, done.unreadable);
    }
    Ok(done)
}

/// Handles `POST /queues/{name}/purge`.
pub async fn post_purge(
    State(state): State<Arc<AdminState>>,
    Extension(principal): Extension<Principal>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<Purged>, AdminError> {
    queues::find(&state, &name)?;
    let selection = parse_selection(&headers, &body)?;
    purge(&state, &principal, &name, &selection).await.map(Json)
}

/// Deletes the selected dead letters permanently.
///
/// # Errors
///
/// Returns an error if there is no such queue, if the selection does not
/// confirm its name, or if the queue cannot be reached.
pub async fn purge(
    state: &AdminState,
    by: &Principal,
    name: &str,
    selection: &Selection,
) -> Result<Purged, AdminError> {
    let queue = queues::find(state, name)?;
    // The name must be in the body as well: a request to a mistyped path, or a
    // script over all queues, does not delete by accident.
    if !selection.dry_run && selection.confirm.as_deref() != Some(name) {
        return Err(AdminError::Conflict(format!(
            "purging is permanent: send {{\"confirm\": \"{name}\"}}, or {{\"dryRun\": true}}"
        )));
    }
    let mut done = Purged { matched: 0, purged: 0 };
    let mut pages = SelectedPages::new(state, queue, selection);
    while let Some(letters) = pages.next().await? {
        let (ids, keys): (Vec<DeadLetterId>, Vec<String>) =
            letters.into_iter().map(|letter| (letter.id, letter.key)).unzip();
        done.matched += ids.len() as u64;
        if !selection.dry_run && !ids.is_empty() {
            done.purged += state.queue.discard(queue, &ids).await?;
            for key in keys {
                let by = Some(by.name().into());
                observe(state, queue, &key, JobEventKind::Purged { by });
            }
        }
    }
    if !selection.dry_run {
        audit::purged(by, name, done.purged);
    }
    Ok(done)
}

/// Returns the selection in the body; `{}` selects everything.
fn parse_selection(headers: &HeaderMap, body: &[u8]) -> Result<Selection, AdminError> {
    body::parse(headers, body, "a selection", "{} selects everything")
}

/// The selected dead letters, oldest first, one page at a time.
///
/// The caller may redrive or purge a page before it reads the next page.
struct SelectedPages<'a> {
    state: &'a AdminState,
    queue: &'a QueueName,
    selection: &'a Selection,
    /// The start of the walk. Later dead letters are skipped: a redriven message
    /// may fail again, and the walk would never end.
    started_at: Timestamp,
    /// The number of dead letters that may still be selected.
    remaining: u64,
    /// The part that has not been read.
    unread: Unread<'a>,
}

/// The dead letters that a walk has not read.
enum Unread<'a> {
    /// Those with these ids.
    Ids(std::slice::Chunks<'a, String>),
    /// Those behind this one, or all.
    Behind(Option<DeadLetterId>),
}

impl<'a> SelectedPages<'a> {
    fn new(state: &'a AdminState, queue: &'a QueueName, selection: &'a Selection) -> Self {
        let (started_at, remaining) = (state.clock.now(), selection.max.unwrap_or(u64::MAX));
        let unread = match &selection.ids {
            // Found by their ids: the others, and their bodies, are not read.
            Some(ids) => Unread::Ids(ids.chunks(SELECTED_PAGE)),
            None => Unread::Behind(None),
        };
        Self { state, queue, selection, started_at, remaining, unread }
    }

    /// Returns the selected dead letters of the next page; the list is empty if
    /// the page has none. Returns `None` at the end.
    async fn next(&mut self) -> Result<Option<Vec<DeadLetter>>, AdminError> {
        if self.remaining == 0 {
            return Ok(None);
        }
        let Some(page) = self.next_page().await? else { return Ok(None) };
        let is_selected = |letter: &DeadLetter| {
            letter.died_at <= self.started_at && self.selection.matches(letter)
        };
        let mut selected: Vec<DeadLetter> = page.into_iter().filter(is_selected).collect();
        selected.truncate(usize::try_from(self.remaining).unwrap_or(usize::MAX));
        self.remaining -= selected.len() as u64;
        Ok(Some(selected))
    }

    /// Reads the next dead letters. Returns `None` at the end.
    async fn next_page(&mut self) -> Result<Option<Vec<DeadLetter>>, AdminError> {
        let queue = &self.state.queue;
        match &mut self.unread {
            Unread::Ids(chunks) => {
                let Some(ids) = chunks.next() else { return Ok(None) };
                let ids: Vec<DeadLetterId> = ids.iter().map(DeadLetterId::new).collect();
                Ok(Some(queue.find_dead_letters(self.queue, &ids).await?))
            }
            Unread::Behind(after) => {
                let page = queue.dead_letters(self.queue, after.as_ref(), SELECTED_PAGE).await?;
                let Some(last) = page.last() else { return Ok(None) };
                // Over the whole page, whether or not it has a match.
                *after = Some(last.id.clone());
                Ok(Some(page))
            }
        }
    }
}

impl Selection {
    /// Selects what meets every criterion that is given. A purge needs the
    /// queue's name in `confirm`.
    pub fn new(
        ids: Option<Vec<String>>,
        reason_contains: Option<String>,
        max: Option<u64>,
        confirm: Option<String>,
    ) -> Self {
        Self { ids, reason_contains, max, confirm, ..Self::default() }
    }

    /// Returns `true` if the dead letter meets every criterion.
    fn matches(&self, letter: &DeadLetter) -> bool {
        let named = |names: &Option<Vec<String>>, name: &str| {
            names.as_ref().is_none_or(|names| names.iter().any(|one| one == name))
        };
        let reason = self.reason_contains.as_ref();
        named(&self.ids, letter.id.as_str())
            && named(&self.keys, &letter.key)
            && reason.is_none_or(|part| letter.reason.contains(part.as_str()))
    }
}

/// Returns the message to send for a dead letter, or `None` if it cannot be
/// decoded.
fn redriven_message(queue: &QueueName, letter: &DeadLetter) -> Option<NewMessage> {
    match queue.stage {
        Stage::Requests(_) | Stage::Polls(_) => {
            // The generation is part of every later deduplication key. Without a
            // new one, the queue would take the job's next outcome for a
            // repetition of the failure that was reported when the job died.
            let mut queued = QueuedJob::decode(&letter.body).ok()?;
            queued.generation = queued.generation.saturating_add(1);
            Some(NewMessage::redriven(&queued))
        }
        Stage::Outcomes => {
            let queued = QueuedOutcome::decode(&letter.body).ok()?;
            // The outcome stays in the group of its portfolio.
            let group = GroupId::new(letter.group.clone()).ok()?;
            Some(NewMessage::redriven_outcome(&queued, group, &letter.id))
        }
    }
}

/// Reports an event of a job whose dead letter was on `queue`. A dead letter of
/// the outcomes is one of a message, and its job is over.
fn observe(state: &AdminState, queue: &QueueName, key: &str, what: JobEventKind) {
    match queue.stage {
        Stage::Requests(_) | Stage::Polls(_) => {
            let job = JobFacts::of_id(queue.kind, key);
            state.observers.observe(JobRecord::of_one(job, state.clock.now(), what));
        }
        Stage::Outcomes => {}
    }
}

fn row(letter: DeadLetter, with_body: bool) -> DeadLetterRow {
    DeadLetterRow {
        id: letter.id.to_string(),
        key: letter.key,
        reason: letter.reason,
        sent_at: letter.sent_at.to_rfc3339(),
        died_at: letter.died_at.to_rfc3339(),
        receive_count: letter.receive_count,
        body: with_body.then_some(letter.body),
    }
}
