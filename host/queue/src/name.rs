//! Queue names: stage × job kind × CSP.
//!
//! A name's text form is the queue's name on the wire: in the embedded file, in
//! the names of SQS queues, in the admin API and in metrics. [`WireNames`] is
//! the one table of these texts.

use std::fmt;
use std::str::FromStr;

use hoth_core::domain::CspName;
use hoth_core::domain::JobKind;

use crate::limits::RECEIVES_MAX;

/// The name of one queue.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct QueueName {
    pub stage: Stage,
    pub kind: JobKind,
}

/// The stage of a job that a queue holds messages of. Requests and polls have
/// one queue for each CSP, outcomes have one for all.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Stage {
    /// Accepted requests, waiting for a worker.
    Requests(CspName),
    /// Jobs that the CSP is working on, waiting to be polled.
    Polls(CspName),
    /// Outcomes, waiting for ServiceNow.
    Outcomes,
}

impl QueueName {
    /// Names the queue of accepted requests of one CSP.
    pub fn requests(kind: JobKind, csp: &CspName) -> Self {
        Self { stage: Stage::Requests(csp.clone()), kind }
    }

    /// Names the queue of jobs that one CSP is working on.
    pub fn polls(kind: JobKind, csp: &CspName) -> Self {
        Self { stage: Stage::Polls(csp.clone()), kind }
    }

    /// Names the queue of outcomes for ServiceNow.
    pub fn outcomes(kind: JobKind) -> Self {
        Self { stage: Stage::Outcomes, kind }
    }

    /// Lists every queue that a host with these CSPs uses.
    pub fn all<'a>(csps: impl IntoIterator<Item = &'a CspName>) -> Vec<Self> {
        let mut names: Vec<Self> = JobKind::ALL.into_iter().map(Self::outcomes).collect();
        for csp in csps {
            for kind in JobKind::ALL {
                names.push(Self::requests(kind, csp));
                names.push(Self::polls(kind, csp));
            }
        }
        names
    }

    /// Returns the CSP that the queue belongs to, or `None` for a queue of
    /// outcomes.
    pub fn csp(&self) -> Option<&CspName> {
        match &self.stage {
            Stage::Requests(csp) | Stage::Polls(csp) => Some(csp),
            Stage::Outcomes => None,
        }
    }

    /// Returns the part of the wire name in front of the CSP: the same for the
    /// queues of all CSPs.
    pub fn family(&self) -> &'static str {
        let names = WireNames::of(self.kind);
        match self.stage {
            Stage::Requests(_) => names.requests,
            Stage::Polls(_) => names.polls,
            Stage::Outcomes => names.outcomes,
        }
    }

    /// Returns the number of deliveries after which the next receive makes a
    /// message a dead letter. Returns `None` for outcomes, which have no limit:
    /// a client that disconnects twenty times must not lose them.
    pub fn deliveries_max(&self) -> Option<u32> {
        match self.stage {
            Stage::Requests(_) | Stage::Polls(_) => Some(RECEIVES_MAX),
            Stage::Outcomes => None,
        }
    }
}

/// The wire names of the queues of one job kind; those of requests and polls
/// are followed by `-` and the CSP.
struct WireNames {
    requests: &'static str,
    polls: &'static str,
    outcomes: &'static str,
}

impl WireNames {
    const fn of(kind: JobKind) -> Self {
        match kind {
            JobKind::Provisioning => Self {
                requests: "provisioning-requests",
                polls: "async-provisioning-jobs",
                outcomes: "provisioning-jobs",
            },
            JobKind::Cost => Self {
                requests: "cost-requests",
                polls: "async-cost-jobs",
                outcomes: "cost-responses",
            },
        }
    }
}

impl fmt::Display for QueueName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.family())?;
        self.csp().iter().try_for_each(|csp| write!(f, "-{csp}"))
    }
}

/// The error for a text that names no queue.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no queue is named `{0}`")]
pub struct UnknownQueue(String);

impl FromStr for QueueName {
    type Err = UnknownQueue;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let csp_after = |family: &str| text.strip_prefix(family)?.strip_prefix('-')?.parse().ok();
        let stage_of = |kind| {
            let names = WireNames::of(kind);
            if text == names.outcomes {
                return Some(Stage::Outcomes);
            }
            // A CSP's name may contain `-` itself. That is unambiguous, because
            // no family followed by `-` is the beginning of another family.
            csp_after(names.requests)
                .map(Stage::Requests)
                .or_else(|| csp_after(names.polls).map(Stage::Polls))
        };
        JobKind::ALL
            .into_iter()
            .find_map(|kind| Some(Self { stage: stage_of(kind)?, kind }))
            .ok_or_else(|| UnknownQueue(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wire_names_are_those_of_the_specification() {
        let csp: CspName = "CSP_A".parse().expect("a name");
        let names: Vec<String> = QueueName::all([&csp]).iter().map(QueueName::to_string).collect();
        assert_eq!(
            names,
            [
                "provisioning-jobs",
                "cost-responses",
                "provisioning-requests-CSP_A",
                "async-provisioning-jobs-CSP_A",
                "cost-requests-CSP_A",
                "async-cost-jobs-CSP_A",
            ]
        );
    }

    #[test]
    fn a_name_is_parsed_from_its_text() {
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
