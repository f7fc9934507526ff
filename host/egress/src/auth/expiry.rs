//! The end of a grant, where an issuer states a time and not a lifetime.

use std::time::Duration;
use std::time::SystemTime;

use http::HeaderMap;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::transport::retry_after;
use hoth_platform::clock::Clock;

/// Returns the time from a response to `expiry` (RFC 3339), by the issuer's own
/// clock if the response has a `Date`. Zero if it has passed. Returns `None` if
/// `expiry` is no time.
pub fn expires_in(expiry: &str, headers: &HeaderMap, clock: &Clock) -> Option<Duration> {
    let until = SystemTime::from(OffsetDateTime::parse(expiry, &Rfc3339).ok()?);
    let now = retry_after::responded_at(headers, clock);
    Some(until.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use http::header;

    use super::*;
    use hoth_core::domain::Timestamp;

    #[test]
    fn the_lifetime_counts_from_the_issuers_own_time() {
        // 2026-11-28T22:38:02Z
        let clock = Clock::manual(Timestamp::from_millis(1_795_905_482_000));
        let date = HeaderValue::from_static("Sat, 28 Nov 2026 23:08:02 GMT");
        let dated = HeaderMap::from_iter([(header::DATE, date)]);
        for (expiry, plain_s, dated_s) in [
            ("2026-11-28T23:38:02Z", Some(3600), Some(1800)),
            ("2026-11-28T23:38:02.75Z", Some(3600), Some(1800)),
            ("2026-11-29T00:38:02+01:00", Some(3600), Some(1800)),
            ("2026-11-28T22:00:00Z", Some(0), Some(0)),
            ("3600s", None, None),
            ("", None, None),
        ] {
            let lifetime =
                |headers: &HeaderMap| expires_in(expiry, headers, &clock).map(|it| it.as_secs());
            assert_eq!(lifetime(&HeaderMap::new()), plain_s, "{expiry}");
            assert_eq!(lifetime(&dated), dated_s, "{expiry}");
        }
    }
}
