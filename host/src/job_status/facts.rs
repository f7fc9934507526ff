//! The facts that message and trail row of a job add to its status.

use std::borrow::Cow;
use std::time::Duration;

use serde::Deserialize;

use super::JobStatus;
use super::OutcomeView;
use super::ProgressView;
use super::StatusWord;
use super::sentence;
use hoth_core::domain::CspName;
use hoth_core::domain::JobKind;
use hoth_core::domain::Operation;
use hoth_core::domain::QueuedJob;
use hoth_core::domain::QueuedOutcome;
use hoth_core::domain::Timestamp;
use hoth_core::domain::event_id;
use hoth_core::domain::event_text;
use hoth_trail::JobRow;
use hoth_trail::JobState;

/// Returns the status of a job of which only the id is known.
pub fn of_id(kind: JobKind, id: &str) -> JobStatus {
    let id = Some(id.to_owned());
    let (job_id, request_id) = match kind {
        JobKind::Provisioning => (id, None),
        JobKind::Cost => (None, id),
    };
    JobStatus {
        job_id,
        request_id,
        operation_type: None,
        target_csp_name: None,
        portfolio_id: None,
        state: StatusWord::Queued,
        since: Timestamp::from_millis(0),
        accepted_at: None,
        detail: String::new(),
        requests: 0,
        progress: None,
        next_look_at: None,
        deadline_at: None,
        outcome: None,
        observed_by: None,
    }
}

/// Returns what the trail knows of a job. State and sentence are still missing.
pub fn of_row(row: &JobRow) -> JobStatus {
    // A report of the CSP says nothing once the job has ended.
    let waits = row.state == JobState::Waiting;
    let note = row.note.clone().filter(|_| waits);
    JobStatus {
        operation_type: row.operation.and_then(|one| operation_type(row.kind, one)).map(Cow::from),
        target_csp_name: row.csp.clone(),
        portfolio_id: row.portfolio_id.clone(),
        since: row.since,
        accepted_at: row.accepted_at,
        requests: row.requests,
        progress: note.map(|note| ProgressView {
            reference: row.reference.clone(),
            note,
            details: None,
        }),
        next_look_at: row.next_look_at.filter(|_| waits),
        deadline_at: row.deadline_at.filter(|_| waits),
        ..of_id(row.kind, &row.id)
    }
}

/// Adds what the message of a job says. It is newer than the trail.
pub fn add_job(status: &mut JobStatus, queued: &QueuedJob, deadline: Duration) {
    let job = &queued.job;
    status.operation_type = operation_type(job.kind, job.operation).map(Cow::from);
    status.target_csp_name = Some(job.csp.clone());
    status.portfolio_id = job.portfolio_id.as_ref().map(|id| id.as_str().to_owned());
    status.accepted_at = Some(queued.accepted_at);
    let Some(from) = &queued.resumption else { return };
    status.requests = from.requests;
    status.next_look_at = Some(from.due_at);
    status.deadline_at = Some(from.waiting_since + deadline);
    status.progress = Some(ProgressView {
        reference: from.progress.reference.as_deref().map(|text| event_id(text).into()),
        note: event_text(&from.progress.note).into(),
        details: from.progress.details.clone(),
    });
}

/// Returns the word of the API. Cost requests have none.
fn operation_type(kind: JobKind, operation: Operation) -> Option<&'static str> {
    match kind {
        JobKind::Provisioning => Some(operation.api_name()),
        JobKind::Cost => None,
    }
}

/// Makes it the status of a job that waits for its CSP.
pub fn wait(
    status: &mut JobStatus,
    csp: Option<&CspName>,
    since: Timestamp,
    is_poll: bool,
    now: Timestamp,
) {
    status.state = StatusWord::Waiting;
    status.since = since;
    let note = status.progress.as_ref().map(|progress| progress.note.as_str());
    let times = sentence::WaitTimes {
        since,
        next_look_at: status.next_look_at,
        deadline_at: status.deadline_at,
        now,
    };
    status.detail = sentence::waiting(csp, note, is_poll, times);
}

/// Makes it the status of a job whose outcome has not been collected.
pub fn ready(
    status: &mut JobStatus,
    code: Option<u16>,
    at: Timestamp,
    reason: Option<&str>,
    leased: bool,
    now: Timestamp,
) {
    let failed = code.is_none_or(|code| code >= 400);
    status.state = if failed { StatusWord::Failed } else { StatusWord::Succeeded };
    status.since = at;
    end(status);
    status.outcome = Some(OutcomeView { code, at: Some(at), collected_at: None });
    status.detail = sentence::ready(code, at, reason, leased, now);
}

/// Makes it the status of a job whose outcome has been collected.
pub fn collect(
    status: &mut JobStatus,
    code: Option<u16>,
    at: Option<Timestamp>,
    collected_at: Timestamp,
    now: Timestamp,
) {
    status.state = StatusWord::Collected;
    status.since = collected_at;
    end(status);
    status.outcome = Some(OutcomeView { code, at, collected_at: Some(collected_at) });
    status.detail = sentence::collected(code, collected_at, now);
}

/// Removes what is true only of an unfinished job.
fn end(status: &mut JobStatus) {
    status.progress = None;
    status.next_look_at = None;
    status.deadline_at = None;
}

/// Returns the code in the text of a queued outcome.
pub fn code_of(text: &str) -> Option<u16> {
    #[derive(Deserialize)]
    struct Coded {
        code: u16,
    }
    let (message, _) = QueuedOutcome::message_of(text).ok()?;
    serde_json::from_str::<Coded>(message).ok().map(|coded| coded.code)
}
