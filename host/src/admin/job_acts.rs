//! The acts on one unfinished job: look now, cancel, settle by hand.
//!
//! Each takes the message of the job from its queue and replaces it, in one
//! step. A job that a worker has in hand is left alone: the act is refused, and
//! can be tried again.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

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
use serde_json::value::RawValue;
use tracing::info;
use tracing::warn;

use super::body;
use super::error::AdminError;
use super::jobs::JobQuery;
use super::jobs::kinds;
use super::state::AdminState;
use crate::http::audit;
use crate::http::auth::Principal;
use hoth_core::domain::Ended;
use hoth_core::domain::JobEvent;
use hoth_core::domain::JobEventKind;
use hoth_core::domain::JobFacts;
use hoth_core::domain::JobKind;
use hoth_core::domain::JobRecord;
use hoth_core::domain::QueuedJob;
use hoth_core::domain::QueuedOutcome;
use hoth_core::domain::event_text;
use hoth_core::workflow;
use hoth_core::workflow::JobError;
use hoth_core::workflow::Report;
use hoth_queue::Delivery;
use hoth_queue::Lease;
use hoth_queue::MessageLocation;
use hoth_queue::NewMessage;
use hoth_queue::QueueError;
use hoth_queue::QueueName;
use hoth_queue::Stage;
use hoth_queue::Take;
use hoth_runtime::checked_outcome;

/// The lease of an act on the message. It outlasts a commit to a slow disk; if
/// the process ends, so does the lease.
const LEASE: Duration = Duration::from_secs(30);

/// Tries to take the message of a job that moves from queue to queue meanwhile.
const TRIES_MAX: u32 = 3;

/// The longest reason for an act, in bytes. Enough for a sentence and a ticket,
/// and less than the trail keeps of a text.
const REASON_BYTES_MAX: usize = 500;

/// The answer to an act on a job.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Done {
    kind: JobKind,
    id: String,
    act: &'static str,
    /// A sentence for a person.
    detail: String,
    /// The code of the outcome, if the job has ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<u16>,
}

impl Done {
    /// Returns the kind of the job.
    pub fn kind(&self) -> JobKind {
        self.kind
    }
}

/// The body of `POST /jobs/{id}/cancel`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Cancel {
    reason: String,
}

/// The body of `POST /jobs/{id}/settle`: an outcome that an operator knows from
/// elsewhere.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ByHand {
    /// The reason for the act, for the audit and the trail.
    pub reason: String,
    /// 200 to 399 for a success, 400 to 599 for a failure.
    pub code: u16,
    /// A JSON object.
    pub response: Box<RawValue>,
    /// A JSON object; by default the reference that the job waits for.
    pub request: Option<Box<RawValue>>,
}

/// Handles `POST /jobs/{id}/look-now`.
pub async fn post_look_now(
    State(state): State<Arc<AdminState>>,
    Extension(principal): Extension<Principal>,
    Path(id): Path<String>,
    query: Result<Query<JobQuery>, QueryRejection>,
) -> Result<Json<Done>, AdminError> {
    look_now(state, principal, kind(query)?, id).await.map(Json)
}

/// Handles `POST /jobs/{id}/cancel`.
pub async fn post_cancel(
    State(state): State<Arc<AdminState>>,
    Extension(principal): Extension<Principal>,
    Path(id): Path<String>,
    query: Result<Query<JobQuery>, QueryRejection>,
    headers: HeaderMap,
    bytes: Bytes,
) -> Result<Json<Done>, AdminError> {
    let kind = kind(query)?;
    let example = "send {\"reason\": \"…\"}";
    let Cancel { reason } = body::parse(&headers, &bytes, "a reason", example)?;
    cancel(state, principal, kind, id, reason).await.map(Json)
}

/// Handles `POST /jobs/{id}/settle`.
pub async fn post_settle(
    State(state): State<Arc<AdminState>>,
    Extension(principal): Extension<Principal>,
    Path(id): Path<String>,
    query: Result<Query<JobQuery>, QueryRejection>,
    headers: HeaderMap,
    bytes: Bytes,
) -> Result<Json<Done>, AdminError> {
    let kind = kind(query)?;
    let example = "send {\"reason\": \"…\", \"code\": 200, \"response\": {}}";
    let outcome = body::parse(&headers, &bytes, "an outcome", example)?;
    settle_by_hand(state, principal, kind, id, outcome).await.map(Json)
}

fn kind(query: Result<Query<JobQuery>, QueryRejection>) -> Result<Option<JobKind>, AdminError> {
    let Query(query) = query.map_err(|bad| AdminError::BadRequest(bad.body_text()))?;
    Ok(query.kind)
}

