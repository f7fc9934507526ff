//! The configuration of one CSP's breaker.

use std::num::NonZeroU32;
use std::num::NonZeroU64;
use std::ops::RangeInclusive;

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
    /// The upper bound is one on memory: the failing jobs are remembered by id.
    const FAILURES: RangeInclusive<u64> = 1..=1_000;
    /// Up to five minutes; 0 counts failures alone.
    const OVER_MS: RangeInclusive<u64> = 0..=300_000;
    /// Below these bounds, probes would follow each other without a pause. Above
    /// them, five minutes, waiting jobs would not notice soon that the CSP is
    /// back.
    const OPEN_MS: RangeInclusive<u64> = 1..=300_000;
    /// Up to one day: a job must not wait for ever for its outcome.
    const HOLD_MS: RangeInclusive<u64> = 1..=86_400_000;
}

impl Table for BreakerConfig {
    fn check(&self, _: &Names<'_>) -> Vec<Problem> {
        let (open, max_open) = (self.open_ms.get(), self.max_open_ms.get());
        let hold = self.max_hold_ms.get();
        let bounded = [
            ("failures", self.failures.get().into(), Self::FAILURES),
            ("over_ms", self.over_ms, Self::OVER_MS),
            ("open_ms", open, Self::OPEN_MS),
            ("max_open_ms", max_open, Self::OPEN_MS),
            ("max_hold_ms", hold, Self::HOLD_MS),
        ];
        let problem = |(key, value, bounds)| Problem::out_of_range(key, value, &bounds);
        let mut problems: Vec<_> = bounded.into_iter().filter_map(problem).collect();
        problems.extend(Problem::above("open_ms", open, "max_open_ms", max_open));
        problems.extend(Problem::above("max_open_ms", max_open, "max_hold_ms", hold));
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
        check("max_hold_ms = 29999", &["max_open_ms"]);
        check("max_hold_ms = 86400001", &["max_hold_ms"]);
        assert!(toml::from_str::<BreakerConfig>("failures = 0").is_err());
    }
}
