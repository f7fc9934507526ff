//! Points in time.

use std::fmt;
use std::time::Duration;

use serde::Deserialize;
use serde::Serialize;

/// Milliseconds since 1970-01-01T00:00:00Z. Formatted as ISO 8601 in UTC with
/// milliseconds: `2030-01-02T00:00:00.000Z`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(u64);

impl Timestamp {
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// Returns the time after `duration`, saturating at the last timestamp.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(millis))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, millis) = (self.0 / 86_400_000, self.0 % 86_400_000);
        let (year, month, day) = date(days);
        let (seconds, millis) = (millis / 1000, millis % 1000);
        let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
    }
}

/// Returns year, month and day, `days` after 1970-01-01. Counts in eras of 400
/// years that begin on the first of March, so that a leap day is the last day
/// of a year (H. Hinnant, "chrono-compatible low-level date algorithms").
fn date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use time::OffsetDateTime;
    use time::format_description::well_known::Rfc3339;

    use super::*;

    #[test]
    fn a_timestamp_is_formatted_as_iso_8601() {
        for (millis, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399_999, "2000-02-28T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_893_542_400_000, "2030-01-02T00:00:00.000Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        ] {
            assert_eq!(Timestamp::from_millis(millis).to_string(), text);
        }
        let end = Timestamp::from_millis(u64::MAX);
        assert_eq!(end.after(Duration::from_secs(1)), end);
        assert!(end.to_string().starts_with("584556019-"), "{end}");
    }

    proptest::proptest! {
        #[test]
        fn timestamps_agree_with_a_calendar(millis in 0_u64..253_402_300_800_000) {
            let text = Timestamp::from_millis(millis).to_string();
            let read = OffsetDateTime::parse(&text, &Rfc3339).expect("it is RFC 3339 too");
            proptest::prop_assert_eq!(read.unix_timestamp_nanos(), i128::from(millis) * 1_000_000);
        }
    }
}
