//! Why a call to a CSP got no usable answer.

use crate::breaker::Verdict;
use hoth_core::workflow::Attempt;

/// The words of `transport-failure.code` in the WIT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    Connect,
    Timeout,
    Reset,
    Tls,
    Truncated,
    TooLarge,
    TokenRefused,
    TokenUnavailable,
    OriginRefused,
    RequestRefused,
}

/// One try that got no usable answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Unanswered {
    pub cause: Cause,
    /// A sentence for a person, without secrets.
    pub message: String,
    /// Whether the peer may have got the request.
    pub sent: bool,
}

impl Cause {
    /// The word that adapters read.
    pub fn word(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Timeout => "timeout",
            Self::Reset => "reset",
            Self::Tls => "tls",
            Self::Truncated => "truncated",
            Self::TooLarge => "too-large",
            Self::TokenRefused => "token-refused",
            Self::TokenUnavailable => "token-unavailable",
            Self::OriginRefused => "origin-refused",
            Self::RequestRefused => "request-refused",
        }
    }

    /// Whether the same request may fare better in a second or two. A
    /// certificate that is wrong stays wrong that long.
    pub fn is_transient(self) -> bool {
        match self {
            Self::Connect
            | Self::Timeout
            | Self::Reset
            | Self::Truncated
            | Self::TokenUnavailable => true,
            Self::Tls
            | Self::TooLarge
            | Self::TokenRefused
            | Self::OriginRefused
            | Self::RequestRefused => false,
        }
    }

    /// What it says about the CSP. Nothing, where the CSP was not asked.
    pub fn verdict(self) -> Option<Verdict> {
        match self {
            Self::Connect
            | Self::Timeout
            | Self::Reset
            | Self::Tls
            | Self::Truncated
            | Self::TokenUnavailable => Some(Verdict::Failed),
            Self::TooLarge => Some(Verdict::Answered),
            Self::TokenRefused | Self::OriginRefused | Self::RequestRefused => None,
        }
    }
}

impl Unanswered {
    /// A request that was not even tried.
    pub fn unsent(cause: Cause, message: String) -> Self {
        Self { cause, message, sent: false }
    }

    /// The same, as the retry policy sees it.
    pub fn as_attempt(&self) -> Attempt {
        Attempt::Unanswered { sent: self.sent, transient: self.cause.is_transient() }
    }
}
