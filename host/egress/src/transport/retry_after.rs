//! Reads `Retry-After` (RFC 9110 section 10.2.3) and its relatives.

use std::time::Duration;
use std::time::SystemTime;

use http::HeaderMap;
use http::header;

use hoth_platform::clock::Clock;

/// The longest wait that is returned. No job outlives its polling deadline of
/// some days, so a longer wait has the same effect, and the bound keeps times
/// from overflowing.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// The fields in which a CSP asks to wait. The last two are those of Azure.
const FIELDS: [&str; 3] = ["retry-after", "retry-after-ms", "x-ms-retry-after-ms"];

/// The end of the name of a field in milliseconds.
const MILLISECONDS: &str = "-ms";

/// Returns the longest time that the CSP asks to wait, or `None` if every field
/// is absent or invalid. `more` are further fields of the CSP.
pub fn read(headers: &HeaderMap, more: &[String], clock: &Clock) -> Option<Duration> {
    let fields = FIELDS.into_iter().chain(more.iter().map(String::as_str));
    let requested = fields.filter_map(|name| read_field(headers, name, clock)).max()?;
    Some(requested.min(RETRY_AFTER_MAX))
}

/// Reads one field. Some servers send a fraction of a second, which RFC 9110
/// does not have. A date is compared with the response's own `Date`, so that
/// the two clocks need not agree.
fn read_field(headers: &HeaderMap, name: &str, clock: &Clock) -> Option<Duration> {
    let value = headers.get(name)?.to_str().ok()?.trim();
    match (seconds(value), name.ends_with(MILLISECONDS)) {
        // Of milliseconds, a fraction is dropped.
        (Some(number), true) => Some(Duration::from_millis(number.as_secs())),
        (Some(number), false) => Some(number),
        (None, _) => {
            let until = httpdate::parse_http_date(value).ok()?;
            Some(until.duration_since(responded_at(headers, clock)).unwrap_or_default())
        }
    }
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
    use http::HeaderName;
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
            assert_eq!(read(&headers, &[], &clock), seconds.map(Duration::from_secs), "{value:?}");
        }
        let mut headers = HeaderMap::new();
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static("3.5"));
        assert_eq!(read(&headers, &[], &clock), Some(Duration::from_millis(3_500)));
        assert_eq!(read(&HeaderMap::new(), &[], &clock), None);
    }

    #[test]
    fn the_longest_of_several_fields_counts() {
        let clock = Clock::manual(Timestamp::from_millis(0));
        let check = |fields: &[(&'static str, &'static str)], expected_ms: Option<u64>| {
            let fields = fields.iter().map(|(name, value)| {
                (HeaderName::from_static(name), HeaderValue::from_static(value))
            });
            let more = ["x-quota-retry-after".to_owned()];
            let read = read(&fields.collect(), &more, &clock);
            assert_eq!(read, expected_ms.map(Duration::from_millis));
        };
        check(&[("retry-after-ms", "1500")], Some(1_500));
        check(&[("x-ms-retry-after-ms", "250"), ("retry-after", "1")], Some(1_000));
        check(&[("x-ms-retry-after-ms", "soon"), ("retry-after-ms", "7.5")], Some(7));
        check(&[("x-quota-retry-after", "30"), ("retry-after", "2")], Some(30_000));
        check(&[("x-other-retry-after", "30")], None);
    }
}
