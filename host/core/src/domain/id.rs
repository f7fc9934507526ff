//! Ids that ServiceNow gives to jobs and portfolios.

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;
use serde::Serialize;

/// ServiceNow's `jobId` or `requestId`, the idempotency key of a job: 1 to
/// [`JobId::BYTES_MAX`] bytes without control characters.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct JobId(String);

/// A text that is not the id of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a job id has 1 to {} bytes without control characters", JobId::BYTES_MAX)]
pub struct BadJobId;

impl JobId {
    /// The longest id, in bytes. Clients send UUIDs.
    pub const BYTES_MAX: usize = 256;

    /// Returns true if `text` can be the id of a job.
    pub fn is_valid(text: &str) -> bool {
        (1..=Self::BYTES_MAX).contains(&text.len()) && !text.chars().any(char::is_control)
    }

    /// Returns the id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for JobId {
    type Error = BadJobId;

    fn try_from(text: String) -> Result<Self, BadJobId> {
        if Self::is_valid(&text) { Ok(Self(text)) } else { Err(BadJobId) }
    }
}

impl FromStr for JobId {
    type Err = BadJobId;

    fn from_str(text: &str) -> Result<Self, BadJobId> {
        text.to_owned().try_into()
    }
}

impl From<JobId> for String {
    fn from(id: JobId) -> Self {
        id.0
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// ServiceNow's `portfolioId`. Never empty; the size of a request is its only
/// other bound.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PortfolioId(String);

/// An empty text, which is not the id of a portfolio.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a portfolio id must not be empty")]
pub struct EmptyPortfolioId;

impl PortfolioId {
    /// Returns the id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for PortfolioId {
    type Error = EmptyPortfolioId;

    fn try_from(text: String) -> Result<Self, EmptyPortfolioId> {
        if text.is_empty() { Err(EmptyPortfolioId) } else { Ok(Self(text)) }
    }
}

impl FromStr for PortfolioId {
    type Err = EmptyPortfolioId;

    fn from_str(text: &str) -> Result<Self, EmptyPortfolioId> {
        text.to_owned().try_into()
    }
}

impl From<PortfolioId> for String {
    fn from(id: PortfolioId) -> Self {
        id.0
    }
}

impl fmt::Display for PortfolioId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_id_holds_its_bounds() {
        for good in ["j", "81b31a89-e3e5-46ee-acfe-75436bd14577", "ü ö", &"x".repeat(256)] {
            let id: JobId = good.parse().expect("a valid id");
            let json = serde_json::to_string(&id).expect("ids can be written");
            assert_eq!(json, serde_json::to_string(good).expect("texts can be written"));
            assert_eq!(serde_json::from_str::<JobId>(&json).expect("it can be read"), id);
        }
        for bad in ["", "a\nb", "a\u{7f}", &"x".repeat(257), &"ü".repeat(129)] {
            assert_eq!(bad.parse::<JobId>(), Err(BadJobId), "{bad:?}");
            let json = serde_json::to_string(bad).expect("texts can be written");
            assert!(serde_json::from_str::<JobId>(&json).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_portfolio_id_is_never_empty() {
        assert_eq!("p".parse::<PortfolioId>().expect("a valid id").to_string(), "p");
        assert_eq!("".parse::<PortfolioId>(), Err(EmptyPortfolioId));
        assert!(serde_json::from_str::<PortfolioId>("\"\"").is_err());
    }
}
