//! The tables `[worker]`, `[retry]`, `[polling]` and `[provisioning]`: the
//! processing of jobs.

use std::num::NonZeroU32;
use std::ops::RangeInclusive;
use std::time::Duration;

use serde::Deserialize;

use hoth_core::config::Names;
use hoth_core::config::Problem;
use hoth_core::config::Table;
use hoth_core::workflow::PollPolicy;
use hoth_core::workflow::RetryPolicy;

/// The bounds of a lease. Below them a slow call to the queue could lose the
/// lease; above them the jobs of a host that died would wait too long.
const LEASE_SECONDS: RangeInclusive<u64> = 5..=3_600;

/// The bounds of the time after which a part is stuck. Below them a busy
/// machine could end a healthy host; above them the watch has no use.
const STUCK_AFTER_MS: RangeInclusive<u64> = 1_000..=3_600_000;

/// The bounds of a pause that a CSP may ask for. A job holds its lease and its
/// place among the jobs in hand meanwhile.
const RETRY_AFTER_MS: RangeInclusive<u64> = 0..=3_600_000;

/// The bounds of a drain: up to an hour. 0 gives every job back at once.
const DRAIN_MS: RangeInclusive<u64> = 0..=3_600_000;

/// The bounds of the number of calls. One request holds its lease and its place
/// among the jobs in hand for all of them.
const ATTEMPTS: RangeInclusive<u64> = 1..=100;

/// The bounds of a backoff: up to an hour. Without a pause, the few calls of one
/// request follow each other at once.
const BACKOFF_MS: RangeInclusive<u64> = 0..=3_600_000;

/// The bounds of the delay of a poll. Without a delay, waiting jobs would poll
/// their CSP all the time; above them, a day, a finished job would wait
/// too long for its outcome.
const POLL_MS: RangeInclusive<u64> = 1..=86_400_000;

/// The longest configurable wait, thirteen days: SQS deletes a message after
/// fourteen.
const DEADLINE_HOURS_MAX: f64 = 312.0;

/// The table `[worker]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The time for jobs in progress to end when the host is stopped.
    pub drain_ms: u64,
    /// The lease of a message, after which a worker must extend it. When a host
    /// dies that shares its queues with others, its jobs wait for this time.
    pub lease_seconds: u64,
    /// The time without a sign of life after which the host ends itself, in
    /// milliseconds: 1 000 to 3 600 000.
    pub stuck_after_ms: u64,
}

impl Default for Config {
    fn default() -> Self {
        // The lease is longer than nearly every job takes, so that few need a
        // heartbeat.
        Self { drain_ms: 20_000, lease_seconds: 120, stuck_after_ms: 60_000 }
    }
}

impl Config {
    /// Returns the length of a lease.
    pub fn lease(&self) -> Duration {
        Duration::from_secs(self.lease_seconds)
    }

    /// Returns the time without a sign of life after which a part is stuck.
    pub fn stuck_after(&self) -> Duration {
        Duration::from_millis(self.stuck_after_ms)
    }

    /// Returns the time that a drain gives to the jobs in hand.
    pub fn drain(&self) -> Duration {
        Duration::from_millis(self.drain_ms)
    }
}

impl Table for Config {
    fn check(&self, _: &Names<'_>) -> Vec<Problem> {
        let bounded = [
            ("drain_ms", self.drain_ms, DRAIN_MS),
            ("lease_seconds", self.lease_seconds, LEASE_SECONDS),
            ("stuck_after_ms", self.stuck_after_ms, STUCK_AFTER_MS),
        ];
        let problem = |(key, value, bounds)| Problem::out_of_range(key, value, &bounds);
        bounded.into_iter().filter_map(problem).collect()
    }
}

/// The table `[retry]`: the tries of a call to a CSP.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RetryConfig {
    /// The number of calls, the first one included.
    pub attempts: NonZeroU32,
    /// The pause before the second call; doubled before each further one.
    pub initial_backoff_ms: u64,
    /// The longest pause that the host chooses by itself.
    pub max_backoff_ms: u64,
    /// The longest pause that a CSP may ask for with `Retry-After`. A longer one
    /// ends the job.
    pub max_retry_after_ms: u64,
}

