//! Leased batches: naming, acknowledging and releasing them.
//!
//! A batch is named by its receipts, so any host with the same queue knows what
//! is meant, and none has to remember it. The name is sealed, so that one which
//! was cut, mistyped, made up, or given by the other resource is told apart.

use std::time::Duration;

use axum::Json;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::Hmac;
use hmac::Mac as _;
use sha2::Sha256;

use super::ApiError;
use super::call::Call;
use super::schema::Done;
use crate::http::audit;
use crate::http::auth::Principal;
use hoth_core::domain::JobKind;
use hoth_core::domain::request;
use hoth_platform::failpoint;
use hoth_platform::failpoint::FailPoint;
use hoth_queue::BATCH_MAX;
use hoth_queue::QueueError;
use hoth_queue::QueueName;
use hoth_queue::Receipt;

/// The first bytes of a name: 128 bits cannot be guessed.
const SEAL_BYTES: usize = 16;

/// What names of batches are sealed with.
///
/// With a key, only hosts that have it can make a name. Without one, the seal
/// shows accidents alone; a name that was made up still does nothing, since
/// the receipts of a queue cannot be guessed either.
#[derive(Clone)]
pub struct Seal(Hmac<Sha256>);

impl Default for Seal {
    fn default() -> Self {
        Self::with(b"")
    }
}

impl Seal {
    /// A seal of this key; hosts that share queues share it.
    pub fn with(key: &[u8]) -> Self {
        Self(Hmac::new_from_slice(key).expect("HMAC takes keys of any length"))
    }

    /// The name of a batch of `kind`, in letters that fit a header and a URL.
    pub fn name(&self, kind: JobKind, receipts: &[&Receipt]) -> String {
        let packed = pack(receipts);
        let mac = self.over(kind, &packed).finalize().into_bytes();
        let mut bytes = mac[..SEAL_BYTES].to_vec();
        bytes.extend_from_slice(&packed);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// The receipts behind a name; none when no host with this key gave it for
    /// this `kind`.
    fn receipts(&self, kind: JobKind, name: &str) -> Option<Vec<Receipt>> {
        let bytes = URL_SAFE_NO_PAD.decode(name).ok()?;
        let (sealed, packed) = bytes.split_at_checked(SEAL_BYTES)?;
        self.over(kind, packed).verify_truncated_left(sealed).ok()?;
        unpack(packed).filter(|receipts| receipts.len() <= BATCH_MAX)
    }

    fn over(&self, kind: JobKind, packed: &[u8]) -> Hmac<Sha256> {
        let mut mac = self.0.clone();
        // No kind is the beginning of the other.
        mac.update(kind.as_str().as_bytes());
        mac.update(packed);
        mac
    }
}

/// How a receipt is written: with its length before it.
#[derive(Clone, Copy)]
enum Form {
    Text = 0,
    /// SQS's receipts are long, and base64 already: ten of them, encoded twice,
    /// would be too much for the headers that many proxies allow.
    Base64 = 1,
}

fn pack(receipts: &[&Receipt]) -> Vec<u8> {
    let mut packed = Vec::new();
    for receipt in receipts {
        let text = receipt.as_str();
        let decoded = STANDARD.decode(text).ok().filter(|bytes| STANDARD.encode(bytes) == text);
        let (form, bytes) = match decoded {
            Some(bytes) => (Form::Base64, bytes),
            None => (Form::Text, text.as_bytes().to_vec()),
        };
        let length = u16::try_from(bytes.len()).expect("receipts have less than 64 KiB");
        packed.push(form as u8);
        packed.extend_from_slice(&length.to_be_bytes());
        packed.extend_from_slice(&bytes);
    }
    packed
}

fn unpack(mut packed: &[u8]) -> Option<Vec<Receipt>> {
    let mut receipts = Vec::new();
    while let Some(([form, high, low], rest)) = packed.split_first_chunk() {
        let (bytes, rest) = rest.split_at_checked(u16::from_be_bytes([*high, *low]).into())?;
        let text = match *form {
            form if form == Form::Text as u8 => str::from_utf8(bytes).ok()?.to_owned(),
            form if form == Form::Base64 as u8 => STANDARD.encode(bytes),
            _ => return None,
        };
        receipts.push(Receipt::new(text));
        packed = rest;
    }
    packed.is_empty().then_some(receipts)
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
    let receipts = api.seal.receipts(kind, name).ok_or_else(|| ApiError::not_a_batch(field))?;
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
    let receipts = api.seal.receipts(kind, &name).ok_or_else(|| ApiError::not_a_batch("batch"))?;
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
        let given = [Receipt::new("1.22"), Receipt::new("QUJD"), Receipt::new("QUJD=")];
        let seal = Seal::with(b"key");
        let sealed = seal.name(jobs, &given.each_ref());
        assert_eq!(seal.receipts(jobs, &sealed).expect("given"), given);
        assert_eq!(Seal::with(b"key").receipts(jobs, &sealed).expect("given elsewhere"), given);
        assert_eq!(seal.receipts(costs, &sealed), None, "of the other resource");
        assert_eq!(Seal::with(b"other").receipts(jobs, &sealed), None, "of another key");
        for at in 0..sealed.len() {
            assert_eq!(seal.receipts(jobs, &sealed[..at]), None, "cut at {at}");
            let other = if sealed.as_bytes()[at] == b'A' { "B" } else { "A" };
            let mistyped = format!("{}{other}{}", &sealed[..at], &sealed[at + 1..]);
            assert_eq!(seal.receipts(jobs, &mistyped), None, "mistyped at {at}");
        }
        for garbage in ["", "garbage", "MS4yMg", "%", "é"] {
            assert_eq!(seal.receipts(jobs, garbage), None, "{garbage}");
        }
    }

    #[test]
    fn a_name_of_ten_sqs_receipts_fits_a_header_of_eight_kilobytes() {
        let receipt = Receipt::new(STANDARD.encode([7; 420]));
        let name = Seal::default().name(JobKind::Cost, &[&receipt; BATCH_MAX]);
        assert!(name.len() < 6_000, "{}", name.len());
    }
}
