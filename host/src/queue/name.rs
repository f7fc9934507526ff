//! Which queues there are.

use std::fmt;
use std::str::FromStr;

use crate::domain::CspName;
use crate::domain::JobKind;

/// What a queue is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum QueueKind {
    /// Accepted provisioning requests of one CSP.
    ProvisioningRequests,
    /// Accepted cost requests of one CSP.
    CostRequests,
    /// Provisioning jobs that one CSP works on.
    AsyncProvisioningJobs,
    /// Cost jobs that one CSP works on.
    AsyncCostJobs,
    /// Outcomes of provisioning jobs, for ServiceNow.
    ProvisioningJobs,
    /// Outcomes of cost jobs, for ServiceNow.
    CostResponses,
}

impl QueueKind {
    const ALL: [Self; 6] = [
        Self::ProvisioningRequests,
        Self::CostRequests,
        Self::AsyncProvisioningJobs,
        Self::AsyncCostJobs,
        Self::ProvisioningJobs,
        Self::CostResponses,
    ];

    /// The first part of the queue's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ProvisioningRequests => "provisioning-requests",
            Self::CostRequests => "cost-requests",
            Self::AsyncProvisioningJobs => "async-provisioning-jobs",
            Self::AsyncCostJobs => "async-cost-jobs",
            Self::ProvisioningJobs => "provisioning-jobs",
            Self::CostResponses => "cost-responses",
        }
    }

    /// How often a message is delivered before the next receive makes it a
    /// dead letter; none: as often as it takes. Outcomes have no limit: a
    /// client that hangs up twenty times must not lose them.
    pub fn deliveries_max(self) -> Option<u32> {
        match self {
            Self::ProvisioningRequests
            | Self::CostRequests
            | Self::AsyncProvisioningJobs
            | Self::AsyncCostJobs => Some(RECEIVES_MAX),
            Self::ProvisioningJobs | Self::CostResponses => None,
        }
    }
}

/// How often a job is tried before the worker, at the next delivery, buries it
/// with a failure message.
pub const DELIVERIES_MAX: u32 = 20;

/// A backend's own limit, which buries without a word to ServiceNow: the
/// largest that SQS allows, so that the worker's comes first even where it is
/// killed again and again.
const RECEIVES_MAX: u32 = 1_000;

/// One queue: request and async queues exist per CSP, result queues once.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct QueueName {
    kind: QueueKind,
    csp: Option<CspName>,
}

impl QueueName {
    /// Where accepted requests wait for a worker.
    pub fn requests(kind: JobKind, csp: &CspName) -> Self {
        let kind = match kind {
            JobKind::Provisioning => QueueKind::ProvisioningRequests,
            JobKind::Cost => QueueKind::CostRequests,
        };
        Self { kind, csp: Some(csp.clone()) }
    }

    /// Where jobs wait for the watcher.
    pub fn waiting(kind: JobKind, csp: &CspName) -> Self {
        let kind = match kind {
            JobKind::Provisioning => QueueKind::AsyncProvisioningJobs,
            JobKind::Cost => QueueKind::AsyncCostJobs,
        };
        Self { kind, csp: Some(csp.clone()) }
    }

    /// Where outcomes wait for ServiceNow.
    pub fn outcomes(kind: JobKind) -> Self {
        let kind = match kind {
            JobKind::Provisioning => QueueKind::ProvisioningJobs,
            JobKind::Cost => QueueKind::CostResponses,
        };
        Self { kind, csp: None }
    }

    /// Every queue that a host with these CSPs uses.
    pub fn all<'a>(csps: impl IntoIterator<Item = &'a CspName>) -> Vec<Self> {
        const KINDS: [JobKind; 2] = [JobKind::Provisioning, JobKind::Cost];
        let mut names: Vec<Self> = KINDS.into_iter().map(Self::outcomes).collect();
        for csp in csps {
            for kind in KINDS {
                names.push(Self::requests(kind, csp));
                names.push(Self::waiting(kind, csp));
            }
        }
        names
    }

    pub fn kind(&self) -> QueueKind {
        self.kind
    }

    /// The CSP whose queue this is; none for result queues.
    pub fn csp(&self) -> Option<&CspName> {
        self.csp.as_ref()
    }
}

/// The text is no name of a queue.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no queue is named `{0}`")]
pub struct UnknownQueue(String);

/// Reads a name as it is written.
impl FromStr for QueueName {
    type Err = UnknownQueue;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let read = |kind: QueueKind| {
            let csp = match kind {
                QueueKind::ProvisioningJobs | QueueKind::CostResponses => {
                    return (kind.as_str() == text).then_some(Self { kind, csp: None });
                }
                QueueKind::ProvisioningRequests
                | QueueKind::CostRequests
                | QueueKind::AsyncProvisioningJobs
                | QueueKind::AsyncCostJobs => {
                    text.strip_prefix(kind.as_str())?.strip_prefix('-')?.parse().ok()?
                }
            };
            Some(Self { kind, csp: Some(csp) })
        };
        QueueKind::ALL.into_iter().find_map(read).ok_or_else(|| UnknownQueue(text.to_owned()))
    }
}

impl fmt::Display for QueueName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.as_str())?;
        self.csp.iter().try_for_each(|csp| write!(f, "-{csp}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_as_it_is_written() {
        let csps: Vec<CspName> =
            ["A", "CSP-jobs"].map(|name| name.parse().expect("a name")).to_vec();
        for name in QueueName::all(&csps) {
            assert_eq!(name.to_string().parse(), Ok(name));
        }
        for unknown in ["", "provisioning", "provisioning-jobs-A", "cost-requests", "jobs-A"] {
            assert_eq!(unknown.parse::<QueueName>(), Err(UnknownQueue(unknown.to_owned())));
        }
    }
}
