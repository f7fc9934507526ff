//! Jobs: accepted requests.

use serde::Deserialize;
use serde::Serialize;
use serde_json::value::RawValue;

use super::CspName;
use super::Digest;
use super::JobId;
use super::JobKind;
use super::Operation;
use super::PortfolioId;
use super::json;

/// One accepted request, on its way from the API to a worker.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Job {
    /// ServiceNow's `jobId` or `requestId`: the idempotency key.
    pub id: JobId,
    pub kind: JobKind,
    pub operation: Operation,
    pub csp: CspName,
    /// The portfolio, or `None` if the request names none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub portfolio_id: Option<PortfolioId>,
    /// The digest of the request's content, from when it was read. `None` in
    /// the messages of releases that did not store it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub content: Option<Digest>,
    /// The posted request, verbatim except for a `jobId` that HOTH generated.
    pub request: Box<RawValue>,
}

impl Job {
    /// Returns the group of this job on its request queue. The jobs of one
    /// portfolio at one CSP share a group, and a job without a portfolio has a
    /// group of its own.
    pub fn request_group(&self) -> String {
        Self::request_group_of(&self.csp, self.portfolio_id.as_ref(), self.id.as_str())
    }

    /// Returns the group of a request with these facts: see
    /// [`Job::request_group`].
    pub fn request_group_of(csp: &CspName, portfolio: Option<&PortfolioId>, id: &str) -> String {
        let (what, name) = owner(portfolio, id);
        Digest::of_fields(&[csp.as_str(), what, name]).short()
    }

    /// Returns the group of an outcome with these facts: see
    /// [`Job::outcome_group`].
    pub fn outcome_group_of(portfolio: Option<&PortfolioId>, id: &str) -> String {
        let (what, name) = owner(portfolio, id);
        Digest::of_fields(&[what, name]).short()
    }

    /// Returns the group of this job's outcome: one for each portfolio, over
    /// all CSPs.
    pub fn outcome_group(&self) -> String {
        Self::outcome_group_of(self.portfolio_id.as_ref(), self.id.as_str())
    }

    /// Returns the input of an adapter: see `wit/v0.2/operations.md`.
    pub fn input(&self) -> String {
        match self.kind {
            JobKind::Provisioning => json::provisioning_input(self.id.as_str(), &self.request),
            JobKind::Cost => self.request.get().to_owned(),
        }
    }

    /// Returns the idempotency key of the job's request with this ordinal, from
    /// 0. The key is the same after a crash, because the ordinal counts
    /// requests and not attempts. The key depends on the content, too: if a
    /// client uses an id again for other work, the CSP must not take that for a
    /// repetition.
    pub fn request_key(&self, ordinal: u32) -> String {
        let content = self.content_digest().to_string();
        Digest::of_fields(&[self.csp.as_str(), self.id.as_str(), &content, &ordinal.to_string()])
            .short()
    }

    /// Returns the digest of the posted request, independent of the order of
    /// its keys. The digest tells a repetition from a conflict.
    pub fn content_digest(&self) -> Digest {
        self.content.unwrap_or_else(|| json::content_digest(&self.request))
    }
}

/// Returns the owner of a job's groups: its portfolio, or the job itself.
fn owner<'a>(portfolio: Option<&'a PortfolioId>, id: &'a str) -> (&'static str, &'a str) {
    // The word in front keeps a job id apart from an equal portfolio id.
    match portfolio {
        Some(portfolio) => ("portfolio", portfolio.as_str()),
        None => ("job", id),
    }
}
