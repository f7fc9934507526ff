//! An accepted request.

use serde::Deserialize;
use serde::Serialize;
use serde_json::value::RawValue;

use super::CspName;
use super::Digest;
use super::JobKind;
use super::Operation;
use super::json::content;
use super::json::provisioning_input;

/// One accepted request, as it travels from the API to a worker.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Job {
    /// ServiceNow's `jobId` or `requestId`: the idempotency key.
    pub id: String,
    pub kind: JobKind,
    pub operation: Operation,
    pub csp: CspName,
    /// Never empty.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub portfolio_id: Option<String>,
    /// What was posted, verbatim but for a `jobId` that HOTH made.
    pub request: Box<RawValue>,
}

impl Job {
    /// The bound on a `jobId` or `requestId`, in bytes. Clients send UUIDs.
    pub const ID_BYTES_MAX: usize = 256;

    /// The name of the line that this job stands in at its CSP: jobs of one
    /// portfolio form one, and a job without a portfolio has its own.
    pub fn request_group(&self) -> String {
        let (what, name) = self.owner();
        Digest::of_fields(&[self.csp.as_str(), what, name]).short()
    }

    /// The name of the line that this job's outcome stands in.
    pub fn outcome_group(&self) -> String {
        let (what, name) = self.owner();
        Digest::of_fields(&[what, name]).short()
    }

    /// What an adapter reads: see `wit/v0.1/operations.md`.
    pub fn input(&self) -> String {
        match self.kind {
            JobKind::Provisioning => provisioning_input(&self.id, &self.request),
            JobKind::Cost => self.request.get().to_owned(),
        }
    }

    /// The idempotency key of the job's request with this ordinal, from 0. The
    /// same after a crash: it names the place of the request in the job, not
    /// the try. It names the content, too: where an id is used again for other
    /// work, the CSP must not take that for a repetition.
    pub fn request_key(&self, ordinal: u32) -> String {
        let content = self.content_digest().to_string();
        Digest::of_fields(&[self.csp.as_str(), &self.id, &content, &ordinal.to_string()]).short()
    }

    /// The digest of what was posted, whatever the order of its keys: tells a
    /// repetition from a conflict.
    pub fn content_digest(&self) -> Digest {
        // Maps of `Value` are sorted by key.
        Digest::of(content(&self.request).to_string().as_bytes())
    }

    fn owner(&self) -> (&'static str, &str) {
        match &self.portfolio_id {
            Some(portfolio) => ("portfolio", portfolio),
            None => ("job", &self.id),
        }
    }
}
