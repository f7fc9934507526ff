//! The status of one job, and its parts.

use std::borrow::Cow;

use serde::Deserialize;
use serde::Serialize;
use serde_json::value::RawValue;

use hoth_core::domain::CspName;
use hoth_core::domain::Timestamp;
use hoth_core::domain::rfc3339;

/// The word for the position of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum StatusWord {
    Queued,
    Held,
    Running,
    Waiting,
    Succeeded,
    Failed,
    Collected,
    Dead,
}

impl StatusWord {
    /// All words.
    pub const ALL: [Self; 8] = [
        Self::Queued,
        Self::Held,
        Self::Running,
        Self::Waiting,
        Self::Succeeded,
        Self::Failed,
        Self::Collected,
        Self::Dead,
    ];
}
/// The status of a job, as clients and operators read it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct JobStatus {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operation_type: Option<Cow<'static, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_csp_name: Option<CspName>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub portfolio_id: Option<String>,
    pub state: StatusWord,
    #[serde(with = "rfc3339")]
    pub since: Timestamp,
    #[serde(with = "rfc3339::option", skip_serializing_if = "Option::is_none", default)]
    pub accepted_at: Option<Timestamp>,
    /// A sentence for a person.
    pub detail: String,
    /// The requests to the CSP so far.
    pub requests: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub progress: Option<ProgressView>,
    #[serde(with = "rfc3339::option", skip_serializing_if = "Option::is_none", default)]
    pub next_look_at: Option<Timestamp>,
    #[serde(with = "rfc3339::option", skip_serializing_if = "Option::is_none", default)]
    pub deadline_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<OutcomeView>,
    /// The hosts that have seen the job, where no queue can be looked into.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_by: Option<Vec<String>>,
}

/// The last report of a CSP.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ProgressView {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    pub note: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub details: Option<Box<RawValue>>,
}

/// The outcome of a job.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OutcomeView {
    /// `null` if it is not known.
    pub code: Option<u16>,
    #[serde(with = "rfc3339::option", skip_serializing_if = "Option::is_none", default)]
    pub at: Option<Timestamp>,
    #[serde(with = "rfc3339::option", skip_serializing_if = "Option::is_none", default)]
    pub collected_at: Option<Timestamp>,
}
