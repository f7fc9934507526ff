//! What an operator says about the breaker of one CSP.

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
    /// How many different jobs must have a call that fails, with no answer
    /// between them.
    pub failures: NonZeroU32,
    /// How long that must have gone on.
    pub over_ms: u64,
    /// The first pause; doubled after each failure that follows it.
    pub open_ms: NonZeroU64,
    /// The bound on that doubling: how long after its return a CSP is noticed.
    pub max_open_ms: NonZeroU64,
    /// How long jobs are held back in all. Then they take their chance, and
    /// the breaker stays out of the way until the CSP has answered.
    pub max_hold_ms: NonZeroU64,
}

impl Default for BreakerConfig {
    fn default() -> Self {
        // Twenty are more than the jobs that go wrong on an ordinary day. Two
        // seconds are less than a job needs for all its calls (1 s and 2 s
        // between them), so that those in hand are spared, too. A pause of a
        // second costs little where it was a service that restarts. Ten minutes
        // outlast most outages, and are what a CSP that answers some and not
        // others may cost the others.
        Self {
            enabled: true,
            failures: const { NonZeroU32::new(20).expect("twenty is not zero") },
            over_ms: 2_000,
            open_ms: const { NonZeroU64::new(1_000).expect("a thousand is not zero") },
            max_open_ms: const { NonZeroU64::new(30_000).expect("it is not zero") },
            max_hold_ms: const { NonZeroU64::new(600_000).expect("it is not zero") },
        }
    }
}

impl BreakerConfig {
    /// The failing jobs are remembered by name.
    const FAILURES_MAX: u32 = 1_000;
    /// Jobs that wait must find out soon that the CSP is back.
    const OPEN_MS_MAX: u64 = 300_000;
    /// Somebody waits for what becomes of a job.
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
    fn what_cannot_be_meant_is_named() {
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
