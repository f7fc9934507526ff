//! The messages that ServiceNow collects.

use serde::Serialize;
use serde_json::value::RawValue;

use super::JobKind;

/// The largest queued message, in bytes, held by every backend: SQS's limit of
/// 1 MiB for one message (AWS documentation, "Amazon SQS message quotas"), less
/// 2 KiB for the message attributes, which count towards it.
pub const MESSAGE_BYTES_MAX: usize = 1_048_576 - 2_048;

/// The message that `GET` returns for one job.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct OutcomeMessage<'a> {
    code: u16,
    content: Content<'a>,
    #[serde(rename = "initialSnowRequest", skip_serializing_if = "Option::is_none")]
    initial_snow_request: Option<&'a RawValue>,
}

#[derive(Debug, Clone, Copy, Serialize)]
struct Content<'a> {
    request: &'a RawValue,
    response: &'a RawValue,
}

impl<'a> OutcomeMessage<'a> {
    /// Makes the message about a job whose posted request was `initial`.
    /// `request` and `response` are JSON objects. A provisioning message has
    /// the posted request beside its content; a cost message has it in place of
    /// `request`.
    pub fn new(
        kind: JobKind,
        initial: &'a RawValue,
        code: u16,
        request: &'a RawValue,
        response: &'a RawValue,
    ) -> Self {
        match kind {
            JobKind::Provisioning => Self {
                code,
                content: Content { request, response },
                initial_snow_request: Some(initial),
            },
            JobKind::Cost => Self {
                code,
                content: Content { request: initial, response },
                initial_snow_request: None,
            },
        }
    }

    /// Returns the message as JSON text.
    pub fn to_json(self) -> Box<RawValue> {
        serde_json::value::to_raw_value(&self)
            .expect("maps have string keys and writing to memory succeeds")
    }
}
