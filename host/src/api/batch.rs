//! Acknowledging and releasing leased batches.

use std::time::Duration;

use axum::Json;

use super::authed_request::AuthedRequest;
use super::error::ApiError;
use super::schema::Done;
use super::state::ApiState;
use crate::http::audit;
use crate::http::auth::Principal;
use crate::metrics::table;
use hoth_core::domain::JobEventKind;
use hoth_core::domain::JobKind;
use hoth_core::domain::request;
use hoth_platform::failpoint;
use hoth_platform::failpoint::FailPoint;
use hoth_queue::QueueError;
use hoth_queue::QueueName;

/// Handles `POST …/ack`: deletes a leased batch. Repeating it is harmless.
pub async fn ack(authed: AuthedRequest, kind: JobKind) -> Result<Json<Done>, ApiError> {
    let (api, principal) = (authed.api.clone(), authed.principal.clone());
    let name = request::batch(&authed.json().await?)?;
    acknowledge(&api, &principal, kind, &name, "batch").await?;
    Ok(Json(Done {}))
}

/// Deletes the batch `name`, which the request gives in `field`.
pub async fn acknowledge(
    api: &ApiState,
    principal: &Principal,
    kind: JobKind,
    name: &str,
    field: &str,
) -> Result<(), ApiError> {
    let receipts =
        api.batch_signer.verify(kind, name).ok_or_else(|| ApiError::not_a_batch(field))?;
    failpoint::reach(FailPoint::AcknowledgementReceived);
    // If the lease of one message has ended, the queue still deletes the others
    // before it reports the error.
    let deleted = api.queue.delete(&QueueName::outcomes(kind), &receipts).await;
    deleted.map_err(|error| batch_error(error, field))?;
    // A repeated acknowledgement counts again: its messages are gone already,
    // which no backend tells.
    table::OUTCOMES_COLLECTED.with(&[kind.as_str()]).increment(receipts.len() as u64);
    // After a crash here the client repeats the request, which is harmless. Only
    // the line in the audit trail is missing.
    failpoint::reach(FailPoint::BatchAcknowledged);
    audit::acknowledged(principal, kind, name);
    for id in api.leased.take(name) {
        let by = Some(principal.name().into());
        api.observe(kind, &id, JobEventKind::Collected { by });
    }
    Ok(())
}

/// Handles `POST …/release`: returns a leased batch to its queue.
pub async fn release(authed: AuthedRequest, kind: JobKind) -> Result<Json<Done>, ApiError> {
    let (api, principal) = (authed.api.clone(), authed.principal.clone());
    let name = request::batch(&authed.json().await?)?;
    let receipts =
        api.batch_signer.verify(kind, &name).ok_or_else(|| ApiError::not_a_batch("batch"))?;
    let queue = QueueName::outcomes(kind);
    // A lease that ends after zero seconds ends now: the messages are back at
    // once, in their old places.
    let released = api.queue.change_lease(&queue, &receipts, Duration::ZERO).await;
    released.map_err(|error| batch_error(error, "batch"))?;
    failpoint::reach(FailPoint::BatchReleased);
    audit::released(&principal, kind, &name);
    for id in api.leased.take(&name) {
        let by = Some(principal.name().into());
        api.observe(kind, &id, JobEventKind::Released { by });
    }
    Ok(Json(Done {}))
}

/// Maps a refused receipt to an invalid batch name.
///
/// The MAC of the name was right, so the receipt is of another backend, from
/// before the host was reconfigured.
fn batch_error(error: QueueError, field: &str) -> ApiError {
    if matches!(error, QueueError::Refused(_)) {
        return ApiError::not_a_batch(field);
    }
    error.into()
}
