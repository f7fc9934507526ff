//! Compatibility of a version with the CSPs that name its adapter: the
//! operations that may be requested, and the credentials that are configured.
//!
//! A gap that is not found here would make a job fail later.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fmt;

use super::AdapterName;
use super::BadAdapterName;
use hoth_core::domain::CspName;
use hoth_core::domain::Operation;
use hoth_core::domain::SupportedOperations;
use hoth_runtime::Info;

/// The requirements of a CSP for its adapter.
#[derive(Debug, Clone, Default)]
pub struct Requirements {
    /// The operations that may be requested for the CSP.
    pub operations: SupportedOperations,
    /// The names of the credentials that are configured for the CSP.
    pub credentials: BTreeSet<String>,
}

/// The adapter that a CSP names in the configuration, and its requirements.
#[derive(Debug)]
pub(super) struct CspBinding {
    pub adapter: AdapterName,
    pub requirements: Requirements,
}

/// The gaps of a version, with the CSPs that each one affects.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub struct Incompatible(BTreeMap<Gap, Vec<CspName>>);

/// A requirement that a version does not meet. The sets are never empty.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Gap {
    /// Credentials that the version asks for and the CSP does not have.
    MissingCredentials(BTreeSet<String>),
    /// Operations in the CSP's list that the version does not describe.
    NotOffered(BTreeSet<Operation>),
    /// Operations of the active version that the new version does not describe,
    /// for a CSP without a list.
    Dropped(BTreeSet<Operation>),
    /// A description without any operation that can be requested.
    NoOperations,
}

/// CSPs and credentials that one message names. The rest is counted.
const LISTED_MAX: usize = 8;

/// Checks the description of a version against each CSP that names its adapter.
/// `active` is the description of the version that it would replace.
///
/// # Errors
///
/// Returns [`Incompatible`] with all gaps and the CSPs that they affect.
pub(super) fn check<'a>(
    info: &Info,
    active: Option<&Info>,
    bound: impl Iterator<Item = (&'a CspName, &'a Requirements)>,
) -> Result<(), Incompatible> {
    let (described, active) =
        (known_operations(info), active.map(known_operations).unwrap_or_default());
    let needed = info.manifest.credentials.iter().filter(|(_, need)| !need.optional);
    let asked: BTreeSet<&String> = needed.map(|(name, _)| name).collect();
    let mut gaps: BTreeMap<Gap, Vec<CspName>> = BTreeMap::new();
    for (csp, requirements) in bound {
        let mut add_gap = |gap| gaps.entry(gap).or_default().push(csp.clone());
        let missing: BTreeSet<String> = asked
            .iter()
            .filter(|name| !requirements.credentials.contains(**name))
            .map(|name| (*name).clone())
            .collect();
        if !missing.is_empty() {
            add_gap(Gap::MissingCredentials(missing));
        }
        // Without a list, the active version is the best known measure: jobs
        // for its operations may be queued.
        let (needed, gap): (_, fn(_) -> Gap) = match &requirements.operations {
            SupportedOperations::Only(operations) => (operations, Gap::NotOffered),
            SupportedOperations::Any => (&active, Gap::Dropped),
        };
        let missing: BTreeSet<Operation> = needed.difference(&described).copied().collect();
        if !missing.is_empty() {
            add_gap(gap(missing));
        // Reported only if no operation is missing by name, which says more.
        } else if described.is_empty() {
            add_gap(Gap::NoOperations);
        }
    }
    if gaps.is_empty() { Ok(()) } else { Err(Incompatible(gaps)) }
}

/// Returns the described operations that can be requested. Other names in a
/// description are allowed and ignored.
pub(super) fn known_operations(info: &Info) -> BTreeSet<Operation> {
    let named = |operation: &Operation| info.operations.iter().any(|it| it == operation.wit_name());
    Operation::ALL.into_iter().filter(named).collect()
}

/// Parses the adapter names of the configuration.
pub(super) fn parse_bindings(
    named: BTreeMap<CspName, (String, Requirements)>,
) -> Result<BTreeMap<CspName, CspBinding>, BadAdapterName> {
    let bind = |(csp, (name, requirements)): (CspName, (String, Requirements))| {
        Ok((csp, CspBinding { adapter: name.parse()?, requirements }))
    };
    named.into_iter().map(bind).collect()
}

