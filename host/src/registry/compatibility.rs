//! Whether a version does what the CSPs that name its adapter need of it: the
//! operations that can be asked for, with credentials that are configured.
//!
//! What is found here would else be found by a job that comes, and fail it.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fmt;

use super::AdapterName;
use super::BadAdapterName;
use super::Registry;
use super::Version;
use hoth_core::domain::CspName;
use hoth_core::domain::Offer;
use hoth_core::domain::Operation;
use hoth_runtime::Info;

/// What a CSP has to find in its adapter.
#[derive(Debug, Clone, Default)]
pub struct Requirements {
    /// What may be asked of the CSP.
    pub operations: Offer,
    /// The names of the credentials that are configured for it.
    pub credentials: BTreeSet<String>,
}

/// What the configuration says of a CSP's adapter.
#[derive(Debug)]
pub(super) struct CspBinding {
    pub adapter: AdapterName,
    pub requirements: Requirements,
}

/// What a version add_gap for the CSPs that name its adapter.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub struct Incompatible(BTreeMap<Gap, Vec<CspName>>);

/// One thing that is missing. Operations and credentials are never empty.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Gap {
    /// It asks for what no request could carry.
    MissingCredentials(BTreeSet<String>),
    /// The CSP's list has them.
    NotOffered(BTreeSet<Operation>),
    /// The active version describes them, and the CSP has no list.
    Dropped(BTreeSet<Operation>),
    /// There is nothing that anyone could ask for.
    NoOperations,
}

/// CSPs and credentials that one sentence names.
const LISTED_MAX: usize = 8;

/// Checks what a version describes against each CSP that names its adapter.
/// `active` is what a version describes that it would take the place of.
///
/// # Errors
///
/// [`Incompatible`] has everything that is missing, and for whom.
pub(super) fn check<'a>(
    info: &Info,
    active: Option<&Info>,
    bound: impl Iterator<Item = (&'a CspName, &'a Requirements)>,
) -> Result<(), Incompatible> {
    let (described, active) =
        (known_operations(info), active.map(known_operations).unwrap_or_default());
    let asked: BTreeSet<&String> = info.credentials.iter().collect();
    let mut gaps: BTreeMap<Gap, Vec<CspName>> = BTreeMap::new();
    for (csp, requirements) in bound {
        let mut add_gap = |gap| gaps.entry(gap).or_default().push(csp.clone());
        let unbound: BTreeSet<String> = asked
            .iter()
            .filter(|name| !requirements.credentials.contains(**name))
            .map(|name| (*name).clone())
            .collect();
        if !unbound.is_empty() {
            add_gap(Gap::MissingCredentials(unbound));
        }
        let (needed, gap): (_, fn(_) -> Gap) = match &requirements.operations {
            Offer::Only(operations) => (operations, Gap::NotOffered),
            Offer::Unsaid => (&active, Gap::Dropped),
        };
        let missing: BTreeSet<Operation> = needed.difference(&described).copied().collect();
        if !missing.is_empty() {
            add_gap(gap(missing));
        } else if described.is_empty() {
            add_gap(Gap::NoOperations);
        }
    }
    if gaps.is_empty() { Ok(()) } else { Err(Incompatible(gaps)) }
}

/// The operations that it describes and anyone can ask for.
fn known_operations(info: &Info) -> BTreeSet<Operation> {
    let named = |operation: &Operation| info.operations.iter().any(|it| it == operation.as_str());
    Operation::ALL.into_iter().filter(named).collect()
}

impl Registry {
    /// Whether a version that arrives covers the CSPs that name `name`. One that
    /// nobody names covers everything.
    pub(super) fn check_compatible(
        &self,
        name: &AdapterName,
        version: &Version,
    ) -> Result<(), Incompatible> {
        let active = self.active(name);
        let active = active.as_ref().map(|active| active.adapter().info());
        check(version.adapter().info(), active, requirements_of(&self.bindings, name))
    }

    /// Whether a version that was active before covers them. What came after it
    /// may do more: an operator who goes back knows, and has no time for lists.
    pub(super) fn check_still_compatible(
        &self,
        name: &AdapterName,
        version: &Version,
    ) -> Result<(), Incompatible> {
        check(version.adapter().info(), None, requirements_of(&self.bindings, name))
    }
}

/// What each CSP bindings, with names that adapters can have.
pub(super) fn csp_bindings(
    named: BTreeMap<CspName, (String, Requirements)>,
) -> Result<BTreeMap<CspName, CspBinding>, BadAdapterName> {
    let bind = |(csp, (name, requirements)): (CspName, (String, Requirements))| {
        Ok((csp, CspBinding { adapter: name.parse()?, requirements }))
    };
    named.into_iter().map(bind).collect()
}

/// What the CSPs that name `name` want of it.
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
        let who = list(csps.iter().map(CspName::to_string));
        let key = |csp: &CspName| format!("`csp.{csp}.operations`");
        let keys = list(csps.iter().map(key));
        match self {
            Self::MissingCredentials(names) => {
                let names: Vec<_> = names.iter().collect();
                let tables = csps.iter().flat_map(|csp| {
                    names.iter().map(move |name| format!("`[csp.{csp}.credentials.{name}]`"))
                });
                let quoted = list(names.iter().map(|name| format!("{name:?}")));
                let tables = list(tables);
                write!(
                    f,
                    "it asks for credentials by names that {who} does not have: {quoted}; add {tables} to \
                     the configuration"
                )
            }
            Self::NotOffered(operations) => {
                let words = operation_list(operations);
                write!(
                    f,
                    "its `describe` does not name what {keys} lists: {words}; add that to `describe`, or \
                     take it off the list"
                )
            }
            Self::Dropped(operations) => {
                let words = operation_list(operations);
                write!(
                    f,
                    "its `describe` does not name what the active version does for {who}, and jobs for it \
                     may be queued: {words}; add that to `describe`, or say in {keys} what is offered"
                )
            }
            Self::NoOperations => {
                let words = operation_list(&Operation::ALL.into());
                write!(
                    f,
                    "its `describe` names nothing that can be asked for at {who}; there are {words}"
                )
            }
        }
    }
}

