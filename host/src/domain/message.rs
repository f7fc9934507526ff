//! The messages that ServiceNow collects.

use serde::Serialize;
use serde_json::value::RawValue;

use super::Job;
use super::JobKind;

/// The largest queued message, in bytes: SQS's limit for one message (AWS
/// documentation, "Amazon SQS message quotas"), held by every backend.
pub const MESSAGE_BYTES_MAX: usize = 1_048_576;

/// What `GET` returns for one job.
#[derive(Debug, Clone, Serialize)]
pub struct OutcomeMessage {
    code: u16,
    content: Content,
    #[serde(rename = "initialSnowRequest", skip_serializing_if = "Option::is_none")]
    initial_snow_request: Option<Box<RawValue>>,
}

#[derive(Debug, Clone, Serialize)]
struct Content {
    request: Box<RawValue>,
    response: Box<RawValue>,
}

impl OutcomeMessage {
    /// The message for `job`. `request` and `response` are JSON objects. A
    /// cost message names the cost request itself instead of `request`, and a
    /// provisioning message has what was posted beside it.
    pub fn new(job: &Job, code: u16, request: Box<RawValue>, response: Box<RawValue>) -> Self {
        match job.kind {
            JobKind::Provisioning => Self {
                code,
                content: Content { request, response },
                initial_snow_request: Some(job.request.clone()),
            },
            JobKind::Cost => Self {
                code,
                content: Content { request: job.request.clone(), response },
                initial_snow_request: None,
            },
        }
    }

    /// The status that ServiceNow reads.
    pub fn code(&self) -> u16 {
        self.code
    }

    /// The message as JSON text.
    pub fn to_json(&self) -> Box<RawValue> {
        serde_json::value::to_raw_value(self)
            .expect("maps have string keys and writing to memory succeeds")
    }
}
