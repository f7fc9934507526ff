//! The faults of a CSP and its identity provider.

use std::fmt;

/// One fault.
#[derive(Debug, Clone)]
pub struct Fault {
    /// The name in the table, which names the case in reports.
    pub name: String,
    pub kind: Kind,
    /// Lines for the CSP's table of the configuration.
    pub settings: &'static str,
}

#[derive(Debug, Clone)]
pub enum Kind {
    /// A whole answer of the CSP that is readable as HTTP.
    Answers(Answered),
    /// No whole answer of the CSP.
    Transport(TransportFault),
    /// No token, which is not a fault of the CSP.
    NoToken(TokenFault),
}

/// An answer of the table.
#[derive(Debug, Clone)]
pub struct Answered {
    pub status: u16,
    pub body: Body,
    /// The wait that the answer asks for, in seconds.
    pub retry_after: Option<u64>,
    pub location: Option<Location>,
}

/// The body of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body {
    /// A JSON object in snake_case.
    Object,
    Text,
    Empty,
    Array,
    Null,
    /// Truncated JSON, in a complete body.
    TruncatedJson,
    /// A JSON object of this many bytes.
    Large(usize),
    /// A job's status in this word.
    Status(&'static str),
    /// A body that goes on after its length.
    LongerThanAnnounced,
}

/// A `Location`. `{p}` stands for the portfolio, `{origin}` for the CSP's
/// origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Location {
    /// A location that leads to the job's status.
    Usable(&'static str),
    Unusable(&'static str),
}

/// A fault of the connection or of HTTP, without a whole answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransportFault {
    /// The connection is refused.
    Refuses,
    /// The connection is reset before the request's body was read.
    ResetsBeforeReading,
    /// The connection is reset after the request's body was read.
    ResetsAfterReading,
    /// The connection is reset in the middle of the answer's body.
    ResetsInTheBody,
    /// The connection is closed in order, without an answer.
    Closes,
    /// No answer comes until the client gives up.
    Hangs,
    /// Bytes of a good answer come, more slowly than the client waits.
    SlowBody,
    /// The body ends before its length.
    Truncated,
    /// A chunk has no valid size.
    InvalidChunk,
    /// The answer is not HTTP.
    NotHttp,
    /// The header has no end.
    HeaderWithoutEnd,
}

/// A fault of the identity provider, without a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenFault {
    /// The identity provider refuses with this status.
    Refused(u16),
    /// The identity provider answers with this status, which is no refusal.
    Answered(u16),
    /// The identity provider answers 200 with this body.
    Grants(&'static str),
    /// The identity provider gives no whole answer.
    Transport(TransportFault),
}

/// The number of times in a row that a fault happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recurrence {
    Once,
    Twice,
    Permanent,
}

/// The kind of call that a fault affects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallKind {
    /// An operation that the CSP carries out at once.
    Sync,
    /// An operation that the CSP accepts for later.
    Async,
    /// A poll of the status of an accepted operation.
    Poll,
    Cost,
}

impl Recurrence {
    pub const ALL: [Self; 3] = [Self::Once, Self::Twice, Self::Permanent];

    /// Returns the number of calls in a row that fail.
    pub fn calls(self) -> usize {
        match self {
            Self::Once => 1,
            Self::Twice => 2,
            Self::Permanent => usize::MAX,
        }
    }
}

impl Fault {
    /// Returns `true` if all calls of the CSP fail, and not only those for one
    /// portfolio.
    pub fn is_general(&self) -> bool {
        match self.kind {
            Kind::Answers(_) => false,
            Kind::Transport(how) => how == TransportFault::Refuses,
            Kind::NoToken(_) => true,
        }
    }

    /// Returns `true` if connections are refused, in which case no server can
    /// recover later.
    pub fn is_unreachable(&self) -> bool {
        matches!(
            self.kind,
            Kind::Transport(TransportFault::Refuses)
                | Kind::NoToken(TokenFault::Transport(TransportFault::Refuses))
        )
    }
}

impl fmt::Display for Recurrence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Once => "once",
            Self::Twice => "twice",
            Self::Permanent => "permanently",
        })
    }
}

