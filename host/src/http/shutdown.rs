//! The table `[shutdown]`: the listeners while the host stops.

use std::ops::RangeInclusive;
use std::time::Duration;

use serde::Deserialize;

use hoth_core::config::Names;
use hoth_core::config::Problem;
use hoth_core::config::Table;

/// The bounds of the delay. A load balancer looks every few seconds.
const DELAY_MS: RangeInclusive<u64> = 0..=600_000;

/// The table `[shutdown]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Shutdown {
    /// The time for which `/readyz` answers 503 before the listeners close.
    pub delay_ms: u64,
}

impl Default for Shutdown {
    fn default() -> Self {
        Self { delay_ms: 2_000 }
    }
}

impl Shutdown {
    /// Returns the time before the listeners close.
    pub fn delay(&self) -> Duration {
        Duration::from_millis(self.delay_ms)
    }
}

impl Table for Shutdown {
    fn check(&self, _: &Names<'_>) -> Vec<Problem> {
        Problem::out_of_range("delay_ms", self.delay_ms, &DELAY_MS).into_iter().collect()
    }
}
