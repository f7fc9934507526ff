//! The audit trail: one log line per act, under a log target of its own.
//!
//! Every line has `act`, `by` (a key's name, or `anyone` on a host without
//! keys) and the ids of the objects concerned. No line holds a secret: the name
//! of a batch would let its reader acknowledge the batch, so the line holds its
//! digest. Names and ids are fields of type text, which the log quotes and
//! escapes, so none of them can look like another field.

use tracing::info;

use super::auth::Principal;
use hoth_core::domain::CspName;
use hoth_core::domain::Digest;
use hoth_core::domain::JobId;
use hoth_core::domain::JobKind;
use hoth_core::domain::Operation;

/// The log target of every line, for log filters.
pub const TARGET: &str = "audit";

/// The two results of a submission that the queue has accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Submission {
    /// The job is new.
    New,
    /// The job was accepted before, with the same content.
    Repeat,
}

/// Records that a job was submitted.
pub fn submitted(
    by: &Principal,
    job_id: &JobId,
    csp: &CspName,
    operation: Operation,
    submission: Submission,
) {
    let (again, message) = match submission {
        Submission::New => (false, "Job accepted"),
        Submission::Repeat => (true, "Job was accepted before"),
    };
    info!(target: TARGET, act = "submit", by = by.name(), job.id = job_id.as_str(), %csp, %operation, again, "{message}");
}

/// Records that an outcome was consumed.
pub fn collected(by: &Principal, kind: JobKind, job_id: &str) {
    let kind = kind.as_str();
    info!(target: TARGET, act = "collect", by = by.name(), kind, job.id = job_id, "Outcome collected");
}

/// Records that an outcome was leased, as part of a batch.
pub fn leased(by: &Principal, kind: JobKind, job_id: &str, batch: &str) {
    let (kind, batch) = (kind.as_str(), digest(batch));
    info!(target: TARGET, act = "lease", by = by.name(), kind, job.id = job_id, batch, "Outcome leased");
}

/// Records that a leased batch was deleted.
pub fn acknowledged(by: &Principal, kind: JobKind, batch: &str) {
    let (kind, batch) = (kind.as_str(), digest(batch));
    info!(target: TARGET, act = "acknowledge", by = by.name(), kind, batch, "Batch acknowledged");
}

/// Records that a leased batch was returned to its queue.
pub fn released(by: &Principal, kind: JobKind, batch: &str) {
    let (kind, batch) = (kind.as_str(), digest(batch));
    info!(target: TARGET, act = "release", by = by.name(), kind, batch, "Batch released");
}

/// Records that consumed outcomes were redelivered; `asked` is the selection.
pub fn redelivered(by: &Principal, kind: JobKind, asked: &str, redelivered: u64) {
    let kind = kind.as_str();
    info!(target: TARGET, act = "redeliver", by = by.name(), kind, asked, redelivered, "Outcomes redelivered");
}

/// Records that a version of an adapter was activated; `replay` is the policy
/// that the caller chose.
pub fn deployed(by: &Principal, adapter: &str, sha256: &str, replay: &str) {
    info!(target: TARGET, act = "deploy", by = by.name(), adapter, sha256, replay, "Adapter deployed");
}

/// Records that an earlier version of an adapter was activated.
pub fn rolled_back(by: &Principal, adapter: &str, sha256: &str) {
    info!(target: TARGET, act = "roll-back", by = by.name(), adapter, sha256, "Adapter rolled back");
}

/// Records that a retained version was replayed on demand.
pub fn replayed(by: &Principal, adapter: &str, sha256: &str, verdict: &str) {
    info!(target: TARGET, act = "replay", by = by.name(), adapter, sha256, verdict, "Adapter replayed");
}

/// Records that a CSP was paused.
pub fn paused(by: &Principal, csp: &str) {
    info!(target: TARGET, act = "pause", by = by.name(), csp, "CSP paused");
}

/// Records that a CSP was resumed.
pub fn resumed(by: &Principal, csp: &str) {
    info!(target: TARGET, act = "resume", by = by.name(), csp, "CSP resumed");
}

/// Records that this host was drained.
pub fn drained(by: &Principal, host: &str) {
    info!(target: TARGET, act = "drain", by = by.name(), host, "Host drained");
}

/// Records that this host takes jobs again.
pub fn host_resumed(by: &Principal, host: &str) {
    info!(target: TARGET, act = "resume-host", by = by.name(), host, "Host resumed");
}

/// Records that the breakers of a CSP were reset; `open` of them were open.
pub fn breaker_reset(by: &Principal, csp: &str, open: usize) {
    info!(target: TARGET, act = "reset-breaker", by = by.name(), csp, open, "Breaker reset");
}

/// Records that dead letters were returned to their queue.
pub fn redriven(by: &Principal, queue: &str, redriven: u64, unreadable: u64) {
    info!(target: TARGET, act = "redrive", by = by.name(), queue, redriven, unreadable, "Dead letters redriven");
}

/// Records that dead letters were deleted.
pub fn purged(by: &Principal, queue: &str, purged: u64) {
    info!(target: TARGET, act = "purge", by = by.name(), queue, purged, "Dead letters purged");
}

/// Records that an operator had a job resumed before it was due.
pub fn looked_now(by: &Principal, kind: JobKind, job_id: &str) {
    let kind = kind.as_str();
    info!(target: TARGET, act = "look-now", by = by.name(), job.id = job_id, kind, "Job looked at");
}

/// Records that an operator cancelled a job, for the `reason` given.
pub fn cancelled(by: &Principal, kind: JobKind, job_id: &str, reason: &str) {
    let kind = kind.as_str();
    info!(target: TARGET, act = "cancel", by = by.name(), job.id = job_id, kind, reason, "Job cancelled");
}

/// Records that an operator settled a job with an outcome of this `code`, for
/// the `reason` given.
pub fn settled_by_hand(by: &Principal, kind: JobKind, job_id: &str, code: u16, reason: &str) {
    let kind = kind.as_str();
    info!(target: TARGET, act = "settle-by-hand", by = by.name(), job.id = job_id, kind, code, reason, "Job settled by hand");
}

/// Records that an authenticated caller was refused for its role.
pub fn forbidden(by: &Principal, method: &str, path: &str) {
    info!(target: TARGET, act = "forbid", by = by.name(), method, path, "Request forbidden");
}

/// Records that a person logged in to the console.
pub fn logged_in(by: &Principal) {
    info!(target: TARGET, act = "log-in", by = by.name(), "Logged in to the console");
}

/// Records that a person logged out of the console.
pub fn logged_out(by: &Principal) {
    info!(target: TARGET, act = "log-out", by = by.name(), "Logged out of the console");
}

/// Records an attempt to log in with a key that is unknown or not allowed.
pub fn login_refused() {
    info!(target: TARGET, act = "log-in-refused", by = "unknown", "Login refused");
}

/// Records that a person read a payload.
pub fn payload_read(by: &Principal, queue: &str, id: &str) {
    info!(target: TARGET, act = "read-payload", by = by.name(), queue, id, "Payload read");
}

/// Records that a person or a program read the content of a journal.
pub fn journal_read(by: &Principal, adapter: &str, journal: &str) {
    info!(target: TARGET, act = "read-journal", by = by.name(), adapter, journal, "Journal read");
}

/// Records that the keys were reloaded.
pub fn keys_reloaded(keys: &[&str]) {
    let keys = keys.join(", ");
    info!(target: TARGET, act = "rekey", by = "configuration", keys, "Keys reloaded");
}

/// Returns the digest that stands for a batch in every line.
fn digest(batch: &str) -> String {
    Digest::of(batch.as_bytes()).short()
}
