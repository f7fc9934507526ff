//! The services of AWS, their requests and their errors.
//!
//! All of them speak JSON 1.1: a `POST` of `/` whose `X-Amz-Target` names the
//! operation (botocore's service models, `metadata`).

use std::time::Duration;

use hoth_adapter::Answer;
use hoth_adapter::Failure;
use hoth_adapter::Json;
use hoth_adapter::Method;
use hoth_adapter::Object;
use hoth_adapter::Request;
use hoth_adapter::Retry;
use hoth_adapter::Target;
use hoth_adapter::calls;
use hoth_adapter::calls::Repeat;

use crate::Action;

/// The pause before a call that may succeed within an hour.
const LATER: Duration = Duration::from_mins(10);

/// The pauses in a row before a job fails.
pub const PAUSES_MAX: u32 = 60;

/// The calls that AWS refuses in a row with "again soon" before a job fails.
const SOON_TRIES_MAX: u32 = calls::SOON_MAX + PAUSES_MAX;

/// A service at the endpoint that the operator configured for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// AWS Organizations of the partition, at the CSP's base URL.
    Organizations,
    /// AWS Organizations of the commercial partition, for pairs of accounts.
    CommercialOrganizations,
    IdentityStore,
    IdentityCenter,
    CostExplorer,
}

impl Service {
    /// Returns the name of its endpoint; `None` for the CSP's base URL.
    fn endpoint(self) -> Option<&'static str> {
        match self {
            Self::Organizations => None,
            Self::CommercialOrganizations => Some("commercial-organizations"),
            Self::IdentityStore => Some("identity-store"),
            Self::IdentityCenter => Some("identity-center"),
            Self::CostExplorer => Some("costs"),
        }
    }

    /// Returns the prefix of its operations in `X-Amz-Target`.
    fn target(self) -> &'static str {
        match self {
            Self::Organizations | Self::CommercialOrganizations => "AWSOrganizationsV20161128",
            Self::IdentityStore => "AWSIdentityStore",
            Self::IdentityCenter => "SWBExternalService",
            Self::CostExplorer => "AWSInsightsIndexService",
        }
    }

    /// Returns the request of an operation that may be repeated: one that reads,
    /// or changes nothing the second time.
    pub fn safe(self, operation: &str, body: Object) -> Request {
        self.request(operation, body, Retry::Safe)
    }

    /// Returns the request of an operation of which a second copy would create a
    /// second thing.
    pub fn once(self, operation: &str, body: Object) -> Request {
        self.request(operation, body, Retry::Unsent)
    }

    /// Returns the request of an operation that costs money each time.
    pub fn billed(self, operation: &str, body: Object) -> Request {
        self.request(operation, body, Retry::Never)
    }

    fn request(self, operation: &str, body: Object, retry: Retry) -> Request {
        let request = Request::new(Method::Post, Target::Path("/".to_owned()));
        let request = match self.endpoint() {
            None => request,
            Some(endpoint) => request.at(endpoint, []),
        };
        request
            .header("X-Amz-Target", &format!("{}.{operation}", self.target()))
            .body("application/x-amz-json-1.1", body.to_string())
            .retry(retry)
    }
}

/// The response of AWS to an operation.
#[derive(Debug)]
pub enum Response {
    Success(Object),
    Error(Error),
}

/// An error of an operation.
#[derive(Debug, Clone)]
pub struct Error {
    pub status: u16,
    /// The type without its namespace, such as `TooManyRequestsException`.
    pub kind: String,
    pub message: String,
    /// The key `Reason` of some types.
    pub reason: String,
    /// The pause that the CSP asks for, if any.
    pub pause: Option<Duration>,
}

/// The meaning of an error for every operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    /// The same call will succeed within seconds: a throttle, or a change that
    /// has not reached all servers.
    Soon,
    /// The same call may succeed within an hour.
    Later,
    /// AWS has failed.
    Unavailable,
    /// Final, unless the operation knows the type.
    Refused,
}

/// The types that ask for the same call again (botocore, `_retry.json` and
/// `retries/standard.py`, and the services' models).
const SOON: [&str; 16] = [
    "TooManyRequestsException",
    "ThrottlingException",
    "Throttling",
    "ThrottledException",
    "RequestThrottledException",
    "RequestThrottled",
    "RequestLimitExceeded",
    "LimitExceededException",
    "BandwidthLimitExceeded",
    "ProvisionedThroughputExceededException",
    "SlowDown",
    "PriorRequestNotComplete",
    "TransactionInProgressException",
    "EC2ThrottledException",
    "ConcurrentModificationException",
    "RequestChangedException",
];

