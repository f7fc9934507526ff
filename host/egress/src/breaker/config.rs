//! The configuration of one CSP's breaker.

use std::num::NonZeroU32;
use std::num::NonZeroU64;

use serde::Deserialize;

use hoth_core::config::Names;
use hoth_core::config::Problem;
use hoth_core::config::Table;

/// The table `[csp.<NAME>.breaker]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BreakerConfig {
    pub enabled: bool,
    /// The number of different jobs with a failed call, without a response in
    /// between, that opens the breaker.
    pub failures: NonZeroU32,
    /// The shortest time over which these calls must have failed.
    pub over_ms: u64,
    /// The first pause. It doubles after each failed probe.
    pub open_ms: NonZeroU64,
    /// The longest pause, and so the longest time until a CSP that is back is
    /// noticed.
    pub max_open_ms: NonZeroU64,
    /// The longest time for which jobs are held back. Then they run as without a
    /// breaker, until the CSP responds.
    pub max_hold_ms: NonZeroU64,
}

impl Default for BreakerConfig {
    fn default() -> Self {
        // Twenty jobs are more than fail on an ordinary day. Two seconds are
        // less than a job needs for all its tries (1 s and 2 s between them),
        // so that running jobs are spared too. A pause of one second costs
        // little if a service just restarts. Ten minutes outlast most outages,
        // and bound the delay of good jobs if a CSP answers only some.
        Self {
            enabled: true,
            failures: const { NonZeroU32::new(20).expect("twenty is not zero") },
            over_ms: 2_000,
            open_ms: const { NonZeroU64::new(1_000).expect("a thousand is not zero") },
            max_open_ms: const { NonZeroU64::new(30_000).expect("thirty thousand is not zero") },
            max_hold_ms: const { NonZeroU64::new(600_000).expect("ten minutes is not zero") },
        }
    }
}

impl BreakerConfig {
    /// A bound on memory: the failing jobs are remembered by id.
    const FAILURES_MAX: u32 = 1_000;
    /// Five minutes: waiting jobs must notice soon that the CSP is back.
    const OPEN_MS_MAX: u64 = 300_000;
    /// One day: a job must not wait for ever for its outcome.
    const HOLD_MS_MAX: u64 = 86_400_000;
}

impl Table for BreakerConfig {
    fn check(&self, _: &Names<'_>) -> Vec<Problem> {
        let mut problems = Vec::new();
        if self.failures.get() > Self::FAILURES_MAX {
            problems.push(Problem::new("failures", "must be at most 1000"));
        }
        if self.over_ms > Self::OPEN_MS_MAX {
            problems.push(Problem::new("over_ms", "must be at most 300000"));
        }
        if self.max_open_ms.get() > Self::OPEN_MS_MAX {
            problems.push(Problem::new("max_open_ms", "must be at most 300000"));
        }
        if self.open_ms > self.max_open_ms {
            problems.push(Problem::new("open_ms", "must be at most `max_open_ms`"));
        }
        if self.max_hold_ms.get() > Self::HOLD_MS_MAX {
            problems.push(Problem::new("max_hold_ms", "must be at most 86400000"));
        }
        if self.max_open_ms > self.max_hold_ms {
            problems.push(Problem::new("max_hold_ms", "must be at least `max_open_ms`"));
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invalid_keys_are_named() {
        let check = |toml: &str, expected: &[&str]| {
            let config: BreakerConfig = toml::from_str(toml).unwrap();
            let keys: Vec<String> =
                config.check(&Names::default()).into_iter().map(|problem| problem.key).collect();
            assert_eq!(keys, expected, "{toml}");
        };
        check("", &[]);
        check("open_ms = 1\nmax_open_ms = 1\nfailures = 1000\nover_ms = 300000", &[]);
        check("failures = 1001\nover_ms = 300001", &["failures", "over_ms"]);
        check("max_open_ms = 300001", &["max_open_ms"]);
        check("open_ms = 30001", &["open_ms"]);
        check("max_hold_ms = 29999", &["max_hold_ms"]);
        check("max_hold_ms = 86400001", &["max_hold_ms"]);
        assert!(toml::from_str::<BreakerConfig>("failures = 0").is_err());
    }
}
