//! Times in buckets of equal ratio, for the median and the 99th percentile.

use std::time::Duration;

/// The upper bound of the first bucket: half a quarter of a millisecond.
const FIRST_US: f64 = 128.0;

/// Buckets for each doubling: each is wider than the one before by a fifth.
const STEPS: f64 = 4.0;

/// The buckets: up to ten days, the longest wait of a job.
const BUCKETS: usize = 132;

/// The numbers of times in each bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Histogram([u32; BUCKETS]);

impl Default for Histogram {
    fn default() -> Self {
        Self([0; BUCKETS])
    }
}

impl Histogram {
    /// Adds a time. Longer ones than ten days count as that long.
    pub fn record(&mut self, time: Duration) {
        let steps = (time.as_secs_f64() * 1e6 / FIRST_US).log2() * STEPS;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a cast of a float to an integer saturates, and zero has no logarithm"
        )]
        let bucket = (steps.ceil() as usize).min(BUCKETS - 1);
        self.0[bucket] = self.0[bucket].saturating_add(1);
    }

    /// Adds the times of another histogram.
    pub fn merge(&mut self, other: &Self) {
        for (count, more) in self.0.iter_mut().zip(other.0) {
            *count = count.saturating_add(more);
        }
    }

    /// Returns the time that this part of all times does not exceed, to the bound
    /// of its bucket. Returns `None` if there is no time.
    pub fn quantile(&self, part: f64) -> Option<Duration> {
        let total: u64 = self.0.iter().map(|count| u64::from(*count)).sum();
        if total == 0 {
            return None;
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "the counts of a day are far below the precision"
        )]
        let wanted = ((total as f64 * part).ceil() as u64).max(1);
        let mut seen = 0;
        let bucket = self.0.iter().position(|count| {
            seen += u64::from(*count);
            seen >= wanted
        });
        #[expect(clippy::cast_precision_loss, reason = "there are few buckets")]
        let steps = bucket.unwrap_or(BUCKETS - 1) as f64;
        Some(Duration::from_secs_f64(FIRST_US * (steps / STEPS).exp2() / 1e6))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_the_bound_of_its_bucket() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.quantile(0.5), None);
        for ms in 1..=1_000 {
            histogram.record(Duration::from_millis(ms));
        }
        for (part, ms) in [(0.5, 500.0), (0.99, 990.0), (0.0, 1.0), (1.0, 1_000.0)] {
            let found = histogram.quantile(part).expect("there are times").as_secs_f64() * 1e3;
            assert!((ms..=ms * 1.2).contains(&found), "{part}: {found}");
        }
        let mut extremes = Histogram::default();
        extremes.record(Duration::ZERO);
        extremes.record(Duration::MAX);
        assert_eq!(extremes.quantile(0.5), Some(Duration::from_micros(128)));
        let longest = extremes.quantile(1.0).expect("there are times");
        assert!(longest > Duration::from_hours(240), "{longest:?}");
        extremes.merge(&histogram);
        assert!(extremes.quantile(0.5) > Some(Duration::from_millis(400)));
    }
}
