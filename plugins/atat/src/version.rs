//! Versions of the ATAT API, and their differences.

use hoth_adapter::Failure;
use hoth_adapter::Job;

/// The last version that has every operation.
const DEFAULT: &str = "1.3.1";

/// The last version that has operators of a portfolio, and a path `/cost`.
const LAST_WITH_PORTFOLIO_OPERATORS: Numbers = (1, 0, 2);

/// The last version that has operators.
const LAST_WITH_OPERATORS: Numbers = (1, 3, 1);

type Numbers = (u32, u32, u32);

/// The version of the API that a CSP implements.
#[derive(Debug, Clone, Copy)]
pub struct Version<'a> {
    text: &'a str,
    numbers: Numbers,
}

impl<'a> Version<'a> {
    /// Returns the version in the CSP's settings, or the default. Versions in
    /// between and later ones are compared by their numbers.
    pub fn of(job: &'a Job) -> Result<Self, Failure> {
        let text = job.setting("api_version")?.unwrap_or(DEFAULT);
        let numbers = numbers(text).ok_or_else(|| {
            Failure::broken(format!(
                "settings.api_version {text:?} is unsupported: it is no version such as {DEFAULT}"
            ))
        })?;
        Ok(Self { text, numbers })
    }

    /// Returns the text that the CSP reads.
    pub fn as_str(self) -> &'a str {
        self.text
    }

    /// Returns the owner of operators: `None` for the portfolio, or this
    /// environment.
    pub fn operators(self, environment_id: Option<&str>) -> Result<Option<&str>, Failure> {
        if self.numbers <= LAST_WITH_PORTFOLIO_OPERATORS {
            Ok(None)
        } else if self.numbers <= LAST_WITH_OPERATORS {
            let lacks = || Failure::unsupported("the request lacks payload.environmentId");
            environment_id.map(Some).ok_or_else(lacks)
        } else {
            let message = format!("version {} of the ATAT API cannot add operators", self.text);
            Err(Failure::unsupported(message))
        }
    }

    /// Returns the last segment of the path to a portfolio's costs.
    pub fn costs(self) -> &'static str {
        if self.numbers <= LAST_WITH_PORTFOLIO_OPERATORS { "cost" } else { "costs" }
    }
}

/// Parses `1.3.1`; missing parts at the end are 0.
fn numbers(text: &str) -> Option<Numbers> {
    let mut numbers = [0_u32; 3];
    for (at, part) in text.split('.').enumerate() {
        // The integer parser would accept a sign.
        let digits = part.bytes().all(|byte| byte.is_ascii_digit());
        *numbers.get_mut(at)? = part.parse().ok().filter(|_| digits)?;
    }
    Some(numbers.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_up_to_three_numbers() {
        assert_eq!(numbers("1.3.1"), Some((1, 3, 1)));
        assert_eq!(numbers("1.3"), Some((1, 3, 0)));
        assert_eq!(numbers("2"), Some((2, 0, 0)));
        assert_eq!(numbers("1.10.0"), Some((1, 10, 0)));
        for text in [
            "",
            "v1",
            "1.",
            ".1",
            "1..2",
            "1.2.3.4",
            "1.+2",
            "-1",
            "1.x",
            "1. 2",
            "99999999999",
            "١",
        ] {
            assert_eq!(numbers(text), None, "{text:?}");
        }
    }
}
