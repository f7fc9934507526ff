//! The state of credentials, for operators. It has no secret.

use std::time::Duration;

use tokio::time::Instant;

use hoth_core::domain::Timestamp;
use hoth_platform::clock::Clock;

/// The characters of a failure that are kept.
const FAILURE_CHARS_MAX: usize = 300;

/// The state of a configured credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CredentialStatus {
    /// The name in the configuration; `None` for the default credential.
    pub name: Option<String>,
    /// The key of its table in the configuration, such as `oauth2`.
    pub kind: &'static str,
    /// `None` for a key or a password, which is read from its source.
    pub token: Option<TokenStatus>,
}

/// The state of the tokens, or temporary keys, that an issuer grants since the
/// host started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenStatus {
    /// The tokens that are usable now: one for each set of scopes or account.
    pub usable: usize,
    /// The time at which the first of them is not used any more, shortly before
    /// it expires.
    pub used_until: Option<Timestamp>,
    /// The time at which the issuer granted one last.
    pub obtained_at: Option<Timestamp>,
    /// The time at which the CSP refused one last.
    pub refused_at: Option<Timestamp>,
    /// The time and the text of the issuer's last failure, also if a token was
    /// granted since.
    pub failure: Option<(Timestamp, String)>,
}

/// The events of an issuer's tokens.
#[derive(Debug, Clone, Default)]
pub(super) struct TokenEvents {
    pub obtained_at: Option<Instant>,
    pub refused_at: Option<Instant>,
    failure: Option<(Instant, String)>,
}

impl TokenEvents {
    /// Records a failure of the issuer. `message` has no secret.
    pub fn failed(&mut self, message: &str) {
        let message = message.chars().take(FAILURE_CHARS_MAX).collect();
        self.failure = Some((Instant::now(), message));
    }

    /// Returns the state; `usable` are the ends of the usable tokens.
    pub fn status(self, usable: impl Iterator<Item = Instant>, clock: &Clock) -> TokenStatus {
        let (now, wall) = (Instant::now(), clock.now());
        let past = |at: Instant| before(wall, now.saturating_duration_since(at));
        let ends: Vec<Instant> = usable.collect();
        let until = ends.iter().min().map(|end| wall + end.saturating_duration_since(now));
        TokenStatus {
            usable: ends.len(),
            used_until: until,
            obtained_at: self.obtained_at.map(past),
            refused_at: self.refused_at.map(past),
            failure: self.failure.map(|(at, message)| (past(at), message)),
        }
    }
}

fn before(now: Timestamp, ago: Duration) -> Timestamp {
    let ago = u64::try_from(ago.as_millis()).unwrap_or(u64::MAX);
    Timestamp::from_millis(now.as_millis().saturating_sub(ago))
}
