//! Days of the calendar, and the periods that ServiceNow sends.

use std::fmt;

use time::Date as Day;
use time::Duration;
use time::Month;

use crate::Failure;
use crate::Timestamp;

/// A day. Formatted as `2026-07-01`.
///
/// ServiceNow sends days (`2026-07-01`) and months (`2026-07`). A period from
/// `a` to `b` contains both, so it is the half-open interval from
/// [`Date::first_of`]`(a)` to [`Date::after`]`(b)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Date(Day);

impl Date {
    /// Returns the first day of a day or month.
    ///
    /// # Errors
    ///
    /// [`Failure`] of the class `unsupported` if the text is neither.
    pub fn first_of(text: &str) -> Result<Self, Failure> {
        read(text).map(|(day, _)| day).ok_or_else(|| not_a_date(text))
    }

    /// Returns the day after a day or month.
    ///
    /// # Errors
    ///
    /// As of [`Date::first_of`].
    pub fn after(text: &str) -> Result<Self, Failure> {
        let next = read(text).and_then(|(day, unit)| match unit {
            Unit::Day => day.0.next_day().map(Self),
            Unit::Month => Some(day.first_of_next_month()),
        });
        next.ok_or_else(|| not_a_date(text))
    }

    /// Returns the first day of the month after this one. December 9999 is its
    /// own successor.
    #[must_use]
    pub fn first_of_next_month(self) -> Self {
        let first = self.first_of_month();
        // A month has at most 31 days, so this is in the next one.
        first.0.checked_add(Duration::days(31)).map_or(first, |day| Self(day).first_of_month())
    }

    /// Returns the first day of this month.
    #[must_use]
    pub fn first_of_month(self) -> Self {
        Self(self.0.replace_day(1).unwrap_or(self.0))
    }

    /// Returns the day before. 1 January of the year -9999 is its own
    /// predecessor.
    #[must_use]
    pub fn day_before(self) -> Self {
        Self(self.0.previous_day().unwrap_or(self.0))
    }

    /// Returns the month, as `2026-07`.
    pub fn month(self) -> String {
        format!("{:04}-{:02}", self.0.year(), u8::from(self.0.month()))
    }
}

/// Returns the day in UTC.
impl From<Timestamp> for Date {
    fn from(time: Timestamp) -> Self {
        let days = i64::try_from(time.as_millis() / 86_400_000).unwrap_or(i64::MAX);
        let epoch = Day::from_ordinal_date(1970, 1).unwrap_or(Day::MIN);
        let day = (days < i64::from(i32::MAX)).then(|| epoch.checked_add(Duration::days(days)));
        Self(day.flatten().unwrap_or(Day::MAX))
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{:02}", self.month(), self.0.day())
    }
}

enum Unit {
    Day,
    Month,
}

fn read(text: &str) -> Option<(Date, Unit)> {
    let mut parts = text.split('-');
    let mut number = |digits: usize| -> Option<Option<u16>> {
        let Some(part) = parts.next() else { return Some(None) };
        let is_number = part.len() == digits && part.bytes().all(|byte| byte.is_ascii_digit());
        is_number.then(|| part.parse().ok())
    };
    let (year, month, day) = (number(4)??, number(2)??, number(2)?);
    if parts.next().is_some() {
        return None;
    }
    let month = Month::try_from(u8::try_from(month).ok()?).ok()?;
    let unit = if day.is_some() { Unit::Day } else { Unit::Month };
    let day = u8::try_from(day.unwrap_or(1)).ok()?;
    Some((Date(Day::from_calendar_date(i32::from(year), month, day).ok()?), unit))
}

fn not_a_date(text: &str) -> Failure {
    let text: String = text.chars().take(20).collect();
    Failure::unsupported(format!("{text:?} is neither a day (2026-07-01) nor a month (2026-07)"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_period_is_half_open() {
        for (text, first, after) in [
            ("2026-07", "2026-07-01", "2026-08-01"),
            ("2026-12", "2026-12-01", "2027-01-01"),
            ("2026-07-01", "2026-07-01", "2026-07-02"),
            ("2028-02-28", "2028-02-28", "2028-02-29"),
            ("2026-12-31", "2026-12-31", "2027-01-01"),
        ] {
            assert_eq!(Date::first_of(text).expect("a date").to_string(), first);
            assert_eq!(Date::after(text).expect("a date").to_string(), after);
        }
    }

    #[test]
    fn other_texts_are_refused_with_both_forms() {
        for text in
            ["", "2026", "2026-7", "26-07-01", "2026-13", "2026-02-30", "2026-07-01-01", "+026-07"]
        {
            let failure = Date::first_of(text).expect_err(text);
            assert!(failure.message.ends_with("a day (2026-07-01) nor a month (2026-07)"));
            assert!(Date::after(text).is_err(), "{text}");
        }
        assert!(Date::after("9999-12-31").is_err(), "the calendar ends");
    }

    #[test]
    fn a_day_has_neighbours_and_a_month() {
        let day = Date::first_of("2028-02-29").expect("a leap day");
        assert_eq!(day.first_of_month().to_string(), "2028-02-01");
        assert_eq!(day.first_of_next_month().to_string(), "2028-03-01");
        assert_eq!(day.first_of_month().day_before().to_string(), "2028-01-31");
        assert_eq!(day.month(), "2028-02");
    }

    #[test]
    fn a_time_is_in_a_day_of_utc() {
        for (millis, day) in [
            (0, "1970-01-01"),
            (86_399_999, "1970-01-01"),
            (1_893_542_400_000, "2030-01-02"),
            (u64::MAX, "9999-12-31"),
        ] {
            assert_eq!(Date::from(Timestamp::from_millis(millis)).to_string(), day);
        }
    }
}
