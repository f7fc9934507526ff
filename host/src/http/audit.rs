//! The audit trail: who did what, as log lines with a target of their own.
//!
//! Every line has `act`, `by` (a key's name, or `anyone` on a host without
//! keys) and the ids of what was acted upon. Nothing here is a secret: a
//! batch, whose name would let its reader acknowledge it, stands as a digest.

use tracing::info;

use crate::http::auth::Principal;
use hoth_core::domain::CspName;
use hoth_core::domain::Digest;
use hoth_core::domain::JobKind;
use hoth_core::domain::Operation;

/// The target of every line, for log filters.
pub const TARGET: &str = "audit";

/// A job was accepted; `again` when it had been before.
pub fn submitted(by: &Principal, job_id: &str, csp: &CspName, operation: Operation, again: bool) {
    let words = if again { "Job was accepted before" } else { "Job accepted" };
    info!(target: TARGET, act = "submit", %by, job.id = %job_id, %csp, %operation, again, "{words}");
}

/// An outcome was handed out for good.
pub fn collected(by: &Principal, kind: JobKind, job_id: &str) {
    let kind = kind.as_str();
    info!(target: TARGET, act = "collect", %by, kind, job.id = %job_id, "Outcome collected");
}

/// An outcome was leased, as part of a batch.
pub fn leased(by: &Principal, kind: JobKind, job_id: &str, batch: &str) {
    let (kind, batch) = (kind.as_str(), digest(batch));
    info!(target: TARGET, act = "lease", %by, kind, job.id = %job_id, batch, "Outcome leased");
}

/// A leased batch was deleted.
pub fn acknowledged(by: &Principal, kind: JobKind, batch: &str) {
    let (kind, batch) = (kind.as_str(), digest(batch));
    info!(target: TARGET, act = "acknowledge", %by, kind, batch, "Batch acknowledged");
}

/// A leased batch was put back.
pub fn released(by: &Principal, kind: JobKind, batch: &str) {
    let (kind, batch) = (kind.as_str(), digest(batch));
    info!(target: TARGET, act = "release", %by, kind, batch, "Batch released");
}

/// Consumed outcomes were put back; `asked` says which were asked for.
pub fn redelivered(by: &Principal, kind: JobKind, asked: &str, redelivered: u64) {
    let kind = kind.as_str();
    info!(target: TARGET, act = "redeliver", %by, kind, asked, redelivered, "Outcomes put back");
}

/// A version of an adapter became the active one; `replay` is what the caller
/// said that a replay decides.
pub fn deployed(by: &Principal, adapter: &str, sha256: &str, replay: &str) {
    info!(target: TARGET, act = "deploy", %by, adapter, sha256, replay, "Adapter deployed");
}

/// The version before became the active one.
pub fn rolled_back(by: &Principal, adapter: &str, sha256: &str) {
    info!(target: TARGET, act = "roll-back", %by, adapter, sha256, "Adapter rolled back");
}

/// A CSP's jobs wait.
pub fn paused(by: &Principal, csp: &str) {
    info!(target: TARGET, act = "pause", %by, csp, "Paused");
}

/// A CSP's jobs go on.
pub fn resumed(by: &Principal, csp: &str) {
    info!(target: TARGET, act = "resume", %by, csp, "Resumed");
}

/// Dead letters were put back onto their queue.
pub fn redrove(by: &Principal, queue: &str, redriven: u64, unreadable: u64) {
    info!(target: TARGET, act = "redrive", %by, queue, redriven, unreadable, "Dead letters redriven");
}

/// Dead letters were forgotten for good.
pub fn purged(by: &Principal, queue: &str, purged: u64) {
    info!(target: TARGET, act = "purge", %by, queue, purged, "Dead letters purged");
}

/// A known caller asked for what its role does not allow.
pub fn forbade(by: &Principal, method: &str, path: &str) {
    info!(target: TARGET, act = "forbid", %by, method, path, "Not allowed");
}

/// Other keys count from now on.
pub fn rekeyed(keys: &[&str]) {
    let keys = keys.join(", ");
    info!(target: TARGET, act = "rekey", by = "configuration", keys, "Keys read again");
}

/// The same batch has the same digest in every line.
fn digest(batch: &str) -> String {
    Digest::of(batch.as_bytes()).short()
}
