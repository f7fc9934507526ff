//! A rate limit per caller, as token buckets.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::Mutex;
use std::time::Duration;
use std::time::Instant;

/// The largest number of callers with a bucket of their own. Keys are few. On a
/// host without keys, callers are loopback addresses, of which there are many.
const CALLERS_MAX: usize = 4_096;

/// The bucket that all further callers share.
const OVERFLOW: &str = "";

/// A rate of requests per second, and the size of a burst.
#[derive(Debug, Clone, Copy)]
pub struct Rate {
    pub per_second: NonZeroU32,
    pub burst: NonZeroU32,
}

/// A token bucket for each caller.
pub struct RateLimiter {
    rate: Rate,
    /// Bounded by [`CALLERS_MAX`]: full buckets are dropped when it is reached.
    buckets: Mutex<HashMap<String, Bucket>>,
}

struct Bucket {
    /// A fraction too, so that refills between requests that follow each other
    /// closely add up.
    tokens: f64,
    /// The time of the last refill.
    at: Instant,
}

impl RateLimiter {
    /// Creates a limiter whose buckets are all full.
    pub fn new(rate: Rate) -> Self {
        Self { rate, buckets: Mutex::default() }
    }

    /// Takes a token for one request of `caller`.
    ///
    /// # Errors
    ///
    /// Returns the time until the next token if the bucket is empty.
    pub fn take(&self, caller: &str, now: Instant) -> Result<(), Duration> {
        let mut buckets = self.buckets.lock().expect("no code panics while it holds the buckets");
        let bucket = self.bucket(&mut buckets, caller, now);
        // Refilled here, by the time that has passed: no timer has to run for
        // buckets that are not in use.
        bucket.tokens = self.rate.filled(bucket, now);
        bucket.at = now;
        if bucket.tokens >= 1.0 {
            bucket.tokens -= 1.0;
            return Ok(());
        }
        let seconds = (1.0 - bucket.tokens) / f64::from(self.rate.per_second.get());
        Err(Duration::from_secs_f64(seconds))
    }

    /// Returns the caller's bucket, or the shared one if there are too many.
    fn bucket<'b>(
        &self,
        buckets: &'b mut HashMap<String, Bucket>,
        caller: &str,
        now: Instant,
    ) -> &'b mut Bucket {
        let known = buckets.contains_key(caller);
        if !known && buckets.len() >= CALLERS_MAX {
            // A caller without a bucket starts with a full one, so a full
            // bucket can be dropped.
            let burst = f64::from(self.rate.burst.get());
            buckets.retain(|_, bucket| self.rate.filled(bucket, now) < burst);
        }
        // All callers without a bucket then share one. That is stricter for
        // them, but the memory stays bounded.
        let crowded = !known && buckets.len() >= CALLERS_MAX;
        let caller = if crowded { OVERFLOW } else { caller };
        let full = Bucket { tokens: f64::from(self.rate.burst.get()), at: now };
        buckets.entry(caller.to_owned()).or_insert(full)
    }
}

impl Rate {
    /// Returns the tokens in a bucket at `now`.
    fn filled(self, bucket: &Bucket, now: Instant) -> f64 {
        let since = now.saturating_duration_since(bucket.at).as_secs_f64();
        let tokens = bucket.tokens + since * f64::from(self.per_second.get());
        tokens.min(f64::from(self.burst.get()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limiter(per_second: u32, burst: u32) -> RateLimiter {
        let number = |n| NonZeroU32::new(n).unwrap();
        RateLimiter::new(Rate { per_second: number(per_second), burst: number(burst) })
    }

    #[test]
    fn a_burst_is_taken_and_then_the_rate_holds() {
        let limiter = limiter(2, 3);
        let started_at = Instant::now();
        let at = |millis| limiter.take("a", started_at + Duration::from_millis(millis));
        assert_eq!([at(0), at(0), at(0)], [Ok(()), Ok(()), Ok(())]);
        assert_eq!(at(0), Err(Duration::from_millis(500)));
        assert_eq!(at(400), Err(Duration::from_millis(100)));
        assert_eq!(at(500), Ok(()));
        assert_eq!(at(500), Err(Duration::from_millis(500)));
        // A bucket never holds more than a burst.
        assert_eq!([at(60_000), at(60_000), at(60_000)], [Ok(()), Ok(()), Ok(())]);
        assert!(at(60_000).is_err());
    }

    #[test]
    fn callers_have_separate_buckets() {
        let limiter = limiter(1, 1);
        let now = Instant::now();
        assert_eq!(limiter.take("a", now), Ok(()));
        assert!(limiter.take("a", now).is_err());
        assert_eq!(limiter.take("b", now), Ok(()));
    }

    #[test]
    fn quiet_callers_are_forgotten_and_active_ones_are_bounded() {
        let limiter = limiter(1, 1);
        let started_at = Instant::now();
        for n in 0..CALLERS_MAX {
            assert_eq!(limiter.take(&n.to_string(), started_at), Ok(()));
        }
        assert_eq!(limiter.take("one more", started_at), Ok(()), "the shared bucket is full");
        assert!(limiter.take("and another", started_at).is_err(), "the shared bucket is empty");
        assert_eq!(limiter.buckets.lock().unwrap().len(), CALLERS_MAX + 1);
        let later = started_at + Duration::from_secs(2);
        assert_eq!(limiter.take("much later", later), Ok(()));
        assert_eq!(limiter.buckets.lock().unwrap().len(), 1);
    }
}
