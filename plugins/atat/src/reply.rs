//! Interpretation of the response to an operation's call.

use hoth_adapter::Adapter;
use hoth_adapter::Answer;
use hoth_adapter::Event;
use hoth_adapter::Failure;
use hoth_adapter::Job;
use hoth_adapter::Next;
use hoth_adapter::Object;
use hoth_adapter::Step;
use hoth_adapter::Timestamp;

use crate::Atat;
use crate::State;
use crate::poll;
use crate::response_key;

/// The message that ServiceNow searches for.
const NO_LOCATION: &str = "Location header was invalid or not provided";

/// Interprets the response. 200 and 202 are the only success statuses of the
/// API; costs come with 200 only.
pub fn read(job: &Job, deadline: Option<Timestamp>, event: Event) -> Next<Atat> {
    let answer = event.answer()?;
    let key = response_key(job.operation()?);
    match (answer.status, key) {
        (200, None) => Ok(Step::done(answer.object()?.into_camel_case())),
        (200, Some(key)) => {
            let request = Atat::asked(job, Some(&State::Called { deadline }));
            let response = Object::new()
                .with(key, answer.object()?.into_camel_case())
                .with("$metadata", metadata(answer.status, request));
            Ok(Step::done(response))
        }
        (202, Some(_)) => accepted(&answer),
        _ => Err(Failure::of(&answer)),
    }
}

/// Returns the metadata beside every response.
pub fn metadata(status: u16, request: Object) -> Object {
    Object::new().with("status", status).with("request", request)
}

fn accepted(answer: &Answer) -> Next<Atat> {
    match answer.header("location") {
        Some(location) => Ok(poll::later(location.to_owned(), "accepted")),
        None => {
            let failure = Failure::invalid_answer(NO_LOCATION).with_code(500);
            Err(failure.with_csp_response(answer))
        }
    }
}
