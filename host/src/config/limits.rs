//! `[limits]`: what clients may take of a host's time.

use std::num::NonZeroU32;
use std::time::Duration;

use serde::Deserialize;

use crate::http::Rate;
use crate::http::listener::Timeouts;

/// `[limits]`: for the clients of both listeners, but for the rate.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Requests to the API that one key may make, or one address where no key
    /// is configured. 0 is no limit.
    pub requests_per_second: u32,
    /// How many it may make at once.
    pub burst: NonZeroU32,
    /// How long a request's head may take; an idle connection ends after it.
    pub head_timeout_ms: u64,
    /// How long a TLS handshake may take.
    pub handshake_timeout_ms: u64,
    /// How long a client may take to take its answer.
    pub send_timeout_ms: u64,
}

/// An hour: nobody is waited for any longer.
const TIMEOUT_MS_MAX: u64 = 3_600_000;

impl Default for Limits {
    fn default() -> Self {
        let Timeouts { head, handshake, send } = Timeouts::default();
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        Self {
            requests_per_second: 0,
            burst: const { NonZeroU32::new(100).expect("a hundred is not zero") },
            head_timeout_ms: millis(head),
            handshake_timeout_ms: millis(handshake),
            send_timeout_ms: millis(send),
        }
    }
}

impl Limits {
    /// What is wrong with it, a sentence each.
    pub fn problems(&self) -> Vec<String> {
        let timeouts = [
            ("head_timeout_ms", self.head_timeout_ms),
            ("handshake_timeout_ms", self.handshake_timeout_ms),
            ("send_timeout_ms", self.send_timeout_ms),
        ];
        let bad = timeouts.into_iter().filter(|(_, ms)| !(1..=TIMEOUT_MS_MAX).contains(ms));
        bad.map(|(name, _)| format!("{name}: must be 1 to {TIMEOUT_MS_MAX}")).collect()
    }

    /// How many requests a caller may make; none where that is not limited.
    pub fn rate(&self) -> Option<Rate> {
        let per_second = NonZeroU32::new(self.requests_per_second)?;
        Some(Rate { per_second, burst: self.burst })
    }

    /// How long clients may take.
    pub fn timeouts(&self) -> Timeouts {
        Timeouts {
            head: Duration::from_millis(self.head_timeout_ms),
            handshake: Duration::from_millis(self.handshake_timeout_ms),
            send: Duration::from_millis(self.send_timeout_ms),
        }
    }
}
