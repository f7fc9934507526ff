//! The reasons why nothing is known from a peer.

use std::time::Duration;

use http::StatusCode;

/// The longest wait for one peer, from the connection to the last byte.
pub const ANSWER_MAX: Duration = Duration::from_millis(800);

/// The longest answer of a peer. A page of jobs has tens of kilobytes, the
/// longest timelines have a few megabytes.
pub const BODY_BYTES_MAX: usize = 4 * 1024 * 1024;

/// The reason why a peer told nothing, for the operators of this host. Neither
/// URLs nor tokens are in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PeerFailure {
    #[error("does not answer within {} ms", ANSWER_MAX.as_millis())]
    Silent,
    /// No connection, or it broke.
    #[error("does not answer: {0}")]
    Unreachable(String),
    #[error("refuses the key: console.peers must have one of its bearer keys")]
    KeyRefused,
    #[error("refuses the key: it needs the role viewer there")]
    RoleTooLow,
    #[error("keeps no trail")]
    TrailOff,
    #[error("answers with status {0}")]
    Status(u16),
    #[error("answers with more than {BODY_BYTES_MAX} bytes")]
    TooLong,
    #[error("answers what this release cannot read; its release may be another one")]
    Unreadable,
    /// The token of the configuration cannot be used.
    #[error("was not asked: {0}")]
    Token(String),
    #[error("was not asked: too many pages ask the peers at this time")]
    Busy,
}

impl PeerFailure {
    /// Returns the failure that a status tells.
    pub(super) fn of_status(status: StatusCode) -> Self {
        match status {
            StatusCode::UNAUTHORIZED => Self::KeyRefused,
            StatusCode::FORBIDDEN => Self::RoleTooLow,
            StatusCode::NOT_IMPLEMENTED => Self::TrailOff,
            status => Self::Status(status.as_u16()),
        }
    }

    /// Returns `true` if the peer may be down. It then rests.
    pub(super) fn is_outage(&self) -> bool {
        match self {
            Self::Silent | Self::Unreachable(_) => true,
            Self::KeyRefused
            | Self::RoleTooLow
            | Self::TrailOff
            | Self::Status(_)
            | Self::TooLong
            | Self::Unreadable
            | Self::Token(_)
            | Self::Busy => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_told_in_words() {
        for (status, expected) in [
            (401, "refuses the key: console.peers must have one of its bearer keys"),
            (403, "refuses the key: it needs the role viewer there"),
            (501, "keeps no trail"),
            (503, "answers with status 503"),
        ] {
            let status = StatusCode::from_u16(status).expect("a status");
            assert_eq!(PeerFailure::of_status(status).to_string(), expected);
        }
        assert_eq!(PeerFailure::Silent.to_string(), "does not answer within 800 ms");
    }
}