fn operation_list(operations: &BTreeSet<Operation>) -> String {
    list(operations.iter().map(Operation::to_string))
}

/// The first of them, and how many more there are.
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

    const ADD: Operation = Operation::AddPortfolio;
    const GET: Operation = Operation::GetPortfolio;
    const CLIN: Operation = Operation::CostByClin;

    fn info(operations: &[&str], credentials: &[&str]) -> Info {
        let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        Info {
            name: "a".to_owned(),
            version: "1".to_owned(),
            operations: owned(operations),
            states: (1, 1),
            credentials: owned(credentials),
        }
    }

    fn require(only: &[Operation], credentials: &[&str]) -> Requirements {
        let operations = match only {
            [] => Offer::Unsaid,
            some => Offer::Only(some.iter().copied().collect()),
        };
        Requirements {
            operations,
            credentials: credentials.iter().map(|it| (*it).to_owned()).collect(),
        }
    }

    /// What is said of a version where these CSPs name its adapter.
    fn problem(info: &Info, active: Option<&Info>, demands: &[Requirements]) -> String {
        let names: Vec<CspName> =
            (0..demands.len()).map(|n| format!("CSP_{n}").parse().unwrap()).collect();
        let found = check(info, active, names.iter().zip(demands));
        found.err().map(|uncovered| uncovered.to_string()).unwrap_or_default()
    }

    #[test]
    fn a_version_does_what_its_csps_need_or_is_told_what_is_missing() {
        let unlisted = || require(&[], &[]);
        let some = ["add-portfolio", "get-portfolio"];
        for (what, candidate, active, demands, expected) in [
            (
                "what CSPs without lists need",
                info(&some[..1], &[]),
                None,
                vec![unlisted(), unlisted()],
                "",
            ),
            ("it asks of nobody", info(&[], &["billing"]), None, vec![], ""),
            (
                "it does nothing that can be asked for",
                info(&["add_portfolio", "make-tea"], &[]),
                None,
                vec![unlisted(), unlisted()],
                "its `describe` names nothing that can be asked for at CSP_0, CSP_1; there are \
                 add-portfolio, get-portfolio, add-environment, add-task-order, update-task-order, \
                 add-operators, cost-by-portfolio, cost-by-clin",
            ),
            ("the same as before", info(&some, &[]), Some(info(&some, &[])), vec![unlisted()], ""),
            ("more", info(&some, &[]), Some(info(&some[1..], &[])), vec![unlisted()], ""),
            (
                "what nobody can ask for goes",
                info(&some, &[]),
                Some(info(&["add-portfolio", "make-tea"], &[])),
                vec![unlisted()],
                "",
            ),
            (
                "less",
                info(&some[1..], &[]),
                Some(info(&some, &[])),
                vec![unlisted(), require(&[GET], &[]), unlisted()],
                "its `describe` does not name what the active version does for CSP_0, CSP_2, and \
                 jobs for it may be queued: add-portfolio; add that to `describe`, or say in \
                 `csp.CSP_0.operations`, `csp.CSP_2.operations` what is offered",
            ),
            (
                "less, where a list says that it is enough",
                info(&some[1..], &[]),
                Some(info(&some, &[])),
                vec![require(&[GET], &[])],
                "",
            ),
        ] {
            assert_eq!(problem(&candidate, active.as_ref(), &demands), expected, "{what}");
        }
    }

    #[test]
    fn a_version_does_what_lists_say_with_credentials_that_there_are() {
        let some = ["add-portfolio", "get-portfolio"];
        for (what, candidate, demands, expected) in [
            (
                "less than the lists",
                info(&some, &[]),
                vec![require(&[ADD, CLIN], &[]), require(&[ADD], &[]), require(&[GET, CLIN], &[])],
                "its `describe` does not name what `csp.CSP_0.operations`, `csp.CSP_2.operations` \
                 lists: cost-by-clin; add that to `describe`, or take it off the list",
            ),
            (
                "credentials, with operations",
                info(&some[..1], &["billing", "reports", "billing"]),
                vec![
                    require(&[], &["billing", "reports", "other"]),
                    require(&[], &["reports"]),
                    require(&[CLIN], &[]),
                ],
                "it asks for credentials by names that CSP_1 does not have: \"billing\"; add \
                 `[csp.CSP_1.credentials.billing]` to the configuration; it asks for credentials by \
                 names that CSP_2 does not have: \"billing\", \"reports\"; add \
                 `[csp.CSP_2.credentials.billing]`, `[csp.CSP_2.credentials.reports]` to the \
                 configuration; its `describe` does not name what `csp.CSP_2.operations` lists: \
                 cost-by-clin; add that to `describe`, or take it off the list",
            ),
        ] {
            assert_eq!(problem(&candidate, None, &demands), expected, "{what}");
        }
    }

    #[test]
    fn a_sentence_names_a_bounded_number_of_csps() {
        let demands = vec![require(&[CLIN], &[]); 100];
        let problem = problem(&info(&["add-portfolio"], &["a"]), None, &demands);
        assert!(
            problem.contains("`csp.CSP_7.operations`, 92 more lists: cost-by-clin"),
            "{problem}"
        );
        assert!(problem.len() < 2_000, "{problem}");
    }
}
