//! What operators see of the registry.

use std::collections::BTreeMap;

use serde::Serialize;

use super::AdapterName;
use super::NotServing;
use super::Table;
use super::Version;
use super::slot::Slot;
use crate::domain::CspName;
use crate::domain::Digest;

/// One adapter, as `GET /adapters` shows it.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AdapterListing {
    pub name: AdapterName,
    /// The CSPs that name it in the configuration.
    pub csps: Vec<CspName>,
    /// The active version first.
    pub versions: Vec<VersionListing>,
    /// Why there is none, or why the file that arrived last is not among them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// One loaded version of an adapter.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct VersionListing {
    pub sha256: Digest,
    /// As it describes itself.
    pub version: String,
    pub active: bool,
    /// The size of the component in bytes.
    pub size: usize,
    pub imports: Vec<String>,
    /// RFC 3339, UTC.
    pub loaded_at: String,
    pub jobs_in_flight: usize,
}

pub(super) fn list(table: &Table, wants: &BTreeMap<CspName, AdapterName>) -> Vec<AdapterListing> {
    let mut names: Vec<_> = table.keys().chain(wants.values()).collect();
    names.sort_unstable();
    names.dedup();
    names.into_iter().map(|name| adapter(name, table.get(name), wants)).collect()
}

fn adapter(
    name: &AdapterName,
    slot: Option<&Slot>,
    wants: &BTreeMap<CspName, AdapterName>,
) -> AdapterListing {
    let csps = wants.iter().filter(|(_, wanted)| *wanted == name).map(|(csp, _)| csp.clone());
    let (versions, problem) = match slot {
        Some(slot) => {
            let active = slot.active().map(|version| version.adapter().digest());
            let versions = slot.versions().map(|each| version(each, active)).collect();
            (versions, slot.problem.clone())
        }
        None => (Vec::new(), Some(NotServing::Missing { adapter: name.clone() }.to_string())),
    };
    AdapterListing { name: name.clone(), csps: csps.collect(), versions, problem }
}

fn version(version: &Version, active: Option<Digest>) -> VersionListing {
    let adapter = version.adapter();
    VersionListing {
        sha256: adapter.digest(),
        version: adapter.info().version.clone(),
        active: active == Some(adapter.digest()),
        size: adapter.size_bytes(),
        imports: adapter.imports().to_vec(),
        loaded_at: version.loaded_at().to_rfc3339(),
        jobs_in_flight: version.jobs_in_flight(),
    }
}
