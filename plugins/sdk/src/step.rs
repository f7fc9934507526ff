//! The steps that an adapter returns.

use std::time::Duration;

use crate::Object;
use crate::Request;

/// The next step of a job. The failure of a job is an `Err` with a
/// [`Failure`](crate::Failure).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step<S> {
    /// A request to make, whose response resumes the job. At most 64 from one
    /// wait to the next.
    Send(Request, S),
    /// A wait, after which the job resumes.
    Wait(Wait<S>),
    /// The outcome that ends the job.
    Done(Outcome),
}

impl<S> Step<S> {
    /// Returns the step that ends the job with code 200.
    pub fn done(response: Object) -> Self {
        Self::Done(Outcome { code: 200, request: None, response })
    }
}

/// A wait, after which the job resumes, perhaps in another process and with
/// another version of the adapter. A waiting job holds no resources.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wait<S> {
    /// The duration of the wait. `None` selects the pause that the last
    /// response asked for, otherwise the operator's polling schedule.
    pub after: Option<Duration>,
    pub purpose: Purpose,
    pub state: S,
    /// The CSP's own name for the work: a status URL, an operation id.
    pub reference: Option<String>,
    /// The progress of the CSP, in one line for people.
    pub note: String,
    /// Details for operators, such as the ids of what has been created: at most
    /// 16 KiB as JSON. Without secrets.
    pub details: Object,
}

/// The purpose of a wait, which determines what a later failure means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// The CSP works on the job. Afterwards the host makes each request once,
    /// and polls again if the CSP is not available.
    Poll,
    /// The CSP has not begun, and is asked again later. Afterwards the host
    /// retries requests, and a failure is final.
    Pause,
    /// The job continues at once, and after a crash from here. Afterwards the
    /// host retries requests, and a failure is final.
    Checkpoint,
}

impl Purpose {
    /// Returns the word of the WIT.
    pub fn word(self) -> &'static str {
        match self {
            Self::Poll => "poll",
            Self::Pause => "pause",
            Self::Checkpoint => "checkpoint",
        }
    }
}

impl<S> Wait<S> {
    /// Waits until the next poll is due.
    pub fn new(state: S, note: impl Into<String>) -> Self {
        Self {
            after: None,
            purpose: Purpose::Poll,
            state,
            reference: None,
            note: note.into(),
            details: Object::new(),
        }
    }

    /// Waits before work that the CSP has not begun is requested again.
    pub fn pause(state: S, note: impl Into<String>) -> Self {
        Self { purpose: Purpose::Pause, ..Self::new(state, note) }
    }

    /// Stores the progress and resumes at once: after a crash, the job
    /// continues from here. An adapter with several calls returns a checkpoint
    /// after each call that changed something; at most 256 in one job. Failures
    /// after a checkpoint are reported and not polled again.
    pub fn checkpoint(state: S, note: impl Into<String>) -> Self {
        Self { purpose: Purpose::Checkpoint, ..Self::new(state, note) }
    }

    /// Converts the state.
    pub fn map<T>(self, convert: impl FnOnce(S) -> T) -> Wait<T> {
        let Self { after, purpose, state, reference, note, details } = self;
        Wait { after, purpose, state: convert(state), reference, note, details }
    }

    /// Sets the duration, for a CSP that states it in its own format. The host
    /// has already read a `Retry-After` header.
    #[must_use]
    pub fn after(self, after: Duration) -> Self {
        Self { after: Some(after), ..self }
    }

    /// Adds details for operators.
    #[must_use]
    pub fn details(self, details: Object) -> Self {
        Self { details, ..self }
    }

    /// Sets the CSP's own name for the work.
    #[must_use]
    pub fn reference(self, reference: impl Into<String>) -> Self {
        Self { reference: Some(reference.into()), ..self }
    }
}

/// Converts a wait to a step, for `Ok(Wait::new(…).into())`.
impl<S> From<Wait<S>> for Step<S> {
    fn from(wait: Wait<S>) -> Self {
        Self::Wait(wait)
    }
}

/// The outcome that ServiceNow receives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The HTTP status for ServiceNow, 200 to 599.
    pub code: u16,
    /// The request to the CSP; `None` stands for the result of
    /// [`Adapter::asked`](crate::Adapter::asked).
    pub request: Option<Object>,
    /// The response of the CSP, in camelCase.
    pub response: Object,
}

impl<S> From<Outcome> for Step<S> {
    fn from(outcome: Outcome) -> Self {
        Self::Done(outcome)
    }
}
