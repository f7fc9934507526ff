//! What an adapter wants next.

use std::time::Duration;

use crate::Object;
use crate::Request;

/// What an adapter wants next. A job that cannot be done is an `Err` of a
/// [`Failure`](crate::Failure).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step<S> {
    /// Make this request, then come back with its answer. At most 64 from one
    /// wait to the next.
    Send(Request, S),
    /// Come back later.
    Wait(Wait<S>),
    /// The job is done.
    Done(Outcome),
}

impl<S> Step<S> {
    /// Done, with code 200.
    pub fn done(response: Object) -> Self {
        Self::Done(Outcome { code: 200, request: None, response })
    }
}

/// Come back later, perhaps in another process and with another version of the
/// adapter. Nothing is held meanwhile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wait<S> {
    /// None: as the last answer's `Retry-After` says, else as the operator's
    /// polling schedule does.
    pub after: Option<Duration>,
    pub state: S,
    /// The CSP's own name for the work: a status URL, an operation id.
    pub reference: Option<String>,
    /// How far the CSP is; one line for people.
    pub note: String,
}

impl<S> Wait<S> {
    /// Until the next poll is due.
    pub fn new(state: S, note: impl Into<String>) -> Self {
        Self { after: None, state, reference: None, note: note.into() }
    }

    /// For no time: what was done so far need not be done again after a crash.
    /// An adapter of several calls makes one after each that changed
    /// something; at most 256 in one job. Failures after it are reported and
    /// not polled away.
    pub fn checkpoint(state: S, note: impl Into<String>) -> Self {
        Self { after: Some(Duration::ZERO), ..Self::new(state, note) }
    }

    /// For as long as the CSP asked in its own words. A `Retry-After` header
    /// the host has read already.
    #[must_use]
    pub fn after(self, after: Duration) -> Self {
        Self { after: Some(after), ..self }
    }

    /// With the CSP's own name for the work.
    #[must_use]
    pub fn reference(self, reference: impl Into<String>) -> Self {
        Self { reference: Some(reference.into()), ..self }
    }
}

/// So that `Ok(Wait::new(…).into())` is a step.
impl<S> From<Wait<S>> for Step<S> {
    fn from(wait: Wait<S>) -> Self {
        Self::Wait(wait)
    }
}

/// What ServiceNow gets to see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// An HTTP status, 200 to 599, as ServiceNow reads it.
    pub code: u16,
    /// None: what [`Adapter::asked`](crate::Adapter::asked) says.
    pub request: Option<Object>,
    /// In camelCase.
    pub response: Object,
}

impl<S> From<Outcome> for Step<S> {
    fn from(outcome: Outcome) -> Self {
        Self::Done(outcome)
    }
}
