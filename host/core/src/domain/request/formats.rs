//! The forms of strings in requests.

use super::field::Constraint;
use super::field::Format;
use crate::domain::CspName;
use crate::domain::JobId;
use crate::domain::Timestamp;

// The texts below repeat both bounds as literals, because a constant cannot be
// formatted into a `&'static str`.
const _: () = assert!(JobId::BYTES_MAX == 256 && CspName::LEN_MAX == 32);

pub const ID: Format = Format {
    name: Some("Id"),
    description: "The idempotency key: 1 to 256 bytes without control characters. If `jobId` is \
                  missing, HOTH generates one (a UUID of version 7) and returns it. A repeated id \
                  with the same content is accepted and runs once; with different content it \
                  is refused.",
    examples: &["81b31a89-e3e5-46ee-acfe-75436bd14577"],
    constraint: Constraint::BoundedPattern {
        pattern: r"^[^\u0000-\u001f\u007f-\u009f]*$",
        // JSON Schema counts characters, so it accepts some ids that are too
        // long in bytes.
        max: JobId::BYTES_MAX,
    },
    problem: "must be 1 to 256 bytes without control characters",
    accepts: JobId::is_valid,
};

pub const CSP_NAME: Format = Format {
    name: Some("CspName"),
    description: "The name of a configured CSP.",
    examples: &["CSP_A"],
    constraint: Constraint::Pattern("^[A-Za-z0-9_-]{1,32}$"),
    problem: "must be 1 to 32 letters, digits, `-` and `_`",
    accepts: |name| name.parse::<CspName>().is_ok(),
};

pub const DATE: Format = Format {
    name: Some("Date"),
    description: "A calendar day or a month.",
    examples: &["2026-07-01", "2026-07"],
    constraint: Constraint::Pattern("^[0-9]{4}-(0[1-9]|1[0-2])(-(0[1-9]|[12][0-9]|3[01]))?$"),
    problem: "must be a date such as 2026-07-01 or 2026-07",
    accepts: |text| first_day(text).is_some(),
};

pub const TIME: Format = Format {
    name: None,
    description: "A time as RFC 3339 writes it.",
    examples: &["2026-07-01T12:00:00Z"],
    constraint: Constraint::Named("date-time"),
    problem: "must be a time such as 2026-07-01T12:00:00Z",
    accepts: |text| Timestamp::parse_rfc3339(text).is_some(),
};

/// Returns the first day of a day, `YYYY-MM-DD`, or of a month, `YYYY-MM`.
/// Returns `None` for any other text.
pub fn first_day(text: &str) -> Option<time::Date> {
    let mut parts = text.split('-');
    // A month counts as its first day.
    let (year, month, day) = (parts.next()?, parts.next()?, parts.next().unwrap_or("01"));
    // Fixed widths: ISO 8601 has leading zeros, and adapters may rely on them.
    let has_width =
        |part: &str, width| part.len() == width && part.bytes().all(|byte| byte.is_ascii_digit());
    let is_date = has_width(year, 4) && has_width(month, 2) && has_width(day, 2);
    if !is_date || parts.next().is_some() {
        return None;
    }
    let month = time::Month::try_from(month.parse::<u8>().ok()?).ok()?;
    time::Date::from_calendar_date(year.parse().ok()?, month, day.parse().ok()?).ok()
}

/// Returns the last day of a day or a month. Returns `None` for any other
/// text.
pub fn last_day(text: &str) -> Option<time::Date> {
    let first = first_day(text)?;
    match text.len() == MONTH_LEN {
        true => first.replace_day(first.month().length(first.year())).ok(),
        false => Some(first),
    }
}

/// The length of a month, `YYYY-MM`.
const MONTH_LEN: usize = 7;
