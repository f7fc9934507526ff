//! Leased batches: naming, acknowledging and releasing them.
//!
//! A batch is named by its receipts, so any host with the same queue knows what
//! is meant, and none has to remember it. A name is sealed with a digest: it
//! shows a name that was cut, mistyped, or given by the other resource. It is no
//! signature, and need not be one: what a receipt of the queue itself allows
//! cannot be guessed.

use std::time::Duration;

use axum::Json;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::ApiError;
use super::call::Call;
use super::schema::Done;
use crate::audit;
use crate::auth::Principal;
use crate::domain::Digest;
use crate::domain::JobKind;
use crate::domain::request;
use crate::failpoint;
use crate::failpoint::FailPoint;
use crate::queue::BATCH_MAX;
use crate::queue::QueueError;
use crate::queue::QueueName;
use crate::queue::Receipt;

/// The first bytes of a name: enough to tell an accident.
const SEAL_BYTES: usize = 8;

/// The name of a batch of `kind`, in letters that fit a header and a URL.
pub fn name(kind: JobKind, receipts: &[&Receipt]) -> String {
    let texts: Vec<&str> = receipts.iter().map(|receipt| receipt.as_str()).collect();
    let text = texts.join("\n");
    let mut bytes = seal(kind, &text).to_vec();
    bytes.extend_from_slice(text.as_bytes());
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The receipts behind a name; none when HOTH never gave it for this `kind`.
fn receipts(kind: JobKind, name: &str) -> Option<Vec<Receipt>> {
    let bytes = URL_SAFE_NO_PAD.decode(name).ok()?;
    let (sealed, text) = bytes.split_at_checked(SEAL_BYTES)?;
    let text = str::from_utf8(text).ok()?;
    let receipts: Vec<Receipt> = text.split('\n').map(Receipt::new).collect();
    (sealed == seal(kind, text) && receipts.len() <= BATCH_MAX).then_some(receipts)
}

fn seal(kind: JobKind, text: &str) -> [u8; SEAL_BYTES] {
    let digest = Digest::of_fields(&[kind.as_str(), "batch", text]);
    *digest.as_bytes().first_chunk().expect("a digest is longer")
}

/// `POST …/ack`: deletes a leased batch. Twice is as good as once.
pub async fn ack(call: Call, kind: JobKind) -> Result<Json<Done>, ApiError> {
    let (api, principal) = (call.api.clone(), call.principal.clone());
    let name = request::batch(&call.json().await?)?;
    acknowledge(&api, &principal, kind, &name, "batch").await?;
    Ok(Json(Done {}))
}

/// Deletes the batch `name`, which the caller gave as `field`.
pub async fn acknowledge(
    api: &super::ApiState,
    principal: &Principal,
    kind: JobKind,
    name: &str,
    field: &str,
) -> Result<(), ApiError> {
    let receipts = receipts(kind, name).ok_or_else(|| ApiError::not_a_batch(field))?;
    failpoint::reach(FailPoint::AcknowledgementReceived);
    let deleted = api.queue.delete(&QueueName::outcomes(kind), &receipts).await;
    deleted.map_err(|error| refused_is_bad(error, field))?;
    failpoint::reach(FailPoint::BatchAcknowledged);
    audit::acknowledged(principal, kind, name);
    Ok(())
}

/// `POST …/release`: puts a leased batch back.
pub async fn release(call: Call, kind: JobKind) -> Result<Json<Done>, ApiError> {
    let (api, principal) = (call.api.clone(), call.principal.clone());
    let name = request::batch(&call.json().await?)?;
    let receipts = receipts(kind, &name).ok_or_else(|| ApiError::not_a_batch("batch"))?;
    let queue = QueueName::outcomes(kind);
    let released = api.queue.change_lease(&queue, &receipts, Duration::ZERO).await;
    released.map_err(|error| refused_is_bad(error, "batch"))?;
    failpoint::reach(FailPoint::BatchReleased);
    audit::released(&principal, kind, &name);
    Ok(Json(Done {}))
}

/// A receipt that this queue never wrote is one of another backend, from before
/// the host was set up anew.
fn refused_is_bad(error: QueueError, field: &str) -> ApiError {
    if matches!(error, QueueError::Refused(_)) {
        return ApiError::not_a_batch(field);
    }
    error.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_back_and_no_other_is() {
        let (jobs, costs) = (JobKind::Provisioning, JobKind::Cost);
        let given = [Receipt::new("1.22"), Receipt::new("3.44")];
        let sealed = name(jobs, &given.each_ref());
        assert_eq!(receipts(jobs, &sealed).expect("given"), given);
        assert_eq!(receipts(costs, &sealed), None, "of the other resource");
        for at in 0..sealed.len() {
            assert_eq!(receipts(jobs, &sealed[..at]), None, "cut at {at}");
            let other = if sealed.as_bytes()[at] == b'A' { "B" } else { "A" };
            let mistyped = format!("{}{other}{}", &sealed[..at], &sealed[at + 1..]);
            assert_eq!(receipts(jobs, &mistyped), None, "mistyped at {at}");
        }
        for garbage in ["", "garbage", "MS4yMg", "%", "é"] {
            assert_eq!(receipts(jobs, garbage), None, "{garbage}");
        }
    }
}
