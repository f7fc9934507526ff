//! Requests to Azure Resource Manager and Microsoft Graph, and their errors.
//!
//! Both answer errors as `{"error": {"code", "message"}}`. The code tells what
//! has happened; the status alone does not.

use std::time::Duration;

use hoth_adapter::Answer;
use hoth_adapter::Failure;
use hoth_adapter::Json;
use hoth_adapter::Method;
use hoth_adapter::Object;
use hoth_adapter::Request;
use hoth_adapter::Target;
use hoth_adapter::calls;
use hoth_adapter::calls::Repeat;

use crate::Action;
use crate::Work;

/// The pauses in a row before a job fails.
pub const PAUSES_MAX: u32 = 20;

/// The times in a row that Azure may ask for the same call again.
const TRIES_MAX: u32 = calls::SOON_MAX + PAUSES_MAX;

/// The endpoint of Microsoft Graph, which the manifest declares. Azure Resource
/// Manager is the CSP's base URL.
const GRAPH: &str = "graph";

/// The scope in whose path a request goes.
pub const MANAGEMENT_GROUPS: [&str; 3] = ["providers", "Microsoft.Management", "managementGroups"];

/// The codes that come with 409 and ask for the same call again: another change
/// of the same object is in progress. `RoleAssignmentExists` is none of them.
const CONFLICTS: [&str; 4] = [
    "Conflict",
    "AnotherOperationInProgress",
    "ConflictingConcurrentWriteNotAllowed",
    "RetryableError",
];

/// Creates a request to Azure Resource Manager for a path of these segments.
pub fn request<'a>(
    work: &Work<'_>,
    method: Method,
    segments: impl IntoIterator<Item = &'a str>,
    api_version: &str,
) -> Request {
    // The path is that of a GET, the rest of the request that of its method.
    let target = Request::get(segments).target;
    Request::new(method, target).query("api-version", api_version).scope(work.settings.arm_scope())
}

/// Creates a request to a URL that Azure Resource Manager answered.
pub fn location(work: &Work<'_>, method: Method, url: &str) -> Request {
    Request::new(method, Target::Location(url.to_owned())).scope(work.settings.arm_scope())
}

/// Creates a request to Microsoft Graph.
pub fn graph(work: &Work<'_>, method: Method, path: &str) -> Request {
    let target = Request::get(["v1.0", path]).target;
    Request::new(method, target).at(GRAPH, []).scope(work.settings.graph_scope())
}

/// Returns the segments of a management group's path, and of one below it.
pub fn management_group<'a>(
    name: &'a str,
    below: &[&'a str],
) -> impl Iterator<Item = &'a str> + use<'a> {
    MANAGEMENT_GROUPS.into_iter().chain([name]).chain(below.to_vec())
}

/// Returns the resource id of a management group.
pub fn management_group_id(name: &str) -> String {
    format!("/{}/{name}", MANAGEMENT_GROUPS.join("/"))
}

/// The response to a call.
#[derive(Debug)]
pub enum Response {
    /// 200 to 299.
    Success(Answer),
    Error(Error),
}

/// An error of a call.
#[derive(Debug, Clone)]
pub struct Error {
    pub status: u16,
    /// The error's code; the status if there is none.
    pub code: String,
    pub message: String,
    /// The pause that the response asks for, if any.
    pub pause: Option<Duration>,
}

/// The meaning of an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    /// The same call will succeed soon: a throttle, another change in progress,
    /// or a change that has not reached all servers.
    Soon,
    /// Azure has failed.
    Unavailable,
    /// Final.
    Refused,
}

impl Error {
    /// Returns the meaning that the error has for most calls.
    pub fn meaning(&self) -> Meaning {
        match self.status {
            429 => Meaning::Soon,
            409 if CONFLICTS.contains(&self.code.as_str()) => Meaning::Soon,
            408 | 500.. => Meaning::Unavailable,
            _ => Meaning::Refused,
        }
    }

    pub fn is(&self, code: &str) -> bool {
        self.code == code
    }

    /// Returns the action of making the same call again.
    pub fn repeat(self) -> Action {
        Action::Repeat(Repeat {
            after: self.pause,
            tries_max: TRIES_MAX,
            note: format!("Azure asks to wait: {}", self.code),
            failure: self.into_failure(),
        })
    }

    /// Returns the failure of a job that ends with this error.
    pub fn into_failure(self) -> Failure {
        let Self { status, code, message, .. } = self;
        let sentence = format!("Azure answered {status} {code}");
        let response = described(&code, &message);
        match status {
            500.. => Failure::unavailable(502, sentence).with_response(response),
            408 | 429 => Failure::unavailable(503, sentence).with_response(response),
            _ => Failure { message: sentence, ..Failure::refused(status, response) },
        }
    }
}

/// Returns an error as ServiceNow reads it.
pub fn described(code: &str, message: &str) -> Object {
    let error = Object::new().with("code", code).with("message", message);
    Object::new().with("details", format!("{code}: {message}")).with("error", error)
}

/// Reads the response to a call.
///
/// # Errors
///
/// [`Failure`] if the response is none that Azure defines.
pub fn read(answer: Answer) -> Result<Response, Failure> {
    match answer.status {
        200..=299 => Ok(Response::Success(answer)),
        400..=599 => Ok(Response::Error(error(&answer))),
        _ => Err(Failure::of(&answer)),
    }
}