/// Statuses that come with a JSON object.
#[rustfmt::skip]
const STATUSES: &[u16] = &[
    101,
    201, 203, 204, 205, 206, 207, 226, 299,
    300, 301, 302, 303, 304, 305, 307, 308,
    400, 401, 402, 403, 404, 405, 406, 407, 408, 409, 410, 411, 412, 413, 414, 415, 416, 417, 418, 421, 422, 423,
    424, 425, 426, 428, 429, 431, 451, 499,
    500, 501, 502, 503, 504, 505, 507, 508, 511, 599,
    600, 999,
];

/// The default limit for the size of an answer.
pub const RESPONSE_BYTES_MAX: usize = 256 * 1024;

const MEBIBYTE: usize = 1024 * 1024;

/// Answers whose body is part of the fault.
#[rustfmt::skip]
const BODIES: &[(&str, u16, Body)] = &[
    ("success in text",              200, Body::Text),
    ("success without a word",       200, Body::Empty),
    ("success in a list",            200, Body::Array),
    ("success as null",              200, Body::Null),
    ("success in half",              200, Body::TruncatedJson),
    ("success longer than it says",  200, Body::LongerThanAnnounced),
    ("success of one byte too many", 200, Body::Large(RESPONSE_BYTES_MAX + 1)),
    ("success of a mebibyte",        200, Body::Large(MEBIBYTE)),
    ("refusal in text",              403, Body::Text),
    ("refusal without a word",       403, Body::Empty),
    ("refusal in a list",            403, Body::Array),
    ("refusal as null",              403, Body::Null),
    ("refusal of a mebibyte",        403, Body::Large(MEBIBYTE)),
    ("unknown token, at length",     401, Body::Large(MEBIBYTE)),
    ("too busy in text",             429, Body::Text),
    ("too busy of a mebibyte",       429, Body::Large(MEBIBYTE)),
    ("failure in text",              500, Body::Text),
    ("failure without a word",       502, Body::Empty),
    ("failure of a mebibyte",        503, Body::Large(MEBIBYTE)),
];

/// Answers with a time to wait.
const BUSY: &[(&str, u16, u64)] = &[
    ("too busy for a second", 429, 1),
    ("too busy for an hour", 429, 3_600),
    ("down for a second", 503, 1),
    ("down for an hour", 503, 3_600),
    ("too busy for no time", 429, 0),
];

/// The locations of a job's status in answers of 202.
#[rustfmt::skip]
const LOCATIONS: &[(&str, Option<Location>)] = &[
    ("accepted without a location",          None),
    ("accepted, location empty",             Some(Location::Unusable(""))),
    ("accepted, location of another host",   Some(Location::Unusable("https://elsewhere.example.com/jobs/1"))),
    ("accepted, location of another port",   Some(Location::Unusable("http://127.0.0.1:1/jobs/1"))),
    ("accepted, location without a scheme",  Some(Location::Unusable("//elsewhere.example.com/jobs/1"))),
    ("accepted, location of another scheme", Some(Location::Unusable("ftp://127.0.0.1/jobs/1"))),
    ("accepted, location malformed",         Some(Location::Unusable("http://["))),
    ("accepted, location absolute",          Some(Location::Usable("{origin}/atat/api/v1/provisioning/{p}/status"))),
    ("accepted, location from the root",     Some(Location::Usable("/atat/api/v1/provisioning/{p}/status"))),
    ("accepted, location relative",          Some(Location::Usable("../../provisioning/{p}/status"))),
];

/// A setting with which answers of a mebibyte are read.
pub const LARGE_RESPONSES: &str = "max_response_bytes = 2097152";

/// A time limit that healthy calls keep on a busy machine, and that a test can
/// wait for three times.
const SHORT_TIMEOUT: &str = "timeout_ms = 4000";

const BREAKS: &[(&str, TransportFault, &str)] = &[
    ("refuses connections", TransportFault::Refuses, ""),
    ("resets before reading", TransportFault::ResetsBeforeReading, ""),
    ("resets after reading", TransportFault::ResetsAfterReading, ""),
    ("resets in the body", TransportFault::ResetsInTheBody, ""),
    ("closes without an answer", TransportFault::Closes, ""),
    ("hangs", TransportFault::Hangs, SHORT_TIMEOUT),
    ("drips", TransportFault::SlowBody, SHORT_TIMEOUT),
    ("ends early", TransportFault::Truncated, ""),
    ("chunks badly", TransportFault::InvalidChunk, ""),
    ("is not HTTP", TransportFault::NotHttp, ""),
    ("has a header without end", TransportFault::HeaderWithoutEnd, ""),
];

