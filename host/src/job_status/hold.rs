//! The causes for which jobs are held back.

use hoth_core::domain::CspName;

/// The cause for which the jobs of a CSP are held back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CspHold {
    /// An operator has paused it.
    Paused,
    /// Its circuit breaker is open.
    Down,
    /// A secret cannot be read.
    Secret,
    /// No version of its adapter is active.
    NoAdapter,
    /// It is not in the configuration of this host.
    Unknown,
    /// An operator has drained the only host.
    Drained,
}

impl CspHold {
    /// Returns the word of the admin API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Paused => "paused",
            Self::Down => "down",
            Self::Secret => "secret",
            Self::NoAdapter => "no-adapter",
            Self::Unknown => "unknown-csp",
            Self::Drained => "drained",
        }
    }

    /// Returns the cause in a few words, for a list.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Paused => "CSP paused",
            Self::Down => "CSP does not respond",
            Self::Secret => "no secret",
            Self::NoAdapter => "no adapter",
            Self::Unknown => "CSP not configured",
            Self::Drained => "host drained",
        }
    }
}

/// The cause for which one job is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold {
    Csp(CspHold),
    /// This many jobs of its portfolio come first.
    Earlier(u64),
}

/// A look-up of the state of a CSP. Returns `None` if its jobs run.
pub type HoldLookup = dyn Fn(&CspName) -> Option<CspHold> + Send + Sync;
