//! The result of a fault that the contract demands.
//!
//! Written from the contract with ServiceNow, not from the host: the number of
//! calls to a CSP, and the message in which the job ends.

use std::time::Duration;

use serde_json::Value;

use super::table::Answered;
use super::table::Body;
use super::table::CallKind;
use super::table::Fault;
use super::table::Kind;
use super::table::LARGE_RESPONSES;
use super::table::Location;
use super::table::RESPONSE_BYTES_MAX;
use super::table::Recurrence;
use super::table::TokenFault;
use super::table::TransportFault;
use super::wire;

/// The number of calls if a failure is transient.
const ATTEMPTS: usize = 3;

/// The number of calls if a token may have become invalid.
const ATTEMPTS_WITH_FRESH_TOKEN: usize = 2;

/// The details of a message about an outcome that is larger than the adapter
/// may return, or than fits a message. The host may meet either limit first.
const TOO_LARGE_FOR_A_MESSAGE: &str = " bytes";

/// The longest pause that a CSP may ask for.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(900);

/// The number of answers in a row by which a CSP may deny that it knows a job.
const NOT_FOUND_MAX: usize = 5;

/// The expected result of a fault.
#[derive(Debug, Clone, PartialEq)]
pub struct Expected {
    pub end: End,
    pub calls: Calls,
    /// The shortest time between the first two calls.
    pub gap: Duration,
}

/// The expected calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Calls {
    Csp(usize),
    /// Polls until the deadline, and more than this number of them.
    CspAtLeast(usize),
    /// Calls of the identity provider, and none of the CSP.
    IdentityProvider(usize),
    IdentityProviderAtLeast(usize),
}

