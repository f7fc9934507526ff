//! The clock that signatures are dated with.

use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::SystemTime;

use http::HeaderMap;
use tracing::warn;

use crate::transport::retry_after;
use hoth_core::domain::CspName;
use hoth_core::domain::Timestamp;
use hoth_platform::clock::Clock;

/// The least difference that is corrected. No CSP refuses a date for less, and a
/// response may take as long to arrive.
const SKEW_MIN: Duration = Duration::from_secs(60);

/// The largest correction. A machine whose clock is further off has a fault that
/// its operator must see.
const SKEW_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// The wall clock, corrected by the time of the CSP. Clones share the
/// correction.
#[derive(Debug, Clone)]
pub struct SigningClock {
    csp: CspName,
    clock: Clock,
    /// Added to the wall clock, in milliseconds.
    offset_ms: Arc<AtomicI64>,
}

/// The difference between a CSP's time and the wall clock, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Skew(i64);

impl SigningClock {
    pub fn new(csp: &CspName, clock: Clock) -> Self {
        Self { csp: csp.clone(), clock, offset_ms: Arc::default() }
    }

    /// Returns the time for the next signature.
    pub fn now(&self) -> Timestamp {
        let offset = self.offset_ms.load(Ordering::Relaxed);
        Timestamp::from_millis(self.clock.wall().as_millis().saturating_add_signed(offset))
    }

    /// Returns the skew that a refused response shows by its `Date`, or `None`
    /// if its signature had the right time, as far as one can tell.
    pub fn skew(&self, headers: &HeaderMap) -> Option<Skew> {
        let date = retry_after::date(headers)?.duration_since(SystemTime::UNIX_EPOCH).ok()?;
        let theirs = i64::try_from(date.as_millis()).ok()?;
        let since = |ours: Timestamp| Some(theirs - i64::try_from(ours.as_millis()).ok()?);
        let is_over =
            |skew: i64, limit: Duration| u128::from(skew.unsigned_abs()) > limit.as_millis();
        let (signed, wall) = (since(self.now())?, since(self.clock.wall())?);
        if !is_over(signed, SKEW_MIN) {
            return None;
        }
        if is_over(wall, SKEW_MAX) {
            let csp = &self.csp;
            warn!(%csp, skew_s = wall / 1000, event = "clock-skew", "The clock of {csp} differs from that of this host by more than a day; signatures are not corrected");
            return None;
        }
        Some(Skew(wall))
    }

    /// Dates the following signatures by the CSP's time.
    pub fn correct(&self, Skew(offset): Skew) {
        let csp = &self.csp;
        warn!(%csp, skew_s = offset / 1000, event = "clock-skew", "The clock of this host differs from that of {csp}; signatures have the time of {csp} from now on");
        self.offset_ms.store(offset, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use http::header;

    use super::*;

    const NOW_S: u64 = 1_795_905_482;

    fn dated(by_s: i64) -> HeaderMap {
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(NOW_S.saturating_add_signed(by_s));
        let date = HeaderValue::try_from(httpdate::fmt_http_date(at)).unwrap();
        HeaderMap::from_iter([(header::DATE, date)])
    }

    fn clock() -> SigningClock {
        let now = Timestamp::from_millis(NOW_S * 1000);
        SigningClock::new(&"CSP_A".parse().unwrap(), Clock::manual(now))
    }

    #[test]
    fn a_skew_of_more_than_a_minute_and_at_most_a_day_is_corrected() {
        for (by_s, corrected) in [
            (0, false),
            (60, false),
            (-60, false),
            (61, true),
            (-61, true),
            (86_400, true),
            (-86_400, true),
            (86_401, false),
            (-86_401, false),
        ] {
            let clock = clock();
            let skew = clock.skew(&dated(by_s));
            assert_eq!(skew, corrected.then_some(Skew(by_s * 1000)), "{by_s}");
            let Some(skew) = skew else { continue };
            clock.clone().correct(skew);
            let now = NOW_S.saturating_add_signed(by_s) * 1000;
            assert_eq!(clock.now(), Timestamp::from_millis(now), "clones share it");
            assert_eq!(clock.skew(&dated(by_s)), None, "it is corrected once");
            assert_eq!(clock.skew(&dated(0)), Some(Skew(0)), "and back again");
        }
    }

    #[test]
    fn a_response_without_a_date_shows_no_skew() {
        assert_eq!(clock().skew(&HeaderMap::new()), None);
        let bad = HeaderMap::from_iter([(header::DATE, HeaderValue::from_static("today"))]);
        assert_eq!(clock().skew(&bad), None);
    }
}