#[rustfmt::skip]
const TOKENS: &[(&str, TokenFault, &str)] = &[
    ("token refused with 400",       TokenFault::Refused(400), ""),
    ("token refused with 401",       TokenFault::Refused(401), ""),
    ("token refused with 403",       TokenFault::Refused(403), ""),
    ("tokens are down with 500",     TokenFault::Answered(500), ""),
    ("tokens are down with 503",     TokenFault::Answered(503), ""),
    ("tokens are busy",              TokenFault::Answered(429), ""),
    ("tokens have moved",            TokenFault::Answered(302), ""),
    ("tokens are text",              TokenFault::Grants("here you are"), ""),
    ("tokens are nothing",           TokenFault::Grants(""), ""),
    ("tokens are missing",           TokenFault::Grants(r#"{"expires_in":3600}"#), ""),
    ("tokens are of another kind",   TokenFault::Grants(r#"{"access_token":"a","token_type":"mac"}"#), ""),
    ("tokens cannot be sent",        TokenFault::Grants(r#"{"access_token":"a\nb","token_type":"bearer"}"#), ""),
    ("tokens are not to be reached", TokenFault::Transport(TransportFault::Refuses), ""),
    ("tokens hang",                  TokenFault::Transport(TransportFault::Hangs), SHORT_TIMEOUT),
    ("tokens drip",                  TokenFault::Transport(TransportFault::SlowBody), SHORT_TIMEOUT),
    ("tokens reset",                 TokenFault::Transport(TransportFault::ResetsAfterReading), ""),
    ("tokens end early",             TokenFault::Transport(TransportFault::Truncated), ""),
];

/// The answers of a CSP to polls until a job is done or has failed: HTTP
/// statuses, and states of the API in an answer of 200.
pub const POLL_SEQUENCES: &[&str] = &[
    "SUCCESS",
    "COMPLETE",
    "FAILURE",
    "FAILED",
    "NOT_STARTED IN_PROGRESS SUCCESS",
    "IN_PROGRESS NOT_STARTED IN_PROGRESS COMPLETE",
    "IN_PROGRESS 503 NOT_STARTED 500 FAILED",
    "WONDERING SUCCESS",
    "success IN_PROGRESS SUCCESS",
    "404 404 404 404 IN_PROGRESS 404 404 404 404 SUCCESS",
    "404 404 503 404 404 429 404 404 SUCCESS",
    "404 404 404 404 404",
    "IN_PROGRESS 404 404 404 404 404",
    "503 503 503 503 503 503 IN_PROGRESS COMPLETE",
    "IN_PROGRESS 401 SUCCESS",
    "404 404 404 404 401 401 404 SUCCESS",
    "404 404 404 404 401 404",
    "IN_PROGRESS 403",
    "IN_PROGRESS 302",
];

/// Returns every fault.
pub fn faults() -> Vec<Fault> {
    let answers = |name: String, status, body, retry_after, location| Fault {
        name,
        kind: Kind::Answers(Answered { status, body, retry_after, location }),
        settings: "",
    };
    let mut faults = Vec::new();
    for status in STATUSES {
        faults.push(answers(format!("answers {status}"), *status, Body::Object, None, None));
    }
    for (name, status, body) in BODIES {
        faults.push(answers((*name).to_owned(), *status, *body, None, None));
    }
    for (name, status, after) in BUSY {
        faults.push(answers((*name).to_owned(), *status, Body::Object, Some(*after), None));
    }
    for (name, location) in LOCATIONS {
        faults.push(answers((*name).to_owned(), 202, Body::Object, None, *location));
    }
    for (name, how, settings) in BREAKS {
        faults.push(Fault { name: (*name).to_owned(), kind: Kind::Transport(*how), settings });
    }
    for (name, how, settings) in TOKENS {
        faults.push(Fault { name: (*name).to_owned(), kind: Kind::NoToken(*how), settings });
    }
    // The answer is read whole, but its outcome does not fit a message.
    faults.push(Fault {
        settings: LARGE_RESPONSES,
        ..answers(
            "success too large for a message".to_owned(),
            200,
            Body::Large(MEBIBYTE),
            None,
            None,
        )
    });
    faults
}
