//! Events that resume an adapter.

use crate::Answer;
use crate::Failure;

/// An event with which an adapter is resumed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The response to the request, after the host's retries.
    Answer(Answer),
    /// The absence of a usable response to the request.
    NoAnswer(NoAnswer),
    /// The end of a wait.
    Timer,
    /// An event of an extension of the contract, which only an adapter that
    /// uses the extension receives.
    Other {
        name: String,
        /// JSON text.
        value: String,
    },
}

/// The absence of a usable response, after the host's last attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoAnswer {
    /// A code of `transport-failure` in the WIT. Later hosts may send further
    /// codes.
    pub code: String,
    /// A sentence for a person.
    pub message: String,
    /// True if a copy of the request may have reached the CSP.
    pub sent: bool,
    /// The last response to an earlier attempt of the same request; with
    /// `too-large`, the response itself, without its body.
    pub last: Option<Answer>,
}

impl Event {
    /// Returns the response, for a state after a request.
    ///
    /// # Errors
    ///
    /// A [`Failure`] of the class `unavailable` if there is no response.
    pub fn answer(self) -> Result<Answer, Failure> {
        match self {
            Self::Answer(answer) => Ok(answer),
            Self::NoAnswer(none) => Err(none.into()),
            Self::Timer => Err(Failure::broken("the adapter waited where it expected an answer")),
            Self::Other { name, .. } => {
                Err(Failure::broken(format!("the adapter expected an answer, not {name:?}")))
            }
        }
    }
}
