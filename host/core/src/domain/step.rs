//! What host and adapter say to each other, as the WIT has it, in Rust.
//!
//! The meaning, units and bounds of every field are documented in
//! `wit/v0.1/types.wit`; here stands only what the host adds.

use bytes::Bytes;
use serde::Deserialize;
use serde::Serialize;
use serde_json::value::RawValue;

/// What the adapter wants next.
#[derive(Debug, Clone)]
pub enum Step {
    Send(SendStep),
    Wait(WaitStep),
    Done(Outcome),
    Fail(Failure),
}

#[derive(Debug, Clone)]
pub struct SendStep {
    pub request: HttpRequest,
    pub state: AdapterState,
}

#[derive(Debug, Clone)]
pub struct WaitStep {
    /// None: by `Retry-After`, else by the polling schedule.
    pub after_ms: Option<u64>,
    pub state: AdapterState,
    pub progress: Progress,
}

/// What has happened since the last step.
#[derive(Debug, Clone)]
pub enum Event {
    Response(HttpResponse),
    TransportFailure(TransportFailure),
    Timer,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    Get,
    Head,
    Post,
    Put,
    Patch,
    Delete,
}

impl Method {
    /// As it stands in a request.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }
}

/// Where a request wants to go; [`crate::csp`] decides whether it may.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    Path(String),
    Location(String),
}

#[derive(Debug, Clone)]
pub struct HttpRequest {
    pub method: Method,
    pub target: Target,
    pub query: Vec<(String, String)>,
    pub headers: Vec<(String, String)>,
    pub body: Option<Vec<u8>>,
    pub credential: Option<String>,
    pub scopes: Vec<String>,
    pub idempotent: bool,
}

#[derive(Debug, Clone)]
pub struct HttpResponse {
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Bytes,
}

impl HttpRequest {
    /// The WIT's bound on a body.
    pub const BODY_BYTES_MAX: usize = 1 << 20;
    /// The WIT's bound on headers, and on query parameters: common servers take
    /// 100 headers.
    pub const PAIRS_MAX: usize = 64;
    /// Names and values of all headers, and of all query parameters. Common
    /// servers refuse more than 8 to 16 KiB.
    pub const PAIRS_BYTES_MAX: usize = 16 << 10;
    /// A path or a location. Common servers refuse longer ones; RFC 9110
    /// section 4.1 asks for at least 8000 octets from everyone.
    pub const TARGET_BYTES_MAX: usize = 8 << 10;
}

impl HttpResponse {
    /// The first value of a header; `name` in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }
}

impl TransportFailure {
    /// The words that `code` can be.
    pub const CODES: [&'static str; 10] = [
        "connect",
        "timeout",
        "reset",
        "tls",
        "truncated",
        "too-large",
        "token-refused",
        "token-unavailable",
        "origin-refused",
        "request-refused",
    ];
}

#[derive(Debug, Clone)]
pub struct TransportFailure {
    /// One of the words in the WIT.
    pub code: &'static str,
    pub message: String,
    pub sent: bool,
    pub last_response: Option<HttpResponse>,
}

/// Opaque to the host; kept with the job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdapterState {
    pub version: u32,
    /// Base64 in a queued message.
    #[serde(with = "base64_bytes")]
    pub bytes: Vec<u8>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reference: Option<String>,
    pub note: String,
}

/// What ServiceNow gets to see. The adapter module has checked that `code` is
/// 200 to 599 and that both texts are JSON objects.
#[derive(Debug, Clone)]
pub struct Outcome {
    pub code: u16,
    pub request: Box<RawValue>,
    pub response: Box<RawValue>,
}

#[derive(Debug, Clone)]
pub struct Failure {
    pub class: FailureClass,
    pub message: String,
    pub outcome: Outcome,
}

/// What kind of trouble an adapter reports.
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
    /// Reads the word of the WIT. The set is open, and a word from the future
    /// is taken as final: the one reading that cannot poll for ever.
    pub fn from_word(word: &str) -> Self {
        match word {
            "unavailable" => Self::Unavailable,
            "not-found" => Self::NotFound,
            "invalid-answer" => Self::InvalidAnswer,
            "unsupported" => Self::Unsupported,
            "job-failed" => Self::JobFailed,
            _ => Self::Refused,
        }
    }

    /// The word of the WIT.
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

impl FailureClass {
    /// The word of the WIT.
    pub fn word(self) -> &'static str {
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