/// Returns the CSPs that name an adapter, and their requirements.
pub(super) fn requirements_of<'a>(
    bindings: &'a BTreeMap<CspName, CspBinding>,
    name: &'a AdapterName,
) -> impl Iterator<Item = (&'a CspName, &'a Requirements)> {
    let bound = bindings.iter().filter(move |(_, binding)| binding.adapter == *name);
    bound.map(|(csp, binding)| (csp, &binding.requirements))
}

impl fmt::Display for Incompatible {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (gap, csps)) in self.0.iter().enumerate() {
            f.write_str(if at == 0 { "" } else { "; " })?;
            gap.describe(csps, f)?;
        }
        Ok(())
    }
}

impl Gap {
    fn describe(&self, csps: &[CspName], f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = list(csps.iter().map(CspName::to_string));
        let key = |csp: &CspName| format!("`csp.{csp}.operations`");
        let keys = list(csps.iter().map(key));
        match self {
            Self::MissingCredentials(missing) => {
                let missing: Vec<_> = missing.iter().collect();
                let tables = csps.iter().flat_map(|csp| {
                    missing.iter().map(move |name| format!("`[csp.{csp}.credentials.{name}]`"))
                });
                let quoted = list(missing.iter().map(|name| format!("{name:?}")));
                let tables = list(tables);
                write!(
                    f,
                    "credentials not configured for {names}: {quoted}; add {tables} to the \
                     configuration"
                )
            }
            Self::NotOffered(operations) => {
                let operations = operation_list(operations);
                write!(
                    f,
                    "`describe` lacks operations listed in {keys}: {operations}; add them to \
                     `describe`, or remove them from the list"
                )
            }
            Self::Dropped(operations) => {
                let operations = operation_list(operations);
                write!(
                    f,
                    "`describe` lacks operations of the active version for {names}, and jobs for \
                     them may be queued: {operations}; add them to `describe`, or list the offered \
                     operations in {keys}"
                )
            }
            Self::NoOperations => {
                let operations = operation_list(&Operation::ALL.into());
                write!(
                    f,
                    "`describe` names no known operation for {names}; known operations: \
                     {operations}"
                )
            }
        }
    }
}

fn operation_list(operations: &BTreeSet<Operation>) -> String {
    list(operations.iter().map(Operation::to_string))
}

