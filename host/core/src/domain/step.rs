//! The types that host and adapter exchange, as the WIT has them.
//!
//! `wit/v0.2/types.wit` documents the meaning, unit and bound of every field;
//! this module documents only what the host adds.

use serde::Deserialize;
use serde::Serialize;
use serde_json::value::RawValue;

use super::HttpRequest;
use super::HttpResponse;
use super::TransportFailure;

/// The next step that an adapter asks for.
#[derive(Debug, Clone)]
pub enum Step {
    Send(SendStep),
    Wait(WaitStep),
    Done(Outcome),
    Fail(Failure),
}

/// A request to make at once, in the same run.
#[derive(Debug, Clone)]
pub struct SendStep {
    pub request: HttpRequest,
    pub state: AdapterState,
    /// The pause before the request.
    pub after_ms: Option<u64>,
}

/// A wait, after which the adapter is resumed in another run.
#[derive(Debug, Clone)]
pub struct WaitStep {
    /// The delay. `None` selects the delay that the CSP asked for, otherwise
    /// that of the polling schedule. A checkpoint has none.
    pub after_ms: Option<u64>,
    pub purpose: WaitPurpose,
    pub state: AdapterState,
    pub progress: Progress,
}

/// The purpose of a wait, which determines what a later failure means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WaitPurpose {
    /// The CSP works on the job, and is polled.
    Poll,
    /// The CSP has not begun, and is asked again later.
    Pause,
    /// The job continues at once, and after a crash from here.
    Checkpoint,
}

impl WaitPurpose {
    /// Every purpose.
    pub const ALL: [Self; 3] = [Self::Poll, Self::Pause, Self::Checkpoint];

    /// Reads the text of the WIT. Returns `None` for an unknown one.
    pub fn from_wit(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|purpose| purpose.as_str() == text)
    }

    /// Returns the text of the WIT.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Poll => "poll",
            Self::Pause => "pause",
            Self::Checkpoint => "checkpoint",
        }
    }
}

/// The event that an adapter is resumed with.
#[derive(Debug, Clone)]
pub enum Event {
    Response(HttpResponse),
    TransportFailure(TransportFailure),
    Timer,
}

/// The state of an adapter, opaque to the host and kept with the job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdapterState {
    pub version: u32,
    /// Encoded as base64 in a queued message.
    #[serde(with = "base64_bytes")]
    pub bytes: Vec<u8>,
}

/// The progress of the CSP, for operators.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Progress {
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reference: Option<String>,
    pub note: String,
    /// One JSON object; `None` if it has no keys.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub details: Option<Box<RawValue>>,
}

impl PartialEq for Progress {
    fn eq(&self, other: &Self) -> bool {
        let Self { reference, note, details } = self;
        (reference, note) == (&other.reference, &other.note)
            && details.as_deref().map(RawValue::get) == other.details.as_deref().map(RawValue::get)
    }
}

impl Eq for Progress {}

/// The outcome of a job, for ServiceNow. The runtime has checked that `code` is
/// 200 to 599 and that both texts are JSON objects.
#[derive(Debug, Clone)]
pub struct Outcome {
    pub code: u16,
    pub request: Box<RawValue>,
    pub response: Box<RawValue>,
}

/// The failure of a job, as an adapter reports it.
#[derive(Debug, Clone)]
pub struct Failure {
    pub class: FailureClass,
    pub message: String,
    pub outcome: Outcome,
}

/// The class of a failure that an adapter reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FailureClass {
    Refused,
    Unavailable,
    NotFound,
    InvalidAnswer,
    Unsupported,
    JobFailed,
}

impl FailureClass {
    /// Reads the text of the WIT. The set is open: an unknown text counts as
    /// refused, which is final, so that it cannot lead to endless polls.
    pub fn from_wit(text: &str) -> Self {
        match text {
            "unavailable" => Self::Unavailable,
            "not-found" => Self::NotFound,
            "invalid-answer" => Self::InvalidAnswer,
            "unsupported" => Self::Unsupported,
            "job-failed" => Self::JobFailed,
            // Perhaps a class of a later version of the WIT.
            _ => Self::Refused,
        }
    }

    /// Returns the text of the WIT.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Unavailable => "unavailable",
            Self::NotFound => "not-found",
            Self::InvalidAnswer => "invalid-answer",
            Self::Unsupported => "unsupported",
            Self::JobFailed => "job-failed",
        }
    }
}

mod base64_bytes {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use serde::Deserialize;
    use serde::Deserializer;
    use serde::Serializer;
    use serde::de::Error;

    pub fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(bytes))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(deserializer)?;
        STANDARD.decode(text).map_err(D::Error::custom)
    }
}
