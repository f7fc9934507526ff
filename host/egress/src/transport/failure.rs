//! Calls to a CSP without a usable response.

use crate::breaker::CallHealth;
use hoth_core::domain::TransportCode;
use hoth_core::workflow::Attempt;

/// A call without a usable response.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct CallFailure {
    pub code: TransportCode,
    /// A description for people, without secrets.
    pub message: String,
    /// True if the peer may have received the request.
    pub sent: bool,
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

/// Returns what a failure says about the health of the CSP, or `None` if it
/// says nothing because the CSP was not called.
pub fn health(code: TransportCode) -> Option<CallHealth> {
    match code {
        // No token counts as an outage too: the CSP's jobs can make no call.
        TransportCode::Connect
        | TransportCode::Timeout
        | TransportCode::Reset
        | TransportCode::Tls
        | TransportCode::Truncated
        | TransportCode::TokenUnavailable => Some(CallHealth::Failed),
        TransportCode::TooLarge => Some(CallHealth::Responded),
        TransportCode::TokenRefused
        | TransportCode::OriginRefused
        | TransportCode::RequestRefused => None,
    }
}
