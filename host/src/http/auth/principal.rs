//! Authenticated callers and their roles.

use std::fmt;
use std::sync::Arc;

use serde::Deserialize;

/// The permissions of a key. Each role includes the roles before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// May collect outcomes, and acknowledge and release leases.
    Read,
    /// May use all of the API.
    Write,
    /// May use the admin API too.
    Admin,
}

/// An authenticated caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// The key's name, for the audit trail and the rate limit; `None` on a
    /// host without keys.
    pub key: Option<Arc<str>>,
    /// The key's role.
    pub role: Role,
}

impl Principal {
    /// Returns the caller on a host without keys: anonymous, with every role.
    pub fn anyone() -> Self {
        Self { key: None, role: Role::Admin }
    }

    /// Returns the key's name, or `anyone` on a host without keys.
    pub fn name(&self) -> &str {
        self.key.as_deref().unwrap_or("anyone")
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
