//! Reads `Retry-After` (RFC 9110 section 10.2.3).

use std::time::Duration;
use std::time::SystemTime;

use http::HeaderMap;
use http::header;

use hoth_platform::clock::Clock;

/// The longest wait that is returned. No job outlives its polling deadline of
/// some days, so a longer wait has the same effect, and the bound keeps times
/// from overflowing.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// Returns the time that the CSP asks to wait, or `None` if the field is absent
/// or invalid. Some servers send a fraction of a second, which RFC 9110 does not
/// have. A date is compared with the response's own `Date`, so that the
/// two clocks need not agree.
pub fn read(headers: &HeaderMap, clock: &Clock) -> Option<Duration> {
    let value = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    let requested = if let Some(seconds) = seconds(value) {
        seconds
    } else {
        let until = httpdate::parse_http_date(value).ok()?;
        until.duration_since(responded_at(headers, clock)).unwrap_or_default()
    };
    Some(requested.min(RETRY_AFTER_MAX))
}

/// Reads digits, with a fraction or without one. Signs, exponents and words,
/// which the number parser would take, are invalid.
fn seconds(value: &str) -> Option<Duration> {
    let (whole, fraction) = value.split_once('.').unwrap_or((value, "0"));
    let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if !is_digits(whole) || !is_digits(fraction) {
        return None;
    }
    // A number that overflows a duration asks for the longest wait.
    let seconds = value.parse().map(Duration::try_from_secs_f64);
    Some(seconds.ok()?.unwrap_or(Duration::MAX))
}

/// Returns the time of the response, by its `Date` if it has one.
pub fn responded_at(headers: &HeaderMap, clock: &Clock) -> SystemTime {
    date(headers)
        .unwrap_or_else(|| SystemTime::UNIX_EPOCH + Duration::from_millis(clock.wall().as_millis()))
}

/// Returns the `Date` of a response, or `None` if it is absent or invalid.
pub fn date(headers: &HeaderMap) -> Option<SystemTime> {
    let date = headers.get(header::DATE)?.to_str().ok()?;
    httpdate::parse_http_date(date).ok()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;
    use hoth_core::domain::Timestamp;

    #[test]
    fn retry_after_is_a_number_of_seconds_or_a_date() {
        // 2026-01-02T03:04:05Z
        let clock = Clock::manual(Timestamp::from_millis(1_767_323_045_000));
        let month = Some(30 * 86_400);
        for (value, date, seconds) in [
            ("0", None, Some(0)),
            (" 7 ", None, Some(7)),
            ("86400", None, Some(86_400)),
            ("99999999999", None, month),
            ("99999999999999999999999999", None, month),
            ("Fri, 02 Jan 2026 03:04:15 GMT", None, Some(10)),
            ("Fri, 02 Jan 2026 03:00:00 GMT", None, Some(0)),
            ("Fri, 02 Jan 2099 03:00:00 GMT", None, month),
            ("Fri, 02 Jan 2026 03:04:15 GMT", Some("Fri, 02 Jan 2026 03:04:00 GMT"), Some(15)),
            ("Fri, 02 Jan 2026 03:04:15 GMT", Some("today"), Some(10)),
            ("", None, None),
            ("-1", None, None),
            ("1.5.0", None, None),
            (".5", None, None),
            ("1.", None, None),
            ("1e3", None, None),
            ("inf", None, None),
            ("soon", None, None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static(value));
            if let Some(date) = date {
                headers.insert(header::DATE, HeaderValue::from_static(date));
            }
            assert_eq!(read(&headers, &clock), seconds.map(Duration::from_secs), "{value:?}");
        }
        let mut headers = HeaderMap::new();
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static("3.5"));
        assert_eq!(read(&headers, &clock), Some(Duration::from_millis(3_500)));
        assert_eq!(read(&HeaderMap::new(), &clock), None);
    }
}
