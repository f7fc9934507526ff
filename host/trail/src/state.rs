//! The row of a job: its last known state.

use serde::Deserialize;
use serde::Serialize;

use hoth_core::domain::CspName;
use hoth_core::domain::JobKind;
use hoth_core::domain::Operation;
use hoth_core::domain::Timestamp;
use hoth_core::domain::rfc3339;

/// The state of a job, as its events say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum JobState {
    /// Accepted, and no run has ended yet.
    Queued,
    /// The CSP works on it, or the adapter continues later.
    Waiting,
    /// Its outcome is ready, with a code below 400.
    Succeeded,
    /// Its outcome is ready, with a code from 400 on.
    Failed,
    /// Its outcome was collected.
    Collected,
    /// Its message is a dead letter.
    Dead,
}

impl JobState {
    /// All states, in the order of their stored numbers.
    pub const ALL: [Self; 6] =
        [Self::Queued, Self::Waiting, Self::Succeeded, Self::Failed, Self::Collected, Self::Dead];

    /// Returns the word of the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "QUEUED",
            Self::Waiting => "WAITING",
            Self::Succeeded => "SUCCEEDED",
            Self::Failed => "FAILED",
            Self::Collected => "COLLECTED",
            Self::Dead => "DEAD",
        }
    }

    /// Returns the number in the file.
    pub(crate) const fn number(self) -> i64 {
        match self {
            Self::Queued => 0,
            Self::Waiting => 1,
            Self::Succeeded => 2,
            Self::Failed => 3,
            Self::Collected => 4,
            Self::Dead => 5,
        }
    }

    pub(crate) fn from_number(number: i64) -> Self {
        // A number of a later release: the job is somewhere.
        Self::ALL.into_iter().find(|state| state.number() == number).unwrap_or(Self::Queued)
    }
}

/// The last known state of a job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct JobRow {
    pub kind: JobKind,
    /// The job id or the request id.
    pub id: String,
    pub csp: Option<CspName>,
    pub operation: Option<Operation>,
    pub portfolio_id: Option<String>,
    pub state: JobState,
    /// The time at which the state began.
    #[serde(with = "rfc3339")]
    pub since: Timestamp,
    /// The time of the last event.
    #[serde(with = "rfc3339")]
    pub updated_at: Timestamp,
    #[serde(with = "rfc3339::option")]
    pub accepted_at: Option<Timestamp>,
    pub accepted_by: Option<String>,
    /// The requests to the CSP so far.
    pub requests: u32,
    /// The deliveries of the current message.
    pub attempt: u32,
    /// The label of the version that ran the job last.
    pub version: Option<String>,
    /// The first digits of that version's digest.
    pub digest: Option<String>,
    /// The code of the outcome.
    pub code: Option<u16>,
    pub class: Option<String>,
    pub reason: Option<String>,
    #[serde(with = "rfc3339::option")]
    pub ended_at: Option<Timestamp>,
    /// The time from the acceptance to the end, in milliseconds.
    pub took_ms: Option<u64>,
    #[serde(with = "rfc3339::option")]
    pub collected_at: Option<Timestamp>,
    pub collected_by: Option<String>,
    /// The last report of the CSP.
    pub note: Option<String>,
    pub reference: Option<String>,
    #[serde(with = "rfc3339::option")]
    pub next_look_at: Option<Timestamp>,
    #[serde(with = "rfc3339::option")]
    pub deadline_at: Option<Timestamp>,
    /// Events that the trail has not kept.
    pub events_dropped: u32,
    /// Batches of events that the file holds.
    #[serde(skip)]
    pub(crate) batches: u32,
}

impl JobRow {
    pub(crate) fn new(kind: JobKind, id: String, at: Timestamp) -> Self {
        Self {
            kind,
            id,
            csp: None,
            operation: None,
            portfolio_id: None,
            state: JobState::Queued,
            since: at,
            updated_at: at,
            accepted_at: None,
            accepted_by: None,
            requests: 0,
            attempt: 0,
            version: None,
            digest: None,
            code: None,
            class: None,
            reason: None,
            ended_at: None,
            took_ms: None,
            collected_at: None,
            collected_by: None,
            note: None,
            reference: None,
            next_look_at: None,
            deadline_at: None,
            events_dropped: 0,
            batches: 0,
        }
    }
}
