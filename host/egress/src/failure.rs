//! Calls to a CSP that got no usable answer.

use crate::breaker::Verdict;
use hoth_core::domain::TransportCode;
use hoth_core::workflow::Attempt;

/// A call that got no usable answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct CallFailure {
    pub code: TransportCode,
    /// A sentence for a person, without secrets.
    pub message: String,
    /// True if the peer may have received the request.
    pub sent: bool,
}

/// Returns the verdict about the CSP that a failure allows, or `None` if the CSP
/// was not asked.
pub fn verdict(code: TransportCode) -> Option<Verdict> {
    match code {
        TransportCode::Connect
        | TransportCode::Timeout
        | TransportCode::Reset
        | TransportCode::Tls
        | TransportCode::Truncated
        | TransportCode::TokenUnavailable => Some(Verdict::Failed),
        TransportCode::TooLarge => Some(Verdict::Answered),
        TransportCode::TokenRefused
        | TransportCode::OriginRefused
        | TransportCode::RequestRefused => None,
    }
}

impl CallFailure {
    /// Makes the failure of a request that was not sent.
    pub fn unsent(code: TransportCode, message: String) -> Self {
        Self { code, message, sent: false }
    }

    /// Returns this failure as the retry policy sees it.
    pub fn as_attempt(&self) -> Attempt {
        Attempt::Unanswered { sent: self.sent, transient: self.code.is_transient() }
    }
}
