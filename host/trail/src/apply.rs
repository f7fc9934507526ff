//! The state of a job, as its events say.

use std::time::Duration;

use crate::minutes::Minutes;
use crate::state::JobRow;
use crate::state::JobState;
use hoth_core::domain::Ended;
use hoth_core::domain::JobEvent;
use hoth_core::domain::JobEventKind;
use hoth_core::domain::JobRecord;
use hoth_core::domain::RequestTried;
use hoth_core::domain::Timestamp;
use hoth_core::domain::Waiting;

/// Applies a record to the row of its job, and counts its events.
pub(crate) fn apply(row: &mut JobRow, record: &JobRecord, minutes: &mut Minutes) {
    let job = &record.job;
    // A job that is accepted once more under its id, after its outcome was
    // forgotten, begins anew. Its time of acceptance tells it from an event
    // that arrives late.
    if let (Some(at), Some(known)) = (job.accepted_at, row.accepted_at)
        && at > known
    {
        let batches = row.batches;
        *row = JobRow { batches, ..JobRow::new(row.kind, std::mem::take(&mut row.id), at) };
    }
    row.accepted_at = row.accepted_at.or(job.accepted_at);
    if row.csp.is_none() {
        row.csp.clone_from(&job.csp);
    }
    row.operation = row.operation.or(job.operation);
    if row.portfolio_id.is_none() {
        row.portfolio_id = job.portfolio_id.as_ref().map(|id| id.as_str().to_owned());
    }
    for event in &record.events {
        let at = record.start_of(event);
        row.updated_at = row.updated_at.max(at + event.took.unwrap_or_default());
        apply_event(row, event, at, minutes);
    }
    row.events_dropped = row.events_dropped.saturating_add(record.dropped);
}

fn apply_event(row: &mut JobRow, event: &JobEvent, at: Timestamp, minutes: &mut Minutes) {
    match &event.what {
        JobEventKind::Accepted { by, repeated } => {
            if !repeated {
                minutes.of(at, row.csp.as_ref()).accepted += 1;
                row.accepted_by = by.as_deref().map(str::to_owned);
            }
        }
        JobEventKind::Received { attempt, .. } => row.attempt = *attempt,
        JobEventKind::AdapterCalled(called) => {
            row.version = Some(called.version.to_string());
            row.digest = Some(called.digest.to_string());
        }
        JobEventKind::RequestTried(tried) => {
            row.requests = row.requests.max(tried.request);
            count_call(row, tried, event.took.unwrap_or_default(), at, minutes);
        }
        JobEventKind::Waits(waiting) => wait(row, waiting, at),
        JobEventKind::Ended(ended) => end(row, ended, at, minutes),
        JobEventKind::DeadLettered { .. } => enter(row, JobState::Dead, at),
        JobEventKind::Collected { by } => {
            minutes.of(at, row.csp.as_ref()).collected += 1;
            row.collected_at = Some(at);
            row.collected_by = by.as_deref().map(str::to_owned);
            if row.state != JobState::Dead {
                enter(row, JobState::Collected, at);
            }
        }
        JobEventKind::Redelivered { .. } => {
            row.collected_at = None;
            row.collected_by = None;
            if row.state == JobState::Collected {
                enter(row, ready(row.code), at);
            }
        }
        JobEventKind::Redriven { .. } => {
            row.code = None;
            row.class = None;
            row.reason = None;
            row.ended_at = None;
            row.took_ms = None;
            row.collected_at = None;
            row.collected_by = None;
            let waits = row.next_look_at.is_some();
            enter(row, if waits { JobState::Waiting } else { JobState::Queued }, at);
        }
        JobEventKind::Purged { .. } => {
            if row.state == JobState::Dead {
                let collected = row.collected_at.is_some();
                enter(row, if collected { JobState::Collected } else { ready(row.code) }, at);
            }
        }
        JobEventKind::LookedNow { .. } => row.next_look_at = Some(at),
        JobEventKind::Logged { .. }
        | JobEventKind::Delayed { .. }
        | JobEventKind::CallHeld { .. }
        | JobEventKind::CredentialObtained(_)
        | JobEventKind::Held { .. }
        | JobEventKind::LeaseLost
        | JobEventKind::Interrupted
        | JobEventKind::Leased { .. }
        | JobEventKind::Released { .. }
        // The end of the job follows.
        | JobEventKind::Cancelled { .. }
        | JobEventKind::SettledByHand { .. }
        | JobEventKind::Unknown => {}
    }
}

fn wait(row: &mut JobRow, waiting: &Waiting, at: Timestamp) {
    row.note = Some(waiting.note.to_string());
    row.reference = waiting.reference.as_deref().map(str::to_owned);
    row.next_look_at = Some(waiting.next_at);
    row.deadline_at = Some(waiting.deadline_at);
    row.requests = waiting.requests;
    // A job that polls again is in the state in which it was.
    if row.state != JobState::Waiting {
        enter(row, JobState::Waiting, at);
    }
}

fn end(row: &mut JobRow, ended: &Ended, at: Timestamp, minutes: &mut Minutes) {
    let minute = minutes.of(at, row.csp.as_ref());
    match ended.code {
        ..400 => minute.ended_ok += 1,
        _ => minute.ended_failed += 1,
    }
    row.code = Some(ended.code);
    row.class = ended.class.as_deref().map(str::to_owned);
    row.reason = ended.reason.as_deref().map(str::to_owned);
    row.requests = ended.requests;
    row.ended_at = Some(at);
    row.took_ms = ended.took_ms;
    row.next_look_at = None;
    // The collection may be reported before the end.
    match (row.state, row.collected_at) {
        (JobState::Dead, _) => {}
        (_, Some(collected)) => enter(row, JobState::Collected, collected),
        (_, None) => enter(row, ready(row.code), at),
    }
}

fn count_call(
    row: &JobRow,
    tried: &RequestTried,
    took: Duration,
    at: Timestamp,
    minutes: &mut Minutes,
) {
    let failed = tried.failure.is_some() || tried.status.is_none_or(|status| status >= 400);
    let took = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    let minute = minutes.of(at, row.csp.as_ref());
    minute.calls += 1;
    minute.calls_failed += u64::from(failed);
    minute.call_ms_sum = minute.call_ms_sum.saturating_add(took);
    minute.call_ms_max = minute.call_ms_max.max(took);
}

fn enter(row: &mut JobRow, state: JobState, at: Timestamp) {
    row.state = state;
    row.since = at;
}

/// Returns the state of a job whose outcome is ready.
fn ready(code: Option<u16>) -> JobState {
    match code {
        Some(..400) => JobState::Succeeded,
        Some(_) | None => JobState::Failed,
    }
}
