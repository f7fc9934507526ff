//! How many requests one caller may make.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::Mutex;
use std::time::Duration;
use std::time::Instant;

/// Callers that are told apart. Keys are few; where there are none, callers
/// are addresses of the loopback network, of which there are many.
const CALLERS_MAX: usize = 4_096;

/// Who all those stand for that are too many.
const OTHERS: &str = "";

/// So many requests a second, and so many at once.
#[derive(Debug, Clone, Copy)]
pub struct Rate {
    pub per_second: NonZeroU32,
    pub burst: NonZeroU32,
}

/// A token bucket for every caller.
pub struct Limiter {
    rate: Rate,
    buckets: Mutex<HashMap<String, Bucket>>,
}

struct Bucket {
    tokens: f64,
    at: Instant,
}

impl Limiter {
    /// All buckets are full.
    pub fn new(rate: Rate) -> Self {
        Self { rate, buckets: Mutex::default() }
    }

    /// Counts one request of `caller`.
    ///
    /// # Errors
    ///
    /// How long the caller should wait, when it has made too many.
    pub fn take(&self, caller: &str, now: Instant) -> Result<(), Duration> {
        let mut buckets = self.buckets.lock().expect("no one panics while holding the buckets");
        let bucket = self.bucket(&mut buckets, caller, now);
        bucket.tokens = self.rate.filled(bucket, now);
        bucket.at = now;
        if bucket.tokens >= 1.0 {
            bucket.tokens -= 1.0;
            return Ok(());
        }
        let seconds = (1.0 - bucket.tokens) / f64::from(self.rate.per_second.get());
        Err(Duration::from_secs_f64(seconds))
    }

    fn bucket<'b>(
        &self,
        buckets: &'b mut HashMap<String, Bucket>,
        caller: &str,
        now: Instant,
    ) -> &'b mut Bucket {
        let known = buckets.contains_key(caller);
        if !known && buckets.len() >= CALLERS_MAX {
            // A full bucket is as good as none.
            let burst = f64::from(self.rate.burst.get());
            buckets.retain(|_, bucket| self.rate.filled(bucket, now) < burst);
        }
        let crowded = !known && buckets.len() >= CALLERS_MAX;
        let caller = if crowded { OTHERS } else { caller };
        let full = Bucket { tokens: f64::from(self.rate.burst.get()), at: now };
        buckets.entry(caller.to_owned()).or_insert(full)
    }
}

impl Rate {
    fn filled(self, bucket: &Bucket, now: Instant) -> f64 {
        let since = now.saturating_duration_since(bucket.at).as_secs_f64();
        let tokens = bucket.tokens + since * f64::from(self.per_second.get());
        tokens.min(f64::from(self.burst.get()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limiter(per_second: u32, burst: u32) -> Limiter {
        let number = |n| NonZeroU32::new(n).unwrap();
        Limiter::new(Rate { per_second: number(per_second), burst: number(burst) })
    }

    #[test]
    fn a_burst_is_taken_and_then_the_rate_holds() {
        let limiter = limiter(2, 3);
        let begun = Instant::now();
        let at = |millis| limiter.take("a", begun + Duration::from_millis(millis));
        assert_eq!([at(0), at(0), at(0)], [Ok(()), Ok(()), Ok(())]);
        assert_eq!(at(0), Err(Duration::from_millis(500)));
        assert_eq!(at(400), Err(Duration::from_millis(100)));
        assert_eq!(at(500), Ok(()));
        assert_eq!(at(500), Err(Duration::from_millis(500)));
        // No more than a burst is ever saved up.
        assert_eq!([at(60_000), at(60_000), at(60_000)], [Ok(()), Ok(()), Ok(())]);
        assert!(at(60_000).is_err());
    }

    #[test]
    fn one_callers_requests_are_nobody_elses() {
        let limiter = limiter(1, 1);
        let now = Instant::now();
        assert_eq!(limiter.take("a", now), Ok(()));
        assert!(limiter.take("a", now).is_err());
        assert_eq!(limiter.take("b", now), Ok(()));
    }

    #[test]
    fn callers_are_forgotten_when_they_are_quiet_and_bounded_when_not() {
        let limiter = limiter(1, 1);
        let begun = Instant::now();
        for n in 0..CALLERS_MAX {
            assert_eq!(limiter.take(&n.to_string(), begun), Ok(()));
        }
        assert_eq!(limiter.take("one more", begun), Ok(()), "the others have a bucket");
        assert!(limiter.take("and another", begun).is_err(), "which they share");
        assert_eq!(limiter.buckets.lock().unwrap().len(), CALLERS_MAX + 1);
        let later = begun + Duration::from_secs(2);
        assert_eq!(limiter.take("much later", later), Ok(()));
        assert_eq!(limiter.buckets.lock().unwrap().len(), 1);
    }
}
