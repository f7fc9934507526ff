//! Calls to a CSP without a usable response.

use std::time::Duration;

use crate::breaker::CallHealth;
use crate::breaker::FailureCause;
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
    /// True if the same call would fail again, whatever `code` says: the peer
    /// is up, and its response cannot be used.
    pub permanent: bool,
    /// The pause that the token endpoint asks for.
    pub retry_after: Option<Duration>,
}

impl CallFailure {
    /// Makes the failure of a request that was not sent.
    pub fn unsent(code: TransportCode, message: String) -> Self {
        Self { code, message, sent: false, permanent: false, retry_after: None }
    }

    /// Makes the failure of a request that may have arrived.
    pub fn sent(code: TransportCode, message: String) -> Self {
        Self { sent: true, ..Self::unsent(code, message) }
    }

    /// Returns this failure as the retry policy sees it.
    pub fn as_attempt(&self) -> Attempt {
        Attempt::Unanswered {
            sent: self.sent,
            transient: self.code.is_transient() && !self.permanent,
            retry_after: self.retry_after,
        }
    }

    /// Returns what this failure says about the health of the CSP, or `None` if
    /// it says nothing.
    pub fn health(&self) -> Option<CallHealth> {
        // A token endpoint that asks for a pause is up. Its tokens are fetched
        // again after that pause, and not at the breaker's.
        if self.retry_after.is_some() {
            return None;
        }
        if self.permanent {
            return Some(CallHealth::Responded);
        }
        health(self.code)
    }
}

/// Returns what a failure says about the health of the CSP, or `None` if it
/// says nothing because the CSP was not called.
fn health(code: TransportCode) -> Option<CallHealth> {
    match code {
        // No token counts as an outage too: the CSP's jobs can make no call.
        TransportCode::Connect
        | TransportCode::Timeout
        | TransportCode::Reset
        | TransportCode::Tls
        | TransportCode::Truncated
        | TransportCode::TokenUnavailable => {
            Some(CallHealth::Failed(FailureCause::Transport(code)))
        }
        TransportCode::TooLarge => Some(CallHealth::Responded),
        TransportCode::TokenRefused
        | TransportCode::OriginRefused
        | TransportCode::RequestRefused => None,
    }
}
