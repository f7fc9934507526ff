//! The name of a Cloud Service Provider.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::Deserialize;
use serde::Serialize;

/// The name of a CSP as the configuration and ServiceNow write it: `CSP_A`.
///
/// 1 to 32 ASCII letters, digits, `-` and `_`: it becomes part of queue names,
/// and an SQS queue name has 80 characters for all its parts.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CspName(Arc<str>);

/// A name that no CSP can have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a CSP name: 1 to 32 letters, digits, `-` and `_`")]
pub struct BadCspName(String);

impl CspName {
    /// The longest name, in characters. In the longest SQS queue name,
    /// `dead-async-provisioning-jobs-` and `.fifo` take 34 more, which leaves
    /// 14 for the operator's prefix.
    pub const LEN_MAX: usize = 32;

    /// Returns the name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for CspName {
    type Err = BadCspName;

    fn from_str(name: &str) -> Result<Self, BadCspName> {
        let fits = (1..=Self::LEN_MAX).contains(&name.len());
        let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        if !(fits && plain) {
            return Err(BadCspName(name.to_owned()));
        }
        Ok(Self(name.into()))
    }
}

impl TryFrom<String> for CspName {
    type Error = BadCspName;

    fn try_from(name: String) -> Result<Self, BadCspName> {
        name.parse()
    }
}

impl From<CspName> for String {
    fn from(name: CspName) -> Self {
        name.0.as_ref().to_owned()
    }
}

impl fmt::Display for CspName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
