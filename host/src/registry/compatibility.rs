//! Compatibility of a version with the CSPs that name its adapter: the
//! operations that may be requested, and the credentials that are configured.
//!
//! A gap that is not found here would make a job fail later.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fmt;

use serde_json::Value;

use super::AdapterName;
use super::BadAdapterName;
use super::gap::Gap;
use super::gap::NeedKind;
use super::gap::UnmetNeed;
use super::settings_schema;
use hoth_core::domain::CspName;
use hoth_core::domain::Manifest;
use hoth_core::domain::Need;
use hoth_core::domain::Operation;
use hoth_core::domain::SupportedOperations;
use hoth_runtime::Info;

/// The requirements of a CSP for its adapter.
#[derive(Debug, Clone, Default)]
pub struct Requirements {
    /// The operations that may be requested for the CSP.
    pub operations: SupportedOperations,
    /// The credentials that are configured for the CSP, by name, with the names
    /// of their parameters.
    pub credentials: BTreeMap<String, BTreeSet<String>>,
    /// The configured endpoints, by name, with the names of their placeholders.
    pub endpoints: BTreeMap<String, BTreeSet<String>>,
    /// The CSP's settings, as the adapter gets them.
    pub settings: Value,
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
    let mut gaps: BTreeMap<Gap, Vec<CspName>> = BTreeMap::new();
    for (csp, requirements) in bound {
        let mut add_gap = |gap| gaps.entry(gap).or_default().push(csp.clone());
        unmet_needs(&info.manifest, requirements).into_iter().map(Gap::Need).for_each(&mut add_gap);
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

/// Returns the needs of a manifest that the configuration of a CSP does not
/// meet.
fn unmet_needs(manifest: &Manifest, requirements: &Requirements) -> Vec<UnmetNeed> {
    let mut unmet = Vec::new();
    let kinds = [
        (NeedKind::Endpoint, &manifest.endpoints, &requirements.endpoints),
        (NeedKind::Credential, &manifest.credentials, &requirements.credentials),
    ];
    for (kind, needs, configured) in kinds {
        let is_missing =
            |(name, need): &(&String, &Need)| !need.optional && !configured.contains_key(*name);
        let names: BTreeSet<String> =
            needs.iter().filter(is_missing).map(|(name, _)| name.clone()).collect();
        if !names.is_empty() {
            unmet.push(UnmetNeed::Missing { kind, names });
        }
        for (name, need) in needs {
            let given: BTreeSet<String> = need.parameters.iter().cloned().collect();
            if configured.get(name).is_some_and(|configured| *configured != given) {
                unmet.push(UnmetNeed::OtherParameters { kind, name: name.clone(), given });
            }
        }
    }
    if let Some(schema) = &manifest.settings {
        match settings_schema::problems(schema, &requirements.settings) {
            Ok(problems) if problems.is_empty() => {}
            Ok(problems) => unmet.push(UnmetNeed::WrongSettings(problems)),
            Err(bad) => unmet.push(UnmetNeed::BadSchema(bad)),
        }
    }
    unmet
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

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
        let credentials = credentials.iter().map(|it| ((*it).to_owned(), BTreeSet::new()));
        Requirements {
            operations,
            credentials: credentials.collect(),
            endpoints: BTreeMap::new(),
            settings: json!({}),
        }
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
    fn a_configuration_is_held_to_the_manifest() {
        let manifest = r#"{
            "endpoints": {"costs": {}, "domain": {"parameters": ["name"]}, "spare": {"optional": true}},
            "credentials": {"member": {"parameters": ["account"]}},
            "settings": {"required": ["root"]}
        }"#;
        let manifest = Manifest::parse(manifest).unwrap();
        let candidate = Info { manifest, ..info(&["add-portfolio"], &[]) };
        let named = |names: &[(&str, &[&str])]| {
            let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
            names.iter().map(|(name, words)| ((*name).to_owned(), owned(words))).collect()
        };
        let good = Requirements {
            endpoints: named(&[("costs", &[]), ("domain", &["name"]), ("other", &["x"])]),
            credentials: named(&[("member", &["account"])]),
            settings: json!({"root": "r-1"}),
            ..require(&[], &[])
        };
        assert_eq!(problem(&candidate, None, std::slice::from_ref(&good)), "");
        for (bad, expected) in [
            (
                Requirements { endpoints: named(&[("costs", &[])]), ..good.clone() },
                "endpoints not configured for CSP_0: \"domain\"; add `[csp.CSP_0.endpoints.domain]` \
                 with a `url` to the configuration",
            ),
            (
                Requirements {
                    endpoints: named(&[("costs", &["region"]), ("domain", &["name"])]),
                    ..good.clone()
                },
                "`csp.CSP_0.endpoints.costs` must have the placeholders in its `url` that requests \
                 give: none",
            ),
            (
                Requirements { credentials: named(&[("member", &[])]), ..good.clone() },
                "`csp.CSP_0.credentials.member` must have the parameters that requests give: \
                 `account`",
            ),
            (
                Requirements { settings: json!({}), ..good.clone() },
                "settings that the adapter does not accept: `csp.CSP_0.settings`: \"root\" is a \
                 required property; correct them",
            ),
        ] {
            assert_eq!(problem(&candidate, None, &[bad]), expected);
        }
        let manifest = Manifest { settings: Some(json!({"type": 1})), ..Manifest::default() };
        let candidate = Info { manifest, ..candidate };
        let unusable = problem(&candidate, None, &[good]);
        assert!(unusable.starts_with("the manifest has a schema of settings that cannot be used"));
    }

    #[test]
    fn the_schema_of_manifests_accepts_what_the_host_reads() {
        let schema = include_str!("../../../wit/v0.2/manifest.schema.json");
        let schema: Value = serde_json::from_str(schema).unwrap();
        let validator = jsonschema::validator_for(&schema).unwrap();
        for (text, is_valid) in [
            ("{}", true),
            (
                r#"{"endpoints": {"costs": {"parameters": ["region"], "optional": true}},
                    "credentials": {"member": {"description": "a role"}},
                    "settings": {}, "retryAfterHeaders": ["x-retry-in-ms"],
                    "personalKeys": ["upn"], "secretKeys": ["otp"]}"#,
                true,
            ),
            (include_str!("../../../plugins/atat/manifest.json"), true),
            (include_str!("../../../plugins/aws/manifest.json"), true),
            (include_str!("../../../plugins/azure/manifest.json"), true),
            (r#"{"endpoint": {}}"#, false),
            (r#"{"endpoints": {"costs": {"parameter": []}}}"#, false),
            (r#"{"endpoints": {"a b": {}}}"#, false),
            (r#"{"retryAfterHeaders": ["X-Retry"]}"#, false),
            (r#"{"secretKeys": [""]}"#, false),
        ] {
            assert_eq!(
                validator.is_valid(&serde_json::from_str(text).unwrap()),
                is_valid,
                "{text}"
            );
            assert!(!is_valid || Manifest::parse(text).is_ok(), "{text}");
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
