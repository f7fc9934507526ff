//! The envelope of the Stratus API, which answers every call with a 200.
//!
//! The envelope is `{"data": …, "next": "token"}`, or `{"fault": {"kind",
//! "text", …}}`. Other statuses come from the gateway before the API.

use std::time::Duration;

use hoth_adapter::Event;
use hoth_adapter::Failure;
use hoth_adapter::Object;
use serde::Deserialize;

/// The bounds on a wait that the CSP requests. A wait of 0 ms would be a
/// checkpoint.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_hours(1);

/// The length at which an unknown word is truncated in a message.
const WORD_CHARS_MAX: usize = 40;

/// The contents of an envelope.
pub enum Reading {
    /// The requested data, and the token of the next page.
    Data(Object, Option<String>),
    /// The CSP did not process the call, and requests it again after this time.
    Busy(Option<Duration>),
}

#[derive(Deserialize)]
struct Envelope {
    data: Option<Object>,
    next: Option<String>,
    fault: Option<Object>,
}

/// Opens an envelope.
pub fn read(event: Event) -> Result<Reading, Failure> {
    let answer = event.answer()?;
    if answer.status != 200 {
        return Err(Failure::of(&answer));
    }
    match answer.read()? {
        Envelope { fault: Some(fault), .. } => fault_of(&fault),
        Envelope { data: Some(data), next, fault: None } => Ok(Reading::Data(data, next)),
        Envelope { data: None, fault: None, .. } => {
            Err(Failure::invalid_answer("the CSP answered an envelope without data and fault"))
        }
    }
}

fn fault_of(fault: &Object) -> Result<Reading, Failure> {
    let kind = fault.text("kind").unwrap_or_default();
    let refused = |code| {
        let text = fault.text("text").unwrap_or(kind);
        let response = Object::new().with("details", text).with("fault", fault);
        let failure = Failure::refused(code, response);
        Err(Failure { message: format!("the CSP reports the fault {kind}"), ..failure })
    };
    match kind {
        "busy" => Ok(Reading::Busy(pause(fault, "retryInMs"))),
        "malformed" => refused(400),
        "depleted" => refused(402),
        "denied" => refused(403),
        "absent" => refused(404),
        "taken" => refused(409),
        "crashed" => {
            let failure = Failure::unavailable(502, "the CSP reports the fault crashed");
            Err(failure.with_response(Object::new().with("fault", fault)))
        }
        unknown => {
            let message = format!("the CSP reports a fault of an unknown kind {:?}", cut(unknown));
            let failure = Failure::invalid_answer(message);
            let response = failure.response.clone().with("fault", fault);
            Err(failure.with_response(response))
        }
    }
}

/// Returns the wait that the CSP requests.
pub fn pause(object: &Object, name: &str) -> Option<Duration> {
    let millis = object.field(name)?.as_number()?.as_str().parse().ok()?;
    Some(Duration::from_millis(millis).clamp(PAUSE_MIN, PAUSE_MAX))
}

/// Truncates a word for a message.
pub fn cut(word: &str) -> String {
    word.chars().take(WORD_CHARS_MAX).collect()
}
