//! The rule for tables of the configuration: each belongs to the module that
//! uses it, which also checks it.

use std::fmt::Display;
use std::ops::RangeInclusive;

use crate::domain::CspName;

/// A table of the configuration.
pub trait Table {
    /// Returns every problem that remains after parsing, with keys relative to
    /// the table. Blocks if the table names files: it reads them.
    fn check(&self, names: &Names<'_>) -> Vec<Problem>;
}

/// A table that may be left out.
impl<T: Table> Table for Option<T> {
    fn check(&self, names: &Names<'_>) -> Vec<Problem> {
        self.as_ref().map(|table| table.check(names)).unwrap_or_default()
    }
}

/// Names that one table defines and another one may refer to.
#[derive(Debug, Clone, Default)]
pub struct Names<'a> {
    /// The configured CSPs.
    pub csps: Vec<&'a CspName>,
    /// The adapters of the configured CSPs.
    pub adapters: Vec<&'a str>,
}

/// A setting that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {message}")]
pub struct Problem {
    /// The dotted key: `oauth2.token_url`. Empty for a table as a whole, until
    /// [`Problem::in_table`] names the table.
    pub key: String,
    /// The predicate of a sentence about the key: `must not be empty`.
    pub message: String,
}

impl Problem {
    /// Makes a problem of the setting `key`.
    pub fn new(key: impl Into<String>, message: impl Display) -> Self {
        Self { key: key.into(), message: message.to_string() }
    }

    /// Makes a problem of a table as a whole.
    pub fn of_table(message: impl Display) -> Self {
        Self::new("", message)
    }

    /// Returns the problem of a number outside of its bounds, or `None` if
    /// `value` is within them.
    pub fn out_of_range(key: &str, value: u64, bounds: &RangeInclusive<u64>) -> Option<Self> {
        let (min, max) = (bounds.start(), bounds.end());
        (!bounds.contains(&value))
            .then(|| Self::new(key, format!("must be {min} to {max}, not {value}")))
    }

    /// Returns the problem of a smaller setting that exceeds a larger one, or
    /// `None` if it does not.
    pub fn above(key: &str, value: u64, largest_key: &str, largest: u64) -> Option<Self> {
        (value > largest)
            .then(|| Self::new(key, format!("must be at most `{largest_key}`, {largest}")))
    }

    /// Puts the name of the surrounding table before the key.
    #[must_use]
    pub fn in_table(self, table: &str) -> Self {
        let key = match self.key.is_empty() {
            true => table.to_owned(),
            false => format!("{table}.{}", self.key),
        };
        Self { key, message: self.message }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_names_its_whole_key() {
        let problem = Problem::out_of_range("timeout_ms", 0, &(1..=60)).expect("0 is below 1");
        let problem = problem.in_table("CSP_A").in_table("csp");
        assert_eq!(problem.to_string(), "csp.CSP_A.timeout_ms: must be 1 to 60, not 0");
        let problem = Problem::of_table("certificate: is missing").in_table("api.tls");
        assert_eq!(problem.to_string(), "api.tls: certificate: is missing");
        assert_eq!(Problem::out_of_range("timeout_ms", 60, &(1..=60)), None);
        let problem = Problem::above("open_ms", 9, "max_open_ms", 8).expect("9 is above 8");
        assert_eq!(problem.to_string(), "open_ms: must be at most `max_open_ms`, 8");
        assert_eq!(Problem::above("open_ms", 8, "max_open_ms", 8), None);
    }
}
