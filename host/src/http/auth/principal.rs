//! Authenticated callers and their roles.

use std::fmt;
use std::sync::Arc;

use serde::Deserialize;

/// The role of a key: a set of permissions.
///
/// `read` and `write` are roles of clients, `viewer` and `operator` roles of
/// people and monitoring. No role of one kind permits anything of the other
/// kind, except `admin`, which permits everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Collects outcomes, and acknowledges and releases leases.
    Read,
    /// Uses all of the API.
    Write,
    /// Sees the admin API, the metrics and the console, without payloads.
    Viewer,
    /// A viewer who also acts on jobs, queues and CSPs.
    Operator,
    /// Uses everything, on both listeners.
    Admin,
}

/// The kind of a request, as far as roles are concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Collects outcomes, settles leases, or asks where a job is.
    Collect,
    /// Submits jobs, or has outcomes delivered again.
    Submit,
    /// Reads the state of the host.
    View,
    /// Acts on jobs, queues and CSPs.
    Operate,
    /// Replaces adapters, or reads payloads.
    Administer,
}

impl Access {
    /// Every access, for tables of what a role permits.
    pub const ALL: [Self; 5] =
        [Self::Collect, Self::Submit, Self::View, Self::Operate, Self::Administer];
}

impl Role {
    /// Returns `true` if a key with this role may do what a request does.
    pub fn permits(self, access: Access) -> bool {
        match self {
            Self::Admin => true,
            Self::Read => matches!(access, Access::Collect),
            Self::Write => matches!(access, Access::Collect | Access::Submit),
            Self::Viewer => matches!(access, Access::View),
            Self::Operator => matches!(access, Access::View | Access::Operate),
        }
    }

    /// Returns the role's name in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_permits_its_own_kind_of_work() {
        use Access::*;
        for (role, permitted) in [
            (Role::Read, &[Collect][..]),
            (Role::Write, &[Collect, Submit]),
            (Role::Viewer, &[View]),
            (Role::Operator, &[View, Operate]),
            (Role::Admin, &Access::ALL),
        ] {
            let permits = Access::ALL.into_iter().filter(|access| role.permits(*access));
            assert_eq!(permits.collect::<Vec<_>>(), permitted, "{role:?}");
        }
    }
}
