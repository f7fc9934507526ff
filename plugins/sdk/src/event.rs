//! What has happened since the last step.

use crate::Answer;
use crate::Failure;

/// What an adapter is resumed with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The answer to the request, after the host's retries.
    Answer(Answer),
    /// The request got no answer.
    NoAnswer(NoAnswer),
    /// The wait is over.
    Timer,
}

/// There is no usable answer, and the host has stopped trying.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoAnswer {
    /// One of the words of `transport-failure` in the WIT, or one that is
    /// newer.
    pub code: String,
    /// A sentence for a person.
    pub message: String,
    /// Whether a copy of the request may have reached the CSP.
    pub sent: bool,
    /// The last answer to an earlier try of the same request; with `too-large`
    /// the answer itself, without its body.
    pub last: Option<Answer>,
}

impl Event {
    /// The answer; for a state after a request.
    ///
    /// # Errors
    ///
    /// A [`Failure`] of the class `unavailable`, where there is none.
    pub fn answer(self) -> Result<Answer, Failure> {
        match self {
            Self::Answer(answer) => Ok(answer),
            Self::NoAnswer(none) => Err(none.into()),
            Self::Timer => Err(Failure::broken("the adapter waited where it expected an answer")),
        }
    }
}