/// Joins the first items, and counts the rest.
fn list(items: impl Iterator<Item = String>) -> String {
    let mut items: Vec<_> = items.collect();
    let more = items.len().saturating_sub(LISTED_MAX);
    if more > 0 {
        items.truncate(LISTED_MAX);
        items.push(format!("{more} more"));
    }
    items.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use hoth_core::domain::Manifest;
    use hoth_core::domain::Need;

    const ADD: Operation = Operation::AddPortfolio;
    const GET: Operation = Operation::GetPortfolio;
    const CLIN: Operation = Operation::CostByClin;

    fn info(operations: &[&str], credentials: &[&str]) -> Info {
        let owned = |words: &[&str]| -> Vec<String> {
            words.iter().map(|word| (*word).to_owned()).collect()
        };
        Info {
            name: "a".to_owned(),
            version: "1".to_owned(),
            operations: owned(operations),
            states: (1, 1),
            manifest: Manifest {
                credentials: owned(credentials)
                    .into_iter()
                    .map(|name| (name, Need::default()))
                    .collect(),
                ..Manifest::default()
            },
        }
    }

    fn require(only: &[Operation], credentials: &[&str]) -> Requirements {
        let operations = match only {
            [] => SupportedOperations::Any,
            some => SupportedOperations::Only(some.iter().copied().collect()),
        };
        let credentials = credentials.iter().map(|it| (*it).to_owned()).collect();
        Requirements { operations, credentials }
    }

    /// Returns the message for a version whose adapter these CSPs name; empty if
    /// it is compatible.
    fn problem(info: &Info, active: Option<&Info>, required: &[Requirements]) -> String {
        let names: Vec<CspName> =
            (0..required.len()).map(|n| format!("CSP_{n}").parse().unwrap()).collect();
        let checked = check(info, active, names.iter().zip(required));
        checked.err().map(|incompatible| incompatible.to_string()).unwrap_or_default()
    }

    #[test]
    fn a_version_keeps_the_active_operations_for_csps_without_a_list() {
        let unlisted = || require(&[], &[]);
        let some = ["add-portfolio", "get-portfolio"];
        for (case, candidate, active, required, expected) in [
            ("first version", info(&some[..1], &[]), None, vec![unlisted(), unlisted()], ""),
            ("no CSP names it", info(&[], &["billing"]), None, vec![], ""),
            (
                "no known operation",
                info(&["add_portfolio", "make-tea"], &[]),
                None,
                vec![unlisted(), unlisted()],
                "`describe` names no known operation for CSP_0, CSP_1; known operations: \
                 add-portfolio, get-portfolio, add-environment, add-task-order, update-task-order, \
                 add-operators, cost-by-portfolio, cost-by-clin",
            ),
            ("same operations", info(&some, &[]), Some(info(&some, &[])), vec![unlisted()], ""),
            (
                "more operations",
                info(&some, &[]),
                Some(info(&some[1..], &[])),
                vec![unlisted()],
                "",
            ),
            (
                "an unknown operation is dropped",
                info(&some, &[]),
                Some(info(&["add-portfolio", "make-tea"], &[])),
                vec![unlisted()],
                "",
            ),
            (
                "fewer operations",
                info(&some[1..], &[]),
                Some(info(&some, &[])),
                vec![unlisted(), require(&[GET], &[]), unlisted()],
                "`describe` lacks operations of the active version for CSP_0, CSP_2, and jobs for \
                 them may be queued: add-portfolio; add them to `describe`, or list the offered \
                 operations in `csp.CSP_0.operations`, `csp.CSP_2.operations`",
            ),
            (
                "fewer operations, but all of the list",
                info(&some[1..], &[]),
                Some(info(&some, &[])),
                vec![require(&[GET], &[])],
                "",
            ),
        ] {
            assert_eq!(problem(&candidate, active.as_ref(), &required), expected, "{case}");
        }
    }

    #[test]
    fn a_version_offers_listed_operations_and_asks_for_configured_credentials() {
        let some = ["add-portfolio", "get-portfolio"];
        for (case, candidate, required, expected) in [
            (
                "fewer operations than listed",
                info(&some, &[]),
                vec![require(&[ADD, CLIN], &[]), require(&[ADD], &[]), require(&[GET, CLIN], &[])],
                "`describe` lacks operations listed in `csp.CSP_0.operations`, \
                 `csp.CSP_2.operations`: cost-by-clin; add them to `describe`, or remove them from \
                 the list",
            ),
            (
                "credentials and operations",
                info(&some[..1], &["billing", "reports", "billing"]),
                vec![
                    require(&[], &["billing", "reports", "other"]),
                    require(&[], &["reports"]),
                    require(&[CLIN], &[]),
                ],
                "credentials not configured for CSP_1: \"billing\"; add \
                 `[csp.CSP_1.credentials.billing]` to the configuration; credentials not \
                 configured for CSP_2: \"billing\", \"reports\"; add \
                 `[csp.CSP_2.credentials.billing]`, `[csp.CSP_2.credentials.reports]` to the \
                 configuration; `describe` lacks operations listed in `csp.CSP_2.operations`: \
                 cost-by-clin; add them to `describe`, or remove them from the list",
            ),
        ] {
            assert_eq!(problem(&candidate, None, &required), expected, "{case}");
        }
    }

    #[test]
    fn a_message_names_a_bounded_number_of_csps() {
        let required = vec![require(&[CLIN], &[]); 100];
        let problem = problem(&info(&["add-portfolio"], &["a"]), None, &required);
        assert!(problem.contains("`csp.CSP_7.operations`, 92 more: cost-by-clin"), "{problem}");
        assert!(problem.len() < 2_000, "{problem}");
    }
}
