//! Times, ages and numbers as people read them, and hostile text made safe.
//!
//! maud escapes what could be taken for markup. What this module adds is the
//! rest: text of CSPs, adapters and clients may be long, and may have characters
//! that change the order of others.

use std::time::Duration;

use maud::Markup;
use maud::html;
use percent_encoding::AsciiSet;
use percent_encoding::NON_ALPHANUMERIC;
use percent_encoding::utf8_percent_encode;

use hoth_core::domain::Timestamp;
use hoth_core::domain::printable;

/// The characters of foreign text that a page shows in one place.
const FOREIGN_CHARS_MAX: usize = 400;

/// Characters that a segment of a path may contain as they are (RFC 3986, section 2.3).
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Encodes text as one segment of a path.
pub fn segment(text: &str) -> String {
    utf8_percent_encode(text, SEGMENT).to_string()
}

/// Returns foreign text as one line, cut to [`FOREIGN_CHARS_MAX`].
pub fn foreign(text: &str) -> String {
    let mut cut: String = text.chars().take(FOREIGN_CHARS_MAX).collect();
    if cut.len() < text.len() {
        cut.push('…');
    }
    printable(&cut).into_owned()
}

/// Returns a time in UTC. The script puts the local time before it.
pub fn time(at: Timestamp) -> Markup {
    let rfc3339 = at.to_rfc3339();
    html! { time datetime=(rfc3339) { (utc(&rfc3339)) } }
}

/// Returns a time that is given in RFC 3339.
pub fn time_text(rfc3339: &str) -> Markup {
    html! { time datetime=(rfc3339) { (utc(rfc3339)) } }
}

/// Shortens a time to seconds: `2026-11-29 19:40:12 UTC`.
fn utc(rfc3339: &str) -> String {
    match (rfc3339.get(..10), rfc3339.get(11..19)) {
        (Some(day), Some(time)) => format!("{day} {time} UTC"),
        (None, _) | (_, None) => rfc3339.to_owned(),
    }
}

/// Returns a duration with its two largest units: `3 min 20 s`.
pub fn duration(duration: Duration) -> String {
    let (us, ms, s) = (duration.as_micros(), duration.as_millis(), duration.as_secs());
    let (minutes, hours, days) = (s / 60, s / 3_600, s / 86_400);
    let two = |a: u64, unit_a: &str, b: u64, unit_b: &str| match b {
        0 => format!("{a} {unit_a}"),
        b => format!("{a} {unit_a} {b} {unit_b}"),
    };
    match () {
        () if us < 1_000 => format!("{us} µs"),
        () if ms < 1_000 => format!("{ms} ms"),
        () if s < 10 => format!("{:.1} s", duration.as_secs_f64()),
        () if s < 60 => format!("{s} s"),
        () if minutes < 60 => two(minutes, "min", s % 60, "s"),
        () if hours < 24 => two(hours, "h", minutes % 60, "min"),
        () => two(days, "d", hours % 24, "h"),
    }
}

/// Returns a number of bytes with a unit: `1.4 MiB`.
#[expect(clippy::cast_precision_loss, reason = "one decimal is shown")]
pub fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1_024 {
        return format!("{bytes} B");
    }
    let mut scaled = bytes as f64 / 1_024.0;
    let mut unit = 0;
    while scaled >= 1_024.0 && unit + 1 < UNITS.len() {
        scaled /= 1_024.0;
        unit += 1;
    }
    format!("{scaled:.1} {}", UNITS[unit])
}

/// Returns a count with its noun: `1 job`, `2 jobs`.
pub fn count(number: u64, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_two_units() {
        for (ms, expected) in [
            (0, "0 µs"),
            (1, "1 ms"),
            (999, "999 ms"),
            (1_000, "1.0 s"),
            (59_000, "59 s"),
            (60_000, "1 min"),
            (200_000, "3 min 20 s"),
            (3_600_000, "1 h"),
            (90_061_000, "1 d 1 h"),
        ] {
            assert_eq!(duration(Duration::from_millis(ms)), expected);
        }
    }

    #[test]
    fn bytes_have_a_unit() {
        for (number, expected) in [
            (0, "0 B"),
            (1_023, "1023 B"),
            (1_024, "1.0 KiB"),
            (1_468_006, "1.4 MiB"),
            (1 << 50, "1024.0 TiB"),
        ] {
            assert_eq!(bytes(number), expected);
        }
    }

    #[test]
    fn foreign_text_is_one_line_of_bounded_length() {
        assert_eq!(foreign("a\nb\u{202e}c"), "a\\nb\\u{202e}c");
        assert_eq!(foreign(&"x".repeat(500)).chars().count(), 401);
        let markup = html! { (foreign("<script>alert(1)</script>")) };
        assert_eq!(markup.into_string(), "&lt;script&gt;alert(1)&lt;/script&gt;");
    }
}
