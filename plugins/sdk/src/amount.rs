//! Amounts of money, which CSPs write in different ways and which are added
//! without rounding.

use std::fmt;
use std::str::FromStr;

use rust_decimal::Decimal;
use serde::Deserialize;
use serde::Deserializer;
use serde::Serialize;
use serde::Serializer;

use crate::Json;

/// An exact decimal amount with up to 28 digits. Formatted as costs are:
/// `20.00`, `0.000012`, `-1.50`, with two decimals at least.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Amount(Decimal);

/// A text that is no amount: no decimal number, or one with too many digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is no amount")]
pub struct NotAnAmount;

impl Amount {
    /// Reads a JSON string or number: AWS and Google write strings, Azure and
    /// Oracle numbers, all of them perhaps with an exponent.
    ///
    /// # Errors
    ///
    /// [`NotAnAmount`]
    pub fn of(json: &Json) -> Result<Self, NotAnAmount> {
        match json {
            Json::Text(text) => text.parse(),
            Json::Number(number) => number.as_str().parse(),
            Json::Null | Json::Bool(_) | Json::List(_) | Json::Object(_) => Err(NotAnAmount),
        }
    }

    /// Returns the sum, or `None` if it has too many digits.
    #[must_use]
    pub fn checked_add(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).map(Self)
    }
}

/// Reads `12.34` and `1.2E-05`. Digits after the 28th decimal are rounded.
impl FromStr for Amount {
    type Err = NotAnAmount;

    fn from_str(text: &str) -> Result<Self, NotAnAmount> {
        let read = match text.contains(['e', 'E']) {
            true => Decimal::from_scientific(text),
            false => Decimal::from_str(text),
        };
        read.map(Self).map_err(|_| NotAnAmount)
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let amount = self.0.normalize();
        let decimals = usize::try_from(amount.scale()).unwrap_or(usize::MAX).max(2);
        write!(f, "{amount:.decimals$}")
    }
}

impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_in_every_form_and_written_in_one() {
        for (text, written) in [
            ("0", "0.00"),
            ("12", "12.00"),
            ("12.3", "12.30"),
            ("12.3456789012", "12.3456789012"),
            ("1.2E-05", "0.000012"),
            ("1e2", "100.00"),
            ("-1.50", "-1.50"),
            ("0.10000", "0.10"),
        ] {
            let amount: Amount = text.parse().expect(text);
            assert_eq!(amount.to_string(), written);
        }
        for text in ["", "x", "1,5", "NaN", "Infinity", "1e99", "0x1"] {
            text.parse::<Amount>().expect_err(text);
        }
    }

    #[test]
    fn json_strings_and_numbers_are_amounts() {
        for (json, written) in [(r#""0.1""#, "0.10"), ("0.2", "0.20"), ("3E-1", "0.30")] {
            let json = Json::parse(json).expect("JSON");
            assert_eq!(Amount::of(&json).expect("an amount").to_string(), written);
        }
        for json in ["null", "true", "[]", "{}", r#""""#] {
            Amount::of(&Json::parse(json).expect("JSON")).expect_err(json);
        }
    }

    #[test]
    fn sums_are_exact() {
        let tenth: Amount = "0.1".parse().expect("an amount");
        let mut sum = Amount::default();
        for _ in 0..10 {
            sum = sum.checked_add(tenth).expect("few digits");
        }
        assert_eq!(sum.to_string(), "1.00");
        let most: Amount = Amount(Decimal::MAX);
        assert_eq!(most.checked_add(most), None);
    }
}
