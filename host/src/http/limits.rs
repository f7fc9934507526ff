//! The table `[limits]`: bounds on the time and requests of clients.

use std::num::NonZeroU32;
use std::ops::RangeInclusive;
use std::time::Duration;

use serde::Deserialize;

use super::listener::Timeouts;
use super::rate::Rate;
use hoth_core::config::Names;
use hoth_core::config::Problem;
use hoth_core::config::Table;

/// The table `[limits]`. The timeouts hold for both listeners, the rate for the
/// API only.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// API requests per second of one key, or of one address if no key is
    /// configured. 0 means no limit.
    pub requests_per_second: u32,
    /// The size of a burst.
    pub burst: NonZeroU32,
    /// The longest time for a request's head; an idle connection ends after it.
    pub head_timeout_ms: u64,
    /// The longest time for a TLS handshake.
    pub handshake_timeout_ms: u64,
    /// The longest time for a client to read a response.
    pub send_timeout_ms: u64,
}

/// The bounds of each timeout: up to an hour.
const TIMEOUT_MS: RangeInclusive<u64> = 1..=3_600_000;

/// The largest rate and burst, far beyond what one host serves.
const REQUESTS_MAX: u64 = 1_000_000;

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
    /// Returns the rate of one caller, or `None` if it is not limited.
    pub fn rate(&self) -> Option<Rate> {
        let per_second = NonZeroU32::new(self.requests_per_second)?;
        Some(Rate { per_second, burst: self.burst })
    }

    /// Returns the timeouts of a listener.
    pub fn timeouts(&self) -> Timeouts {
        Timeouts {
            head: Duration::from_millis(self.head_timeout_ms),
            handshake: Duration::from_millis(self.handshake_timeout_ms),
            send: Duration::from_millis(self.send_timeout_ms),
        }
    }
}

impl Table for Limits {
    fn check(&self, _: &Names<'_>) -> Vec<Problem> {
        let bounded = [
            ("requests_per_second", self.requests_per_second.into(), 0..=REQUESTS_MAX),
            ("burst", self.burst.get().into(), 1..=REQUESTS_MAX),
            ("head_timeout_ms", self.head_timeout_ms, TIMEOUT_MS),
            ("handshake_timeout_ms", self.handshake_timeout_ms, TIMEOUT_MS),
            ("send_timeout_ms", self.send_timeout_ms, TIMEOUT_MS),
        ];
        let problem = |(key, value, bounds)| Problem::out_of_range(key, value, &bounds);
        bounded.into_iter().filter_map(problem).collect()
    }
}