impl Default for RetryConfig {
    fn default() -> Self {
        let attempts = const { NonZeroU32::new(3).expect("three is not zero") };
        Self {
            attempts,
            initial_backoff_ms: 1_000,
            max_backoff_ms: 30_000,
            // Common quotas of cloud APIs are renewed within minutes.
            max_retry_after_ms: 900_000,
        }
    }
}

impl RetryConfig {
    /// Returns the policy that these settings describe.
    pub fn policy(&self) -> RetryPolicy {
        RetryPolicy {
            attempts: self.attempts,
            initial_backoff: Duration::from_millis(self.initial_backoff_ms),
            max_backoff: Duration::from_millis(self.max_backoff_ms),
            max_retry_after: Duration::from_millis(self.max_retry_after_ms),
        }
    }
}

impl Table for RetryConfig {
    fn check(&self, _: &Names<'_>) -> Vec<Problem> {
        let (initial, max) = (self.initial_backoff_ms, self.max_backoff_ms);
        let bounded = [
            ("attempts", self.attempts.get().into(), ATTEMPTS),
            ("initial_backoff_ms", initial, BACKOFF_MS),
            ("max_backoff_ms", max, BACKOFF_MS),
            ("max_retry_after_ms", self.max_retry_after_ms, RETRY_AFTER_MS),
        ];
        let problem = |(key, value, bounds)| Problem::out_of_range(key, value, &bounds);
        bounded.into_iter().filter_map(problem).collect()
    }
}

/// The table `[polling]`: the polls of jobs that a CSP is working on.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PollingConfig {
    /// The delay of the first poll; doubled for each further one.
    pub initial_ms: u64,
    /// The longest scheduled delay. A CSP's `Retry-After` may exceed it.
    pub max_ms: u64,
    /// The time after its first wait at which a job that still waits ends. A
    /// fraction is allowed.
    pub deadline_hours: f64,
}

impl Default for PollingConfig {
    fn default() -> Self {
        Self { initial_ms: 5_000, max_ms: 60_000, deadline_hours: 240.0 }
    }
}

impl PollingConfig {
    /// Returns the policy for the polls of waiting jobs, and for the outcomes of
    /// jobs that fail while they wait.
    pub fn policy(&self, provisioning: &ProvisioningConfig) -> PollPolicy {
        PollPolicy {
            initial: Duration::from_millis(self.initial_ms.min(self.max_ms)),
            max: Duration::from_millis(self.max_ms),
            deadline: Duration::from_secs_f64(self.deadline_hours * 3_600.0),
            async_failure_code: provisioning.async_failure_code,
        }
    }
}

impl Table for PollingConfig {
    fn check(&self, _: &Names<'_>) -> Vec<Problem> {
        let (initial, max, hours) = (self.initial_ms, self.max_ms, self.deadline_hours);
        let mut problems = Vec::new();
        problems.extend(Problem::out_of_range("initial_ms", initial, &POLL_MS));
        problems.extend(Problem::out_of_range("max_ms", max, &POLL_MS));
        // Not a number fails both comparisons, so it is refused too.
        if !(hours > 0.0 && hours <= DEADLINE_HOURS_MAX) {
            let message =
                format!("must be more than 0 and at most {DEADLINE_HOURS_MAX}, not {hours}");
            problems.push(Problem::new("deadline_hours", message));
        }
        problems
    }
}

/// The table `[provisioning]`: the outcomes that ServiceNow reads.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ProvisioningConfig {
    /// The code of a job that a CSP accepted and then failed: 200, or 400 to
    /// 599.
    pub async_failure_code: u16,
}

impl Default for ProvisioningConfig {
    fn default() -> Self {
        Self { async_failure_code: 500 }
    }
}

impl Table for ProvisioningConfig {
    fn check(&self, _: &Names<'_>) -> Vec<Problem> {
        match self.async_failure_code {
            200 | 400..=599 => Vec::new(),
            _ => vec![Problem::new("async_failure_code", "must be 200, or 400 to 599")],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_poll_comes_no_later_than_the_longest_delay() {
        for (initial_ms, max_ms, expected) in [(5_000, 60_000, 5_000), (5_000, 100, 100)] {
            let config = PollingConfig { initial_ms, max_ms, ..PollingConfig::default() };
            let policy = config.policy(&ProvisioningConfig::default());
            assert_eq!(policy.initial, Duration::from_millis(expected));
        }
    }
}
