//! Messages that could not be worked off: listed, shown, put back, forgotten.

use std::sync::Arc;

use axum::Extension;
use axum::Json;
use axum::extract::Path;
use axum::extract::Query;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::extract::rejection::QueryRejection;
use serde::Deserialize;
use serde::Serialize;

use super::AdminState;
use super::error::AdminError;
use super::queues;
use crate::http::audit;
use crate::http::auth::Principal;
use hoth_core::domain::QueuedJob;
use hoth_core::domain::QueuedOutcome;
use hoth_core::domain::Timestamp;
use hoth_queue::DEAD_LETTERS_MAX;
use hoth_queue::DeadLetter;
use hoth_queue::NewMessage;
use hoth_queue::QueueName;
use hoth_queue::Stage;

/// Dead letters on one page where the caller does not say.
const PAGE: usize = 100;

/// Dead letters in memory while those that are meant are looked for: each may
/// have a mebibyte.
const WALK_PAGE: usize = 64;

/// `GET /queues/{name}/dead-letters`: which ones.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Page {
    /// Go on behind this one.
    after: Option<String>,
    limit: Option<usize>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Listing {
    dead_letters: Vec<Row>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Row {
    id: String,
    /// The job's id.
    key: String,
    reason: String,
    sent_at: String,
    died_at: String,
    receive_count: u32,
    /// Business data; only where one letter is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<String>,
}

/// Which dead letters an act is for; all that is left out lets all through.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct Selection {
    /// Dead letters by their ids.
    ids: Option<Vec<String>>,
    /// Dead letters of these jobs.
    keys: Option<Vec<String>>,
    /// Part of the reason.
    reason_contains: Option<String>,
    /// At most so many; the oldest first.
    max: Option<u64>,
    /// Only count.
    dry_run: bool,
    /// The queue's name once more; needed to purge.
    confirm: Option<String>,
}

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Redriven {
    /// Selected.
    matched: u64,
    /// Put back onto the queue.
    redriven: u64,
    /// Selected, but nobody can read them; they stay.
    unreadable: u64,
}

#[derive(Debug, Serialize)]
pub struct Purged {
    matched: u64,
    purged: u64,
}

/// `GET /queues/{name}/dead-letters`.
pub async fn list(
    State(state): State<Arc<AdminState>>,
    Path(name): Path<String>,
    page: Result<Query<Page>, QueryRejection>,
) -> Result<Json<Listing>, AdminError> {
    let queue = queues::find(&state, &name)?;
    let Query(page) = page.map_err(|bad| AdminError::BadRequest(bad.body_text()))?;
    let limit = page.limit.unwrap_or(PAGE).min(DEAD_LETTERS_MAX);
    let letters = state.queue.dead_letters(queue, page.after.as_deref(), limit).await?;
    Ok(Json(Listing { dead_letters: letters.into_iter().map(|one| row(one, false)).collect() }))
}

/// `GET /queues/{name}/dead-letters/{id}`: one, with its body.
pub async fn show(
    State(state): State<Arc<AdminState>>,
    Path((name, id)): Path<(String, String)>,
) -> Result<Json<Row>, AdminError> {
    let queue = queues::find(&state, &name)?;
    let wanted = Selection { ids: Some(vec![id.clone()]), max: Some(1), ..Selection::default() };
    let mut walk = Walk::new(&state, queue, &wanted);
    while let Some(found) = walk.next().await? {
        if let Some(letter) = found.into_iter().next() {
            return Ok(Json(row(letter, true)));
        }
    }
    Err(AdminError::NotFound(format!("`{name}` has no dead letter `{id}`")))
}

/// `POST /queues/{name}/redrive`: puts dead letters back onto their queue. A
/// job goes on where it stood, and ends in one more outcome.
pub async fn redrive(
    State(state): State<Arc<AdminState>>,
    Extension(principal): Extension<Principal>,
    Path(name): Path<String>,
    wanted: Result<Json<Selection>, JsonRejection>,
) -> Result<Json<Redriven>, AdminError> {
    let queue = queues::find(&state, &name)?;
    let wanted = selection(wanted)?;
    let mut done = Redriven::default();
    let mut walk = Walk::new(&state, queue, &wanted);
    while let Some(letters) = walk.next().await? {
        for letter in letters {
            done.matched += 1;
            let Some(message) = redriven(queue, &letter) else {
                done.unreadable += 1;
                continue;
            };
            if !wanted.dry_run && state.queue.revive(queue, &letter.id, message).await? {
                done.redriven += 1;
            }
        }
    }
    if !wanted.dry_run {
        audit::redrove(&principal, &name, done.redriven, done.unreadable);
    }
    Ok(Json(done))
}