/// Makes a waiting job due now: the next free worker polls its CSP. The look
/// counts as no delivery.
///
/// # Errors
///
/// Returns a conflict if the job does not wait, has ended, or is held back, with
/// the reason why looking now changes nothing.
pub async fn look_now(
    state: Arc<AdminState>,
    by: Principal,
    kind: Option<JobKind>,
    id: String,
) -> Result<Done, AdminError> {
    to_its_end(async move {
        let found = unfinished(&state, kind, &id).await?;
        let hold = found.queue.csp().and_then(|csp| state.statuses.hold_of(csp));
        if let Some(hold) = hold {
            return Err(AdminError::Conflict(format!("looking now changes nothing: {hold}")));
        }
        let job = take(&state, found, kind, &id).await?;
        let now = state.clock.now();
        let Some(from) = job.queued.resumption.as_ref().filter(|from| from.due_at > now) else {
            let message = "looking now changes nothing: the job does not wait for a time, and the \
                           next free worker takes it";
            return Err(AdminError::Conflict(message.to_owned()));
        };
        let next = workflow::look_now(from, now);
        let Taken { queued, queue, lease, .. } = job;
        let queued = queued.waiting(next);
        settle(&state, &queue, lease, &queue, NewMessage::waiting(&queued)).await?;
        audit::looked_now(&by, queued.job.kind, &id);
        let looked = JobEventKind::LookedNow { by: Some(by.name().into()) };
        state.observers.observe(JobRecord::of_one(JobFacts::of_queued(&queued), now, looked));
        let detail = format!("the next free worker asks {}", queued.job.csp);
        Ok(Done { kind: queued.job.kind, id, act: "look-now", detail, code: None })
    })
    .await
}

/// Ends a job with a failure message, which ServiceNow collects. The CSP is not
/// told, and `reason` is for the audit and the trail alone.
///
/// # Errors
///
/// Returns a conflict if a worker has the job in hand, or if it has ended.
pub async fn cancel(
    state: Arc<AdminState>,
    by: Principal,
    kind: Option<JobKind>,
    id: String,
    reason: String,
) -> Result<Done, AdminError> {
    let reason = checked_reason(&reason)?;
    to_its_end(async move {
        let job = take(&state, unfinished(&state, kind, &id).await?, kind, &id).await?;
        let error = JobError::cancelled(&job.queued, job.deliveries);
        let report = Report::of_error(&job.queued.job, job.queued.resumption.as_ref(), &error);
        let kind = job.queued.job.kind;
        let act =
            JobEventKind::Cancelled { by: Some(by.name().into()), reason: event_text(&reason) };
        let (report, outcome) = report.into_queued(&job.queued.job);
        end(&state, job, &report, outcome, act).await?;
        audit::cancelled(&by, kind, &id, &reason);
        Ok(Done { kind, id, act: "cancel", detail: error.to_string(), code: Some(report.code) })
    })
    .await
}

/// Ends a job with an outcome that an operator gives, checked as that of an
/// adapter. `reason` is for the audit and the trail alone.
///
/// # Errors
///
/// Returns an error if the outcome breaks a bound, and a conflict if a worker
/// has the job in hand, or if it has ended.
pub async fn settle_by_hand(
    state: Arc<AdminState>,
    by: Principal,
    kind: Option<JobKind>,
    id: String,
    given: ByHand,
) -> Result<Done, AdminError> {
    let reason = checked_reason(&given.reason)?;
    let request = given.request.map(|request| request.get().to_owned());
    let outcome_of = move |request: String| {
        checked_outcome(given.code, request, given.response.get().to_owned())
            .map_err(AdminError::BadRequest)
    };
    // Before the job is looked for, with the least request.
    outcome_of(request.clone().unwrap_or_else(|| "{}".to_owned()))?;
    to_its_end(async move {
        let job = take(&state, unfinished(&state, kind, &id).await?, kind, &id).await?;
        let by_default = || workflow::request_about(job.queued.resumption.as_ref());
        let request = request.unwrap_or_else(|| by_default().get().to_owned());
        let report = Report::by_hand(outcome_of(request)?);
        let outcome = report.try_queued(&job.queued.job);
        let outcome = outcome.map_err(|error| AdminError::BadRequest(error.to_string()))?;
        let kind = job.queued.job.kind;
        let act =
            JobEventKind::SettledByHand { by: Some(by.name().into()), reason: event_text(&reason) };
        let code = report.code;
        end(&state, job, &report, outcome, act).await?;
        audit::settled_by_hand(&by, kind, &id, code, &reason);
        let detail = format!("the outcome with code {code} is ready to be collected");
        Ok(Done { kind, id, act: "settle", detail, code: Some(code) })
    })
    .await
}

/// Returns a reason without space around it.
fn checked_reason(reason: &str) -> Result<String, AdminError> {
    let reason = reason.trim();
    match reason.len() {
        1..=REASON_BYTES_MAX => Ok(reason.to_owned()),
        0 => Err(AdminError::BadRequest("reason: must say why, for the audit".to_owned())),
        bytes => Err(AdminError::BadRequest(format!(
            "reason: has {bytes} bytes, and may have {REASON_BYTES_MAX}"
        ))),
    }
}

