//! What operators see of the registry.

use std::collections::BTreeMap;

use serde::Serialize;

use super::AdapterName;
use super::NotServing;
use super::Table;
use super::Version;
use super::compatibility::CspBinding;
use super::history::RetainedVersion;
use super::slot::Slot;
use crate::replay::JobCounts;
use crate::replay::Policy;
use crate::replay::ReplayReport;
use crate::replay::Verdict;
use hoth_core::domain::CspName;
use hoth_core::domain::Digest;
use hoth_core::domain::Timestamp;
use hoth_runtime::Counted;

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
    /// What was refused last, if nothing was activated since.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<RefusedListing>,
    /// What the replay gate said last, of whatever arrived then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replay: Option<ReplayListing>,
}

/// A verdict of the replay gate, without its findings.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ReplayListing {
    /// RFC 3339, UTC.
    pub at: String,
    /// The digest of what was tried.
    pub candidate: Digest,
    pub policy: Policy,
    pub verdict: Verdict,
    pub jobs: JobCounts,
    /// Whether it takes longer, whatever the verdict is.
    pub slower: bool,
    /// The verdict and its numbers in one sentence.
    pub summary: String,
}

impl ReplayListing {
    pub(super) fn of(report: &ReplayReport, at: Timestamp) -> Self {
        Self {
            at: at.to_rfc3339(),
            candidate: report.candidate.sha256,
            policy: report.policy,
            verdict: report.verdict,
            jobs: report.jobs,
            slower: report.timing.is_some_and(|timing| timing.slower),
            summary: report.summary(),
        }
    }
}

/// A component that was refused.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RefusedListing {
    pub sha256: Digest,
    /// RFC 3339, UTC.
    pub at: String,
    /// As in `hoth_adapter_refusals_total`.
    pub reason: &'static str,
    /// What is missing, and what to do.
    pub message: String,
}

/// One version of an adapter that is loaded or kept.
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
    /// When it came to the directory last; RFC 3339, UTC.
    pub arrived_at: String,
    /// Whether it is in memory: the active one is, and others while jobs run
    /// on them.
    pub loaded: bool,
    /// RFC 3339, UTC; null while it is not loaded.
    pub loaded_at: Option<String>,
    pub jobs_in_flight: usize,
    /// Since the host started.
    pub usage: UsageListing,
    /// Why it counts as failing: its last calls, several in a row, failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failing: Option<String>,
}

/// What the calls of a version have cost, and how they ended.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct UsageListing {
    pub calls: u64,
    pub traps: u64,
    pub timeouts: u64,
    pub out_of_memory: u64,
    pub invalid: u64,
    /// Of all calls together.
    pub seconds: f64,
    /// Of the longest call.
    pub seconds_max: f64,
    /// The most that one call held.
    pub memory_max_bytes: u64,
}

impl From<&Counted> for UsageListing {
    fn from(counted: &Counted) -> Self {
        Self {
            calls: counted.calls,
            traps: counted.traps,
            timeouts: counted.timeouts,
            out_of_memory: counted.out_of_memory,
            invalid: counted.invalid,
            seconds: counted.time.as_secs_f64(),
            seconds_max: counted.time_max.as_secs_f64(),
            memory_max_bytes: counted.memory_max_bytes,
        }
    }
}

pub(super) fn list(
    table: &Table,
    bindings: &BTreeMap<CspName, CspBinding>,
    last_replays: &BTreeMap<AdapterName, ReplayListing>,
) -> Vec<AdapterListing> {
    let mut names: Vec<_> =
        table.keys().chain(bindings.values().map(|binding| &binding.adapter)).collect();
    names.sort_unstable();
    names.dedup();
    let listed = |name| adapter(name, table.get(name), bindings, last_replays.get(name).cloned());
    names.into_iter().map(listed).collect()
}

fn adapter(
    name: &AdapterName,
    slot: Option<&Slot>,
    bindings: &BTreeMap<CspName, CspBinding>,
    replay: Option<ReplayListing>,
) -> AdapterListing {
    let csps =
        bindings.iter().filter(|(_, binding)| binding.adapter == *name).map(|(csp, _)| csp.clone());
    let missing = || NotServing::Missing { adapter: name.clone() }.to_string();
    let (versions, problem) = match slot {
        Some(slot) if slot.active().is_some() => (versions(slot), slot.problem.clone()),
        Some(slot) => (versions(slot), Some(slot.problem.clone().unwrap_or_else(missing))),
        None => (Vec::new(), Some(missing())),
    };
    let refused = slot.and_then(|slot| slot.refused.as_ref()).map(|refused| RefusedListing {
        sha256: refused.sha256,
        at: refused.at.to_rfc3339(),
        reason: refused.reason,
        message: refused.message.clone(),
    });
    let (name, csps) = (name.clone(), csps.collect());
    AdapterListing { name, csps, versions, problem, refused, replay }
}

/// The active one, what came before it, what was rolled back from, and what
/// only jobs still hold.
fn versions(slot: &Slot) -> Vec<VersionListing> {
    let active = slot.active().map(|version| version.adapter().digest());
    let mut rows: Vec<_> = slot.history.versions().map(|kept| row(kept, slot, active)).collect();
    for version in slot.loaded() {
        if slot.history.find(&version.adapter().digest()).is_none() {
            rows.push(row(&version.to_retained(), slot, active));
        }
    }
    rows.sort_by_key(|row| !row.active);
    rows
}

fn row(kept: &RetainedVersion, slot: &Slot, active: Option<Digest>) -> VersionListing {
    let loaded = slot.find(&kept.sha256);
    let loaded = loaded.as_deref();
    let counted = slot.usage(&kept.sha256).map(|usage| usage.counted()).unwrap_or_default();
    VersionListing {
        sha256: kept.sha256,
        version: kept.version.clone(),
        active: active == Some(kept.sha256),
        size: kept.size,
        imports: kept.imports.clone(),
        arrived_at: kept.arrived_at.to_rfc3339(),
        loaded: loaded.is_some(),
        loaded_at: loaded.map(|version| version.loaded_at().to_rfc3339()),
        jobs_in_flight: loaded.map_or(0, Version::jobs_in_flight),
        usage: UsageListing::from(&counted),
        failing: counted.trouble(),
    }
}