impl Error {
    pub fn meaning(&self) -> Meaning {
        if SOON.contains(&self.kind.as_str()) {
            return Meaning::Soon;
        }
        match (self.kind.as_str(), self.reason.as_str()) {
            ("ConflictException", "CONCURRENT_MODIFICATION") => Meaning::Soon,
            ("ConstraintViolationException", "ACCOUNT_CREATION_RATE_LIMIT_EXCEEDED")
            | ("FinalizingOrganizationException" | "DataUnavailableException", _) => Meaning::Later,
            ("InternalServerException" | "ServiceException" | "InternalFailure", _) => {
                Meaning::Unavailable
            }
            _ if self.status >= 500 => Meaning::Unavailable,
            _ => Meaning::Refused,
        }
    }

    pub fn is(&self, kind: &str) -> bool {
        self.kind == kind
    }

    /// Returns the action of making the same call again, soon at first.
    pub fn repeat_soon(&self) -> Action {
        let Self { kind, pause, .. } = self;
        let message = format!("AWS answered {kind} {} times in a row", SOON_TRIES_MAX + 1);
        Action::Repeat(Repeat {
            after: pause.map(|pause| pause.clamp(Duration::from_secs(1), calls::SOON)),
            tries_max: SOON_TRIES_MAX,
            note: format!("AWS is busy: {kind}"),
            failure: Failure::unavailable(503, message),
        })
    }

    /// Returns the action of making the same call again after a long pause.
    pub fn repeat_later(self) -> Action {
        Action::Repeat(Repeat {
            after: Some(LATER),
            tries_max: PAUSES_MAX,
            note: format!("AWS asks to wait: {}", self.kind),
            failure: self.into_failure(),
        })
    }

    /// Returns the failure of a job that ends with this error.
    pub fn into_failure(self) -> Failure {
        let Self { status, kind, message, reason, .. } = self;
        let error = Object::new().with("type", &kind).with("message", &message);
        let error = if reason.is_empty() { error } else { error.with("reason", &reason) };
        let sentence = format!("AWS answered {status} {kind}");
        let response = Object::new().with("details", format!("{kind}: {message}"));
        let response = response.with("error", error);
        if status >= 500 {
            return Failure::unavailable(502, sentence).with_response(response);
        }
        let code = match kind.as_str() {
            "AccessDeniedException" | "AccessDenied" => 403,
            kind if kind.ends_with("NotFoundException") => 404,
            kind if kind.starts_with("Duplicate") || kind == "ConflictException" => 409,
            _ => 400,
        };
        Failure { message: sentence, ..Failure::refused(code, response) }
    }
}

/// Reads the response to an operation.
///
/// # Errors
///
/// [`Failure`] if the response does not follow the protocol.
pub fn read(answer: &Answer) -> Result<Response, Failure> {
    let body = answer.object();
    if answer.status == 200 {
        return body.map(Response::Success);
    }
    let body = body.unwrap_or_default();
    let text = |names: [&str; 2]| names.into_iter().find_map(|name| body.text(name));
    let kind = body.text("__type").or(answer.header("x-amzn-errortype"));
    let Some(kind) = kind.map(without_namespace).filter(|kind| !kind.is_empty()) else {
        // A gateway in front of the service.
        return Err(Failure::of(answer));
    };
    Ok(Response::Error(Error {
        status: answer.status,
        kind: kind.to_owned(),
        message: text(["message", "Message"]).unwrap_or_default().to_owned(),
        reason: text(["Reason", "reason"]).unwrap_or_default().to_owned(),
        pause: pause(answer, &body),
    }))
}

/// Returns the type in `com.amazonaws.x#Type` and in `Type:http://…`.
fn without_namespace(kind: &str) -> &str {
    let kind = kind.rsplit('#').next().unwrap_or(kind);
    kind.split(':').next().unwrap_or(kind).trim()
}

fn pause(answer: &Answer, body: &Object) -> Option<Duration> {
    let seconds = |text: &str| text.parse().ok().map(Duration::from_secs);
    let number = body.field("RetryAfterSeconds").and_then(Json::as_number);
    number
        .and_then(|number| seconds(number.as_str()))
        .or_else(|| answer.header("x-amz-retry-after").and_then(seconds))
        .or_else(|| answer.header("retry-after").and_then(seconds))
}

/// Returns a text that AWS must send.
///
/// # Errors
///
/// [`Failure`] of the class `invalid-answer` that names the key.
pub fn text<'a>(data: &'a Object, name: &str) -> Result<&'a str, Failure> {
    data.text(name).ok_or_else(|| lacks(name))
}