/// The expected message.
#[derive(Debug, Clone, PartialEq)]
pub enum End {
    Success,
    /// A job that the CSP accepted and then failed, in the CSP's word.
    JobFailed(&'static str),
    /// The CSP's own body, with its status. The details also contain what HOTH
    /// adds.
    Refused {
        code: u16,
        response: Value,
        adds: String,
    },
    /// A failure whose details contain this text.
    Failure {
        code: Code,
        says: String,
        csp_response: Option<Value>,
        has_status: bool,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    Is(u16),
    /// Any 5xx.
    OfServerError,
}

/// One attempt, as the contract distinguishes it.
enum Attempt<'a> {
    /// A whole answer within the size limit.
    Answer(&'a Answered),
    /// An answer that is too large to be read. `None` if its status is unknown.
    TooLarge(Option<u16>),
    Nothing,
    NoToken {
        may_pass: bool,
    },
}

/// Returns the expected result of a fault.
pub fn expected(fault: &Fault, call_kind: CallKind, recurrence: Recurrence) -> Expected {
    let attempt = attempt(fault);
    let gap = gap(fault);
    match call_kind {
        CallKind::Poll => polled(&attempt, recurrence, gap),
        CallKind::Sync | CallKind::Async | CallKind::Cost => {
            called(&attempt, call_kind, recurrence, gap)
        }
    }
}

fn attempt(fault: &Fault) -> Attempt<'_> {
    match &fault.kind {
        Kind::Answers(answered) if is_too_large(fault, answered.body) => {
            Attempt::TooLarge(Some(answered.status))
        }
        Kind::Answers(answered) => Attempt::Answer(answered),
        Kind::Transport(TransportFault::HeaderWithoutEnd) => Attempt::TooLarge(None),
        Kind::Transport(_) => Attempt::Nothing,
        Kind::NoToken(TokenFault::Refused(_)) => Attempt::NoToken { may_pass: false },
        // Every further token would be of the same type.
        Kind::NoToken(TokenFault::Grants(body)) if body.contains("mac") => {
            Attempt::NoToken { may_pass: false }
        }
        Kind::NoToken(_) => Attempt::NoToken { may_pass: true },
    }
}

fn is_too_large(fault: &Fault, body: Body) -> bool {
    matches!(body, Body::Large(bytes) if bytes > RESPONSE_BYTES_MAX)
        && fault.settings != LARGE_RESPONSES
}

fn gap(fault: &Fault) -> Duration {
    match &fault.kind {
        Kind::Answers(Answered { retry_after: Some(seconds), .. }) => Duration::from_secs(*seconds),
        Kind::Answers(_) | Kind::Transport(_) | Kind::NoToken(_) => Duration::ZERO,
    }
}

/// Returns the expected calls: up to three if the failure is transient, up to
/// two if the token is refused, and else one.
fn called(
    attempt: &Attempt<'_>,
    call_kind: CallKind,
    recurrence: Recurrence,
    gap: Duration,
) -> Expected {
    let attempts = match attempt {
        Attempt::Answer(_) if gap > RETRY_AFTER_MAX => 1,
        Attempt::Answer(Answered { status, .. }) | Attempt::TooLarge(Some(status)) => {
            match status {
                408 | 425 | 429 | 500..=599 => ATTEMPTS,
                401 => ATTEMPTS_WITH_FRESH_TOKEN,
                _ => 1,
            }
        }
        Attempt::Nothing | Attempt::NoToken { may_pass: true } => ATTEMPTS,
        Attempt::TooLarge(None) | Attempt::NoToken { may_pass: false } => 1,
    };
    let recovers = recurrence.calls() < attempts;
    let calls = if recovers { recurrence.calls() + 1 } else { attempts };
    let end = if recovers || is_good(attempt, call_kind) {
        End::Success
    } else if let Attempt::Answer(Answered { status, body, .. }) = attempt
        && gap > RETRY_AFTER_MAX
    {
        let adds = format!("a pause of {} s", gap.as_secs());
        End::Refused { code: *status, response: words(*body), adds }
    } else {
        failed(attempt, call_kind)
    };
    let calls = match (attempt, recovers) {
        (Attempt::NoToken { .. }, false) => Calls::IdentityProvider(calls),
        (Attempt::NoToken { .. }, true) => Calls::Csp(1),
        _ => Calls::Csp(calls),
    };
    Expected { end, calls, gap: if attempts > 1 { gap } else { Duration::ZERO } }
}

/// Returns `true` for a good answer. That of an accepted operation is a 202
/// with a usable location.
fn is_good(attempt: &Attempt<'_>, call_kind: CallKind) -> bool {
    let usable = |location| matches!(location, Some(Location::Usable(_)));
    matches!(attempt, Attempt::Answer(Answered { status: 202, location, .. }) if usable(*location))
        && call_kind != CallKind::Cost
}

fn failed(attempt: &Attempt<'_>, call_kind: CallKind) -> End {
    // Costs have no job whose status could be polled.
    let has_status = call_kind != CallKind::Cost;
    let failure = |code, says: &str, csp_response| End::Failure {
        code,
        says: says.to_owned(),
        csp_response,
        has_status,
    };
    let too_large = RESPONSE_BYTES_MAX.to_string();
    match attempt {
        Attempt::Answer(Answered { status: 200, body: Body::Large(_), .. }) => {
            failure(Code::OfServerError, TOO_LARGE_FOR_A_MESSAGE, None)
        }
        Attempt::Answer(Answered { status: 202, .. }) if call_kind != CallKind::Cost => {
            End::Failure {
                code: Code::Is(500),
                says: "Location header was invalid or not provided".to_owned(),
                csp_response: Some(wire::object_in_camel_case()),
                has_status: false,
            }
        }
        Attempt::Answer(Answered { status: status @ 400..=499, body, .. }) => {
            End::Refused { code: *status, response: words(*body), adds: String::new() }
        }
        Attempt::Answer(Answered { status: status @ 500..=599, body, .. }) => {
            failure(Code::Is(*status), "", (*body == Body::Object).then(wire::object_in_camel_case))
        }
        // The API has no other status, and no other body.
        Attempt::Answer(Answered { status, .. }) => End::Failure {
            code: Code::Is(502),
            says: status.to_string(),
            csp_response: None,
            has_status: false,
        },
        Attempt::TooLarge(Some(status @ 500..=599)) => failure(Code::Is(*status), &too_large, None),
        Attempt::TooLarge(Some(_)) => failure(Code::OfServerError, &too_large, None),
        Attempt::TooLarge(None) | Attempt::Nothing | Attempt::NoToken { .. } => {
            failure(Code::OfServerError, "", None)
        }
    }
}

/// Returns the CSP's own body: its JSON object in camelCase, or its text.
fn words(body: Body) -> Value {
    let details = |text: &str| serde_json::json!({"details": text});
    match body {
        Body::Object => wire::object_in_camel_case(),
        Body::Text => details(wire::TEXT),
        Body::Empty => details(""),
        Body::Array => details(wire::ARRAY),
        Body::Null => details("null"),
        Body::TruncatedJson | Body::Large(_) | Body::Status(_) | Body::LongerThanAnnounced => {
            unreachable!("no refusal of the table has such a body")
        }
    }
}

/// The result of one poll.
pub enum PollResult {
    /// The job is over.
    Over(End),
    /// The CSP does not know the job, and may know it next time.
    Unknown(End),
    /// No news, or the CSP is still working on the job.
    Nothing,
}

/// Returns the result of a poll with this answer.
pub fn poll_result(answered: &Answered) -> PollResult {
    match answered.status {
        200 | 202 => match answered.body {
            Body::Status("SUCCESS" | "COMPLETE") => PollResult::Over(End::Success),
            Body::Status(word @ ("FAILURE" | "FAILED")) => PollResult::Over(End::JobFailed(word)),
            Body::Object
            | Body::Text
            | Body::Empty
            | Body::Array
            | Body::Null
            | Body::TruncatedJson
            | Body::Large(_)
            | Body::Status(_)
            | Body::LongerThanAnnounced => PollResult::Nothing,
        },
        404 => PollResult::Unknown(failed(&Attempt::Answer(answered), CallKind::Poll)),
        401 | 408 | 425 | 429 | 500..=599 => PollResult::Nothing,
        _ => PollResult::Over(failed(&Attempt::Answer(answered), CallKind::Poll)),
    }
}

/// Returns the expected result of a fault during polls. A failed poll is
/// repeated at the next interval, until the CSP denies that it knows the job,
/// or until the deadline.
fn polled(attempt: &Attempt<'_>, recurrence: Recurrence, gap: Duration) -> Expected {
    let result = match attempt {
        Attempt::Answer(answered) => poll_result(answered),
        Attempt::TooLarge(_) | Attempt::Nothing | Attempt::NoToken { .. } => PollResult::Nothing,
    };
    let lasts = recurrence == Recurrence::Permanent;
    // The last two polls find the job in progress, and done.
    let recovered = Calls::Csp(recurrence.calls().saturating_add(2));
    let (end, calls) = match result {
        PollResult::Over(end) => (end, Calls::Csp(1)),
        PollResult::Unknown(end) if lasts => (end, Calls::Csp(NOT_FOUND_MAX)),
        PollResult::Unknown(_) | PollResult::Nothing if !lasts => match attempt {
            Attempt::NoToken { .. } => (End::Success, Calls::Csp(2)),
            Attempt::Answer(_) | Attempt::TooLarge(_) | Attempt::Nothing => {
                (End::Success, recovered)
            }
        },
        PollResult::Unknown(_) | PollResult::Nothing => (
            End::Failure {
                code: Code::Is(504),
                says: "working on it".to_owned(),
                csp_response: None,
                has_status: true,
            },
            match attempt {
                Attempt::NoToken { .. } => Calls::IdentityProviderAtLeast(1),
                Attempt::Answer(_) | Attempt::TooLarge(_) | Attempt::Nothing => {
                    Calls::CspAtLeast(1)
                }
            },
        ),
    };
    Expected { end, calls, gap }
}

/// Returns the expected end of a sequence of answers, and the number of polls.
/// The sequence contains states and HTTP statuses, until the job is over.
pub fn poll_sequence(answers: &[Answered]) -> (End, usize) {
    let mut unknown = 0;
    let mut polls = 0;
    let mut renewed = false;
    for answer in answers {
        polls += 1;
        // A fresh token gets a poll of its own, in the same interval.
        renewed = answer.status == 401 && !renewed;
        if renewed {
            continue;
        }
        match poll_result(answer) {
            PollResult::Over(end) => return (end, polls),
            PollResult::Unknown(end) => {
                unknown += 1;
                if unknown == NOT_FOUND_MAX {
                    return (end, polls);
                }
            }
            PollResult::Nothing => unknown = 0,
        }
    }
    panic!("the sequence has no end");
}
