//! Polls for work that the CSP has accepted.

use hoth_adapter::Answer;
use hoth_adapter::Event;
use hoth_adapter::Failure;
use hoth_adapter::Job;
use hoth_adapter::Json;
use hoth_adapter::Next;
use hoth_adapter::Object;
use hoth_adapter::Request;
use hoth_adapter::Step;
use hoth_adapter::Wait;

use crate::Atat;
use crate::READ;
use crate::State;
use crate::reply::metadata;
use crate::version::Version;
use crate::with_common_headers;

/// The length at which an unknown status is truncated in a message.
const WORD_CHARS_MAX: usize = 40;

/// The status of the work. Versions of the API use different words for the two
/// final states; each of these words ends a job, regardless of the version.
enum Status {
    Working,
    Succeeded,
    Failed,
}

impl Status {
    fn of(word: &str) -> Option<Self> {
        match word {
            "NOT_STARTED" | "IN_PROGRESS" => Some(Self::Working),
            "SUCCESS" | "COMPLETE" => Some(Self::Succeeded),
            "FAILURE" | "FAILED" => Some(Self::Failed),
            _ => None,
        }
    }
}

/// Waits until the next poll is due.
pub fn later(location: String, note: &str) -> Step<State> {
    Wait::new(State::Accepted { location: location.clone() }, note).reference(location).into()
}

/// Returns the step that polls.
pub fn ask(job: &Job, location: String) -> Next<Atat> {
    // The CSP continues to work, even if the settings have become invalid.
    let version = Version::of(job).map_err(|failure| Failure::unavailable(500, failure.message))?;
    let request = Request::get_location(&location).scope(READ);
    Ok(with_common_headers(request, version).then(State::Accepted { location }))
}

/// Returns the request of a poll.
pub fn request_echo(location: &str) -> Object {
    Object::new().with("location", location)
}

/// Interprets the response to a poll.
pub fn read(job: &Job, location: String, event: Event) -> Next<Atat> {
    let answer = event.answer()?;
    if !matches!(answer.status, 200 | 202) {
        return Err(Failure::of_poll(&answer));
    }
    let body = status_of(&answer)?;
    let word = body.text("status").unwrap_or_default().to_owned();
    let response = || {
        Object::new()
            .with("status", naming(job, body))
            .with("location", &location)
            .with("$metadata", metadata(answer.status, request_echo(&location)))
    };
    match Status::of(&word) {
        Some(Status::Working) => Ok(later(location, &word)),
        Some(Status::Succeeded) => Ok(Step::done(response())),
        Some(Status::Failed) => {
            Err(Failure::job_failed(format!("the CSP reports the job as {word}"), response()))
        }
        None => Err(unreadable(format!("an unknown status {:?}", cut(&word)))),
    }
}

/// Adds the ids of the job and its portfolio, if the CSP omitted them:
/// ServiceNow reads both.
fn naming(job: &Job, mut status: Object) -> Object {
    if status.get("provisioningJobId").is_none() {
        status.set("provisioningJobId", &job.id);
    }
    match job.input.text("portfolioId") {
        Some(portfolio) if status.get("portfolioId").is_none() => {
            status.with("portfolioId", portfolio)
        }
        Some(_) | None => status,
    }
}

fn status_of(answer: &Answer) -> Result<Object, Failure> {
    let object = answer.json().ok().and_then(Json::into_object);
    let object = object.ok_or_else(|| unreadable("a body that is not a JSON object"))?;
    Ok(object.into_camel_case())
}

/// Returns the failure of a poll that may succeed later.
fn unreadable(what: impl Into<String>) -> Failure {
    Failure::unavailable(502, format!("the CSP answered a poll with {}", what.into()))
}

fn cut(word: &str) -> String {
    word.chars().take(WORD_CHARS_MAX).collect()
}