/// `POST /queues/{name}/purge`: forgets dead letters for good.
pub async fn purge(
    State(state): State<Arc<AdminState>>,
    Extension(principal): Extension<Principal>,
    Path(name): Path<String>,
    wanted: Result<Json<Selection>, JsonRejection>,
) -> Result<Json<Purged>, AdminError> {
    let queue = queues::find(&state, &name)?;
    let wanted = selection(wanted)?;
    if !wanted.dry_run && wanted.confirm.as_ref() != Some(&name) {
        return Err(AdminError::Conflict(format!(
            "purging is for good: say {{\"confirm\": \"{name}\"}}, or {{\"dryRun\": true}}"
        )));
    }
    let mut done = Purged { matched: 0, purged: 0 };
    let mut walk = Walk::new(&state, queue, &wanted);
    while let Some(letters) = walk.next().await? {
        let ids: Vec<String> = letters.into_iter().map(|letter| letter.id).collect();
        done.matched += ids.len() as u64;
        if !wanted.dry_run && !ids.is_empty() {
            done.purged += state.queue.discard(queue, &ids).await?;
        }
    }
    if !wanted.dry_run {
        audit::purged(&principal, &name, done.purged);
    }
    Ok(Json(done))
}

/// An empty body selects everything.
fn selection(wanted: Result<Json<Selection>, JsonRejection>) -> Result<Selection, AdminError> {
    match wanted {
        Ok(Json(wanted)) => Ok(wanted),
        Err(JsonRejection::MissingJsonContentType(_)) => Ok(Selection::default()),
        Err(bad) => Err(AdminError::BadRequest(bad.body_text())),
    }
}

/// Goes through the dead letters that are meant, the oldest first, a page at a
/// time: what is on it may be put back or forgotten before the next one is
/// read.
struct Walk<'a> {
    state: &'a AdminState,
    queue: &'a QueueName,
    wanted: &'a Selection,
    /// What dies later is left for another time: a message that is put back may
    /// well die again, and again.
    begun: Timestamp,
    /// How many more may be selected.
    left: u64,
    after: Option<String>,
}

impl<'a> Walk<'a> {
    fn new(state: &'a AdminState, queue: &'a QueueName, wanted: &'a Selection) -> Self {
        let (begun, left) = (state.clock.now(), wanted.max.unwrap_or(u64::MAX));
        Self { state, queue, wanted, begun, left, after: None }
    }

    /// Those of the next page, of which there may be none; none at the end.
    async fn next(&mut self) -> Result<Option<Vec<DeadLetter>>, AdminError> {
        if self.left == 0 {
            return Ok(None);
        }
        let queue = &self.state.queue;
        let page = queue.dead_letters(self.queue, self.after.as_deref(), WALK_PAGE).await?;
        let Some(last) = page.last() else { return Ok(None) };
        self.after = Some(last.id.clone());
        let meant = |letter: &DeadLetter| letter.died_at <= self.begun && self.wanted.takes(letter);
        let mut selected: Vec<DeadLetter> = page.into_iter().filter(meant).collect();
        selected.truncate(usize::try_from(self.left).unwrap_or(usize::MAX));
        self.left -= selected.len() as u64;
        Ok(Some(selected))
    }
}

impl Selection {
    fn takes(&self, letter: &DeadLetter) -> bool {
        let named = |names: &Option<Vec<String>>, name: &String| {
            names.as_ref().is_none_or(|names| names.contains(name))
        };
        let reason = self.reason_contains.as_ref();
        named(&self.ids, &letter.id)
            && named(&self.keys, &letter.key)
            && reason.is_none_or(|part| letter.reason.contains(part.as_str()))
    }
}

/// The message that a dead letter becomes again; none if nobody can read it.
fn redriven(queue: &QueueName, letter: &DeadLetter) -> Option<NewMessage> {
    match queue.stage {
        Stage::Requests(_) | Stage::Polls(_) => {
            let mut queued = QueuedJob::decode(&letter.body).ok()?;
            queued.generation = queued.generation.saturating_add(1);
            Some(NewMessage::redriven(&queued))
        }
        Stage::Outcomes => {
            let queued = QueuedOutcome::decode(&letter.body).ok()?;
            Some(NewMessage::redriven_outcome(&queued, letter.group.clone(), &letter.id))
        }
    }
}

fn row(letter: DeadLetter, with_body: bool) -> Row {
    Row {
        id: letter.id,
        key: letter.key,
        reason: letter.reason,
        sent_at: letter.sent_at.to_rfc3339(),
        died_at: letter.died_at.to_rfc3339(),
        receive_count: letter.receive_count,
        body: with_body.then_some(letter.body),
    }
}