/// Returns an object that AWS must send.
///
/// # Errors
///
/// As of [`text`].
pub fn object<'a>(data: &'a Object, name: &str) -> Result<&'a Object, Failure> {
    data.field(name).and_then(Json::as_object).ok_or_else(|| lacks(name))
}

/// Returns the objects of a list, which is empty if it is left out.
pub fn objects<'a>(data: &'a Object, name: &str) -> impl Iterator<Item = &'a Object> {
    let list = data.field(name).and_then(Json::as_list).unwrap_or_default();
    list.iter().filter_map(Json::as_object)
}

/// The result of a search in one page of a list.
pub enum Search<'a> {
    Found(&'a Object),
    NextPage(String),
    /// This was the last page.
    Missing,
}

/// Searches a page of a list for the first object that matches.
pub fn search<'a>(data: &'a Object, list: &str, matches: impl Fn(&Object) -> bool) -> Search<'a> {
    match (objects(data, list).find(|one| matches(one)), next_page(data)) {
        (Some(found), _) => Search::Found(found),
        (None, Some(page)) => Search::NextPage(page),
        (None, None) => Search::Missing,
    }
}

/// Returns the token of the next page.
pub fn next_page(data: &Object) -> Option<String> {
    let token = data.text("NextToken").or(data.text("NextPageToken"));
    token.filter(|token| !token.is_empty()).map(str::to_owned)
}

fn lacks(name: &str) -> Failure {
    Failure::invalid_answer(format!("the answer of AWS lacks {name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(answer: Answer) -> Error {
        match read(&answer) {
            Ok(Response::Error(error)) => error,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_error_is_read_wherever_its_type_stands() {
        for (body, header) in [
            (r#"{"__type":"TooManyRequestsException","Message":"slow"}"#, None),
            (r#"{"__type":"com.amazonaws.organizations#TooManyRequestsException"}"#, None),
            (r#"{"message":"slow"}"#, Some("TooManyRequestsException:http://internal/")),
            ("", Some("TooManyRequestsException")),
        ] {
            let mut answer = Answer::new(400, body);
            if let Some(kind) = header {
                answer = answer.header_added("x-amzn-errortype", kind);
            }
            assert!(error(answer).is("TooManyRequestsException"), "{body}");
        }
        let html = read(&Answer::new(503, "<html>"));
        assert_eq!(html.expect_err("no type").code, 503);
    }

    #[test]
    fn the_type_determines_what_an_error_means() {
        for (status, body, meaning, code) in [
            (400, r#"{"__type":"TooManyRequestsException"}"#, Meaning::Soon, 400),
            (400, r#"{"__type":"ConcurrentModificationException"}"#, Meaning::Soon, 400),
            (
                400,
                r#"{"__type":"ConflictException","Reason":"CONCURRENT_MODIFICATION"}"#,
                Meaning::Soon,
                409,
            ),
            (400, r#"{"__type":"FinalizingOrganizationException"}"#, Meaning::Later, 400),
            (
                400,
                r#"{"__type":"ConstraintViolationException","Reason":"ACCOUNT_CREATION_RATE_LIMIT_EXCEEDED"}"#,
                Meaning::Later,
                400,
            ),
            (
                400,
                r#"{"__type":"ConstraintViolationException","Reason":"ACCOUNT_NUMBER_LIMIT_EXCEEDED"}"#,
                Meaning::Refused,
                400,
            ),
            (500, r#"{"__type":"ServiceException"}"#, Meaning::Unavailable, 502),
            (503, r#"{"__type":"Anything"}"#, Meaning::Unavailable, 502),
            (400, r#"{"__type":"AccessDeniedException"}"#, Meaning::Refused, 403),
            (400, r#"{"__type":"OrganizationalUnitNotFoundException"}"#, Meaning::Refused, 404),
            (400, r#"{"__type":"DuplicateAccountException"}"#, Meaning::Refused, 409),
            (400, r#"{"__type":"InvalidInputException"}"#, Meaning::Refused, 400),
        ] {
            let error = error(Answer::new(status, body));
            assert_eq!(error.meaning(), meaning, "{body}");
            assert_eq!(error.into_failure().code, code, "{body}");
        }
    }

    #[test]
    fn a_pause_stands_in_the_body_or_in_a_header() {
        let seconds = |answer| error(answer).pause.map(|pause| pause.as_secs());
        let body = r#"{"__type":"ThrottlingException","RetryAfterSeconds":7}"#;
        assert_eq!(seconds(Answer::new(400, body)), Some(7));
        let bare = || Answer::new(400, r#"{"__type":"ThrottlingException"}"#);
        assert_eq!(seconds(bare().header_added("x-amz-retry-after", "3")), Some(3));
        assert_eq!(seconds(bare()), None);
    }
}