fn error(answer: &Answer) -> Error {
    let body = answer.object().unwrap_or_default();
    let error = body.field("error").and_then(Json::as_object);
    let text = |name: &str| error.and_then(|error| error.text(name));
    let status = answer.status;
    Error {
        status,
        code: text("code").map_or_else(|| status.to_string(), str::to_owned),
        message: text("message").map_or_else(|| answer.text(), str::to_owned),
        pause: pause(answer),
    }
}

/// Returns the longest pause that a response asks for. Cost Management sends
/// several headers at once, such as
/// `x-ms-ratelimit-microsoft.costmanagement-qpu-retry-after`, and not always
/// `Retry-After` beside them.
fn pause(answer: &Answer) -> Option<Duration> {
    let pauses = answer.headers.iter().filter_map(|(name, value)| {
        let unit = match name.as_str() {
            "retry-after-ms" | "x-ms-retry-after-ms" => Duration::from_millis(1),
            "retry-after" => Duration::from_secs(1),
            name if name.starts_with("x-ms-ratelimit-") && name.ends_with("-retry-after") => {
                Duration::from_secs(1)
            }
            _ => return None,
        };
        let number: u32 = value.trim().parse().ok()?;
        Some(unit * number)
    });
    pauses.max()
}

/// Returns the body of a response, which is empty if there is none.
///
/// # Errors
///
/// [`Failure`] of the class `invalid-answer` if it is no JSON object.
pub fn body(answer: &Answer) -> Result<Object, Failure> {
    if answer.body.iter().all(u8::is_ascii_whitespace) {
        return Ok(Object::new());
    }
    answer.object()
}

/// Returns the object of a key, which is empty if it is left out.
pub fn part<'a>(data: &'a Object, name: &str) -> Option<&'a Object> {
    data.field(name).and_then(Json::as_object)
}

/// Returns the objects of a list, which is empty if it is left out or null.
pub fn objects<'a>(data: &'a Object, name: &str) -> impl Iterator<Item = &'a Object> + use<'a> {
    let list = data.field(name).and_then(Json::as_list).unwrap_or_default();
    list.iter().filter_map(Json::as_object)
}

/// Returns a text that Azure must send.
///
/// # Errors
///
/// [`Failure`] of the class `invalid-answer` that names the key.
pub fn text<'a>(data: &'a Object, name: &str) -> Result<&'a str, Failure> {
    data.text(name).ok_or_else(|| lacks(name))
}

/// Returns the failure of an answer without a key that Azure must send.
pub fn lacks(name: &str) -> Failure {
    Failure::invalid_answer(format!("the answer of Azure lacks {name}"))
}

/// Returns the link to the next page.
pub fn next_page(data: &Object) -> Option<String> {
    let link = data.text("nextLink").or(data.text("@nextLink"));
    link.filter(|link| !link.is_empty()).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error_of(answer: Answer) -> Error {
        match read(answer) {
            Ok(Response::Error(error)) => error,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_code_determines_what_an_error_means() {
        for (status, code, meaning, becomes) in [
            (429, "TooManyRequests", Meaning::Soon, 503),
            (409, "AnotherOperationInProgress", Meaning::Soon, 409),
            (409, "Conflict", Meaning::Soon, 409),
            (409, "RoleAssignmentExists", Meaning::Refused, 409),
            (409, "SubscriptionAliasExists", Meaning::Refused, 409),
            (400, "Conflict", Meaning::Refused, 400),
            (403, "AuthorizationFailed", Meaning::Refused, 403),
            (404, "NotFound", Meaning::Refused, 404),
            (408, "RequestTimeout", Meaning::Unavailable, 503),
            (500, "InternalServerError", Meaning::Unavailable, 502),
            (503, "ServiceUnavailable", Meaning::Unavailable, 502),
        ] {
            let body = format!(r#"{{"error":{{"code":"{code}","message":"m"}}}}"#);
            let error = error_of(Answer::new(status, body));
            assert_eq!(error.meaning(), meaning, "{status} {code}");
            let failure = error.into_failure();
            assert_eq!(failure.code, becomes, "{status} {code}");
            let expected =
                format!(r#"{{"details":"{code}: m","error":{{"code":"{code}","message":"m"}}}}"#);
            assert_eq!(failure.response.to_string(), expected);
        }
    }

    #[test]
    fn an_error_without_a_code_is_that_of_a_gateway() {
        let error = error_of(Answer::new(502, "<html>"));
        assert_eq!((error.code.as_str(), error.meaning()), ("502", Meaning::Unavailable));
        let odd = read(Answer::new(302, "")).expect_err("a redirect");
        assert_eq!(odd.code, 502);
    }

    #[test]
    fn the_longest_pause_counts() {
        let family = "x-ms-ratelimit-microsoft.costmanagement";
        let pause = |headers: &[(&str, &str)]| {
            let answer = headers.iter().fold(Answer::new(429, ""), |answer, (name, value)| {
                answer.header_added(&name.replace("FAMILY", family), value)
            });
            error_of(answer).pause.map(|pause| pause.as_millis())
        };
        assert_eq!(pause(&[]), None);
        assert_eq!(pause(&[("retry-after", "3")]), Some(3_000));
        assert_eq!(pause(&[("x-ms-retry-after-ms", "40")]), Some(40));
        assert_eq!(pause(&[("retry-after", "Wed, 21 Oct 2026 07:28:00 GMT")]), None);
        let several = [
            ("FAMILY-qpu-retry-after", "7"),
            ("FAMILY-entity-retry-after", "31"),
            ("retry-after", "1"),
            ("FAMILY-qpu-remaining", "900"),
        ];
        assert_eq!(pause(&several), Some(31_000));
    }
}