/// Runs an act to its end, even if its caller hangs up: an act that took effect
/// has its line in the audit.
async fn to_its_end(
    act: impl Future<Output = Result<Done, AdminError>> + Send + 'static,
) -> Result<Done, AdminError> {
    let done = tokio::spawn(act).await;
    done.unwrap_or_else(|panicked| Err(AdminError::Internal(panicked.into())))
}

/// A job whose message this act has.
struct Taken {
    queued: QueuedJob,
    queue: QueueName,
    lease: Lease,
    /// The number of times that work on the message was begun before.
    deliveries: u32,
}

/// Finds the message of an unfinished job.
///
/// # Errors
///
/// Returns a conflict if the job has ended, and an error if it is not known.
async fn unfinished(
    state: &AdminState,
    kind: Option<JobKind>,
    id: &str,
) -> Result<MessageLocation, AdminError> {
    for kind in kinds(kind) {
        let message = state.statuses.locate(kind, id).await?.message;
        if let Some(message) = message
            && message.queue.stage != Stage::Outcomes
        {
            return Ok(message);
        }
    }
    for kind in kinds(kind) {
        if let Some(status) = state.statuses.find(kind, id).await? {
            let message = format!("the job has ended: {}", status.detail);
            return Err(AdminError::Conflict(message));
        }
    }
    Err(AdminError::NotFound(format!("no queue holds the job {id:?}, and the trail has none")))
}

/// Takes the message of a job.
async fn take(
    state: &AdminState,
    mut found: MessageLocation,
    kind: Option<JobKind>,
    id: &str,
) -> Result<Taken, AdminError> {
    for _ in 0..TRIES_MAX {
        match state.queue.take(&found.queue, &found.id, LEASE).await? {
            Take::Taken(Delivery { message, lease }) => {
                let queued = QueuedJob::decode(&message.body).map_err(|error| {
                    let next = "the next worker makes it a dead letter";
                    AdminError::Conflict(format!("the stored job cannot be read: {error}; {next}"))
                })?;
                let deliveries = message.receive_count.saturating_sub(1);
                return Ok(Taken { queued, queue: found.queue, lease, deliveries });
            }
            Take::InHand { .. } => return Err(in_hand()),
            // It has moved on meanwhile.
            Take::NotFound => found = unfinished(state, kind, id).await?,
        }
    }
    Err(in_hand())
}

fn in_hand() -> AdminError {
    AdminError::Conflict(
        "a worker has the job in hand, alone or behind another one of its portfolio: try again \
         when it waits, or collect its outcome when it has ended"
            .to_owned(),
    )
}

/// Replaces the message of a job.
async fn settle(
    state: &AdminState,
    from: &QueueName,
    lease: Lease,
    to: &QueueName,
    message: NewMessage,
) -> Result<(), AdminError> {
    match state.queue.settle(from, lease.receipt(), to, message).await {
        Ok(()) => {
            lease.keep();
            Ok(())
        }
        Err(QueueError::LeaseEnded) => {
            // Another holder has the message.
            lease.keep();
            Err(in_hand())
        }
        Err(
            error @ (QueueError::Full
            | QueueError::Unreachable(_)
            | QueueError::NotOffered(_)
            | QueueError::Refused(_)),
        ) => Err(error.into()),
    }
}

/// Ends a job with the outcome of a report, and reports `act` and the end.
async fn end(
    state: &AdminState,
    job: Taken,
    report: &Report,
    outcome: QueuedOutcome,
    act: JobEventKind,
) -> Result<(), AdminError> {
    let Taken { queued, queue, lease, .. } = job;
    let outcome = outcome.traced(queued.trace.clone());
    let to = QueueName::outcomes(queued.job.kind);
    settle(state, &queue, lease, &to, NewMessage::outcome(&queued, &outcome)).await?;
    let now = state.clock.now();
    let took_ms = u64::try_from(now.since(queued.accepted_at).as_millis()).unwrap_or(u64::MAX);
    let requests = queued.resumption.as_ref().map_or(0, |from| from.requests);
    let ended = Ended { took_ms: Some(took_ms), ..report.ended(requests) };
    log_end(&queued, &ended);
    let mut record = JobRecord::of_one(JobFacts::of_queued(&queued), now, act);
    let what = JobEventKind::Ended(Box::new(ended));
    record.push(JobEvent { offset: Duration::ZERO, took: None, what });
    state.observers.observe(record);
    Ok(())
}

/// Logs the end of a job, with the fields of a job that a worker ends.
fn log_end(queued: &QueuedJob, ended: &Ended) {
    let Ended { code, class, reason, requests, took_ms } = ended;
    let (id, csp) = (queued.job.id.as_str(), &queued.job.csp);
    let (class, reason) = (class.as_deref(), reason.as_deref());
    match code {
        ..400 => {
            info!(event = "end", job.id = id, %csp, code, requests, took_ms, "Job ends by hand with code {code}");
        }
        _ => {
            warn!(event = "end", job.id = id, %csp, code, class, reason, requests, took_ms, "Job failed by hand");
        }
    }
}
