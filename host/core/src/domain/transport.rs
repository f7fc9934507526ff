//! Failures of the transport to a CSP, as adapters read them.

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;
use serde::Serialize;

use super::HttpResponse;

/// The reason that a request got no usable answer: `transport-failure.code` in
/// `wit/v0.2/types.wit`, which gives the meaning of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TransportCode {
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

/// The error for a text that is not a transport code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a transport failure; expected one of {list}", list = TransportCode::names())]
pub struct UnknownTransportCode(pub String);

impl TransportCode {
    /// Every code.
    pub const ALL: [Self; 10] = [
        Self::Connect,
        Self::Timeout,
        Self::Reset,
        Self::Tls,
        Self::Truncated,
        Self::TooLarge,
        Self::TokenRefused,
        Self::TokenUnavailable,
        Self::OriginRefused,
        Self::RequestRefused,
    ];

    /// Returns the text that adapters read.
    pub const fn as_str(self) -> &'static str {
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

    /// Returns true if the same request may succeed in a second or two. A wrong
    /// certificate stays wrong for longer than that.
    pub fn is_transient(self) -> bool {
        match self {
            Self::Connect
            | Self::Timeout
            | Self::Reset
            | Self::Truncated
            | Self::TokenUnavailable => true,
            // Each of these needs a change first: of the CSP, of the
            // configuration, or of the adapter.
            Self::Tls
            | Self::TooLarge
            | Self::TokenRefused
            | Self::OriginRefused
            | Self::RequestRefused => false,
        }
    }

    fn names() -> String {
        Self::ALL.map(Self::as_str).join(", ")
    }
}

impl fmt::Display for TransportCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for TransportCode {
    type Err = UnknownTransportCode;

    fn from_str(text: &str) -> Result<Self, UnknownTransportCode> {
        let found = Self::ALL.into_iter().find(|code| code.as_str() == text);
        found.ok_or_else(|| UnknownTransportCode(text.to_owned()))
    }
}

/// A request that got no usable answer.
#[derive(Debug, Clone)]
pub struct TransportFailure {
    pub code: TransportCode,
    /// A sentence for a person, without secrets.
    pub message: String,
    /// True if the CSP may have received the request.
    pub sent: bool,
    /// The last answer to an earlier attempt, if there was one.
    pub last_response: Option<HttpResponse>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_codes_are_those_of_the_contract() {
        let wit = include_str!("../../../../wit/v0.2/types.wit");
        for code in TransportCode::ALL {
            assert!(wit.contains(&format!("`{code}`")), "{code}");
            assert_eq!(code.as_str().parse(), Ok(code));
        }
        assert_eq!("eclipse".parse::<TransportCode>(), Err(UnknownTransportCode("eclipse".into())));
    }
}
