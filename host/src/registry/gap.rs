//! Requirements of CSPs that a version of an adapter does not meet, or the
//! reverse, in words for operators.

use std::collections::BTreeSet;
use std::fmt;

use super::settings_schema::BadSchema;
use hoth_core::domain::CspName;
use hoth_core::domain::Operation;

/// A requirement that a version does not meet. The sets are never empty.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Gap {
    /// A need of the manifest.
    Need(UnmetNeed),
    /// Operations in the CSP's list that the version does not describe.
    NotOffered(BTreeSet<Operation>),
    /// Operations of the active version that the new version does not describe,
    /// for a CSP without a list.
    Dropped(BTreeSet<Operation>),
    /// A description without any operation that can be requested.
    NoOperations,
}

/// A need of a manifest that the configuration of a CSP does not meet.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum UnmetNeed {
    /// Endpoints or credentials that the version asks for and the CSP does not
    /// have.
    Missing { kind: NeedKind, names: BTreeSet<String> },
    /// An endpoint or a credential with other parameters than requests give.
    OtherParameters { kind: NeedKind, name: String, given: BTreeSet<String> },
    /// Settings that the schema of the version does not accept, each with its
    /// key.
    WrongSettings(BTreeSet<String>),
    /// A schema of settings that cannot be used.
    BadSchema(BadSchema),
}

/// The kind of a need in a manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum NeedKind {
    Endpoint,
    Credential,
}

impl NeedKind {
    /// Returns the key of its table in the configuration of a CSP.
    fn table(self) -> &'static str {
        match self {
            Self::Endpoint => "endpoints",
            Self::Credential => "credentials",
        }
    }
}

/// CSPs, endpoints and credentials that one message names. The rest is counted.
const LISTED_MAX: usize = 8;

impl Gap {
    /// Writes the gap of these CSPs, and the remedy.
    pub fn describe(&self, csps: &[CspName], f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = list(csps.iter().map(CspName::to_string));
        let key = |csp: &CspName| format!("`csp.{csp}.operations`");
        let keys = list(csps.iter().map(key));
        match self {
            Self::Need(need) => need.describe(csps, f),
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

impl UnmetNeed {
    fn describe(&self, csps: &[CspName], f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = list(csps.iter().map(CspName::to_string));
        match self {
            Self::Missing { kind, names: missing } => {
                let table = kind.table();
                let tables = list(csps.iter().flat_map(|csp| {
                    missing.iter().map(move |name| format!("`[csp.{csp}.{table}.{name}]`"))
                }));
                let quoted = list(missing.iter().map(|name| format!("{name:?}")));
                let contents = match kind {
                    NeedKind::Endpoint => " with a `url`",
                    NeedKind::Credential => "",
                };
                write!(
                    f,
                    "{table} not configured for {names}: {quoted}; add {tables}{contents} to the \
                     configuration"
                )
            }
            Self::OtherParameters { kind, name, given } => {
                let given = match given.is_empty() {
                    true => "none".to_owned(),
                    false => list(given.iter().map(|name| format!("`{name}`"))),
                };
                let table = kind.table();
                let what = match kind {
                    NeedKind::Endpoint => "placeholders in its `url`",
                    NeedKind::Credential => "parameters",
                };
                let keys = list(csps.iter().map(|csp| format!("`csp.{csp}.{table}.{name}`")));
                write!(f, "{keys} must have the {what} that requests give: {given}")
            }
            Self::WrongSettings(problems) => {
                let keys = csps.iter().flat_map(|csp| {
                    problems.iter().map(move |problem| format!("`csp.{csp}.settings`{problem}"))
                });
                let keys = list(keys);
                write!(f, "settings that the adapter does not accept: {keys}; correct them")
            }
            Self::BadSchema(bad) => {
                write!(f, "the manifest has a schema of settings that cannot be used: {bad}")
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
