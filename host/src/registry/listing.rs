//! The registry as operators see it.

use std::collections::BTreeMap;

use serde::Serialize;

use super::AdapterName;
use super::NotServing;
use super::Signer;
use super::Version;
use super::compatibility::CspBinding;
use super::history::RetainedVersion;
use super::slot::Slot;
use super::table::Slots;
use crate::replay::JobCounts;
use crate::replay::Policy;
use crate::replay::ReplayReport;
use crate::replay::Verdict;
use hoth_core::domain::CspName;
use hoth_core::domain::Digest;
use hoth_core::domain::Timestamp;
use hoth_runtime::CALL_SECONDS_BOUNDS;
use hoth_runtime::Counted;

/// An adapter, as `GET /adapters` returns it.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AdapterListing {
    pub name: AdapterName,
    /// The CSPs that name the adapter in the configuration.
    pub csps: Vec<CspName>,
    /// The active version first.
    pub versions: Vec<VersionListing>,
    /// The reason why no version is active, or why the file that arrived last
    /// is not listed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// The last refusal since the last activation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<RefusalListing>,
    /// The last result of the replay gate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replay: Option<ReplayListing>,
}

/// A result of the replay gate, without its findings.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ReplayListing {
    /// RFC 3339, UTC.
    pub at: String,
    /// The digest of the candidate.
    pub candidate: Digest,
    pub policy: Policy,
    pub verdict: Verdict,
    pub jobs: JobCounts,
    /// `true` if the candidate takes longer, whatever the verdict is.
    pub slower: bool,
    /// The verdict and its numbers in one sentence.
    pub summary: String,
}

impl ReplayListing {
    pub(super) fn new(report: &ReplayReport, at: Timestamp) -> Self {
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

/// The refusal of a component.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RefusalListing {
    pub sha256: Digest,
    /// RFC 3339, UTC.
    pub at: String,
    /// As in `hoth_adapter_refusals_total`.
    pub reason: &'static str,
    /// The problem and its remedy.
    pub message: String,
}

/// A version of an adapter that is loaded or retained.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct VersionListing {
    pub sha256: Digest,
    /// The version in its description.
    pub version: String,
    pub active: bool,
    /// The size of the component in bytes.
    pub size: usize,
    pub imports: Vec<String>,
    /// The time of its last installation; RFC 3339, UTC.
    pub arrived_at: String,
    /// `true` if the version is in memory: the active version always is, others
    /// are while jobs run on them.
    pub loaded: bool,
    /// RFC 3339, UTC; null if the version is not loaded.
    pub loaded_at: Option<String>,
    pub jobs_in_flight: usize,
    /// The jobs that wait with a state that this version has written, counted up
    /// to [`WAITING_COUNT_MAX`](hoth_trail::WAITING_COUNT_MAX); null if the trail
    /// is off. The registry does not know them; the admin API adds them.
    pub waiting_jobs: Option<u64>,
    /// The signer, if the signature was checked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signer: Option<Signer>,
    /// The oldest and the newest version of the states that it reads; null if
    /// the version is not loaded.
    pub states: Option<(u32, u32)>,
    /// The calls since the host started.
    pub usage: UsageListing,
    /// The reason why the version counts as failing: several calls in a row
    /// failed, up to the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failing: Option<String>,
}

/// The cost and the results of a version's calls.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct UsageListing {
    pub calls: u64,
    pub traps: u64,
    pub timeouts: u64,
    pub out_of_memory: u64,
    pub invalid: u64,
    /// The total time of all calls.
    pub seconds: f64,
    /// The number of calls in each bucket of
    /// [`CALL_SECONDS_BOUNDS`].
    #[serde(skip)]
    pub buckets: [u64; CALL_SECONDS_BOUNDS.len()],
    /// The bounds of the buckets with the median and the 99th percentile; null
    /// without calls.
    pub seconds_p50: Option<f64>,
    pub seconds_p99: Option<f64>,
    /// The time of the longest call.
    pub seconds_max: f64,
    /// The peak memory of one call.
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
            buckets: counted.buckets,
            seconds_p50: quantile(counted, 50),
            seconds_p99: quantile(counted, 99),
            seconds_max: counted.time_max.as_secs_f64(),
            memory_max_bytes: counted.memory_max_bytes,
        }
    }
}

/// Returns the time that this percentage of the calls did not exceed, to the bound
/// of its bucket, and at most the longest time. Returns `None` without calls.
fn quantile(counted: &Counted, percent: u64) -> Option<f64> {
    if counted.calls == 0 {
        return None;
    }
    let longest = counted.time_max.as_secs_f64();
    let wanted = (counted.calls * percent).div_ceil(100);
    let mut seen = 0;
    let bound = counted.buckets.iter().zip(CALL_SECONDS_BOUNDS).find(|(calls, _)| {
        seen += **calls;
        seen >= wanted
    });
    Some(bound.map_or(longest, |(_, bound)| bound.min(longest)))
}

/// Lists the adapters of the table and the adapters that CSPs name.
pub(super) fn list(
    slots: &Slots,
    bindings: &BTreeMap<CspName, CspBinding>,
    last_replays: &BTreeMap<AdapterName, ReplayListing>,
) -> Vec<AdapterListing> {
    let mut names: Vec<_> =
        slots.keys().chain(bindings.values().map(|binding| &binding.adapter)).collect();
    names.sort_unstable();
    names.dedup();
    let listed = |name| adapter(name, slots.get(name), bindings, last_replays.get(name).cloned());
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
    let refused = slot.and_then(|slot| slot.refused.as_ref()).map(|refused| RefusalListing {
        sha256: refused.sha256,
        at: refused.at.to_rfc3339(),
        reason: refused.reason,
        message: refused.message.clone(),
    });
    let (name, csps) = (name.clone(), csps.collect());
    AdapterListing { name, csps, versions, problem, refused, replay }
}

/// Lists the active version, the earlier versions, the versions that were
/// rolled back, and the versions that only jobs still hold.
fn versions(slot: &Slot) -> Vec<VersionListing> {
    let active = slot.active().map(|version| version.adapter().digest());
    let mut rows: Vec<_> =
        slot.history.versions().map(|version| row(version, slot, active)).collect();
    for version in slot.loaded() {
        if slot.history.find(&version.adapter().digest()).is_none() {
            rows.push(row(&version.to_retained(), slot, active));
        }
    }
    rows.sort_by_key(|row| !row.active);
    rows
}

fn row(version: &RetainedVersion, slot: &Slot, active: Option<Digest>) -> VersionListing {
    let loaded = slot.find(&version.sha256);
    let loaded = loaded.as_deref();
    let counted = slot.usage(&version.sha256).map(|usage| usage.counted()).unwrap_or_default();
    VersionListing {
        sha256: version.sha256,
        version: version.version.clone(),
        active: active == Some(version.sha256),
        size: version.size,
        imports: version.imports.clone(),
        arrived_at: version.arrived_at.to_rfc3339(),
        loaded: loaded.is_some(),
        loaded_at: loaded.map(|version| version.loaded_at().to_rfc3339()),
        jobs_in_flight: loaded.map_or(0, Version::jobs_in_flight),
        waiting_jobs: None,
        signer: version.signer.clone(),
        states: loaded.map(|version| version.adapter().info().states),
        usage: UsageListing::from(&counted),
        failing: counted.problem(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_quantile_is_the_bound_of_its_bucket() {
        let mut counted = Counted::default();
        assert_eq!(quantile(&counted, 50), None);
        counted.calls = 100;
        counted.buckets[3] = 98;
        counted.buckets[9] = 2;
        counted.time_max = Duration::from_millis(60);
        assert_eq!(quantile(&counted, 50), Some(0.001));
        assert_eq!(quantile(&counted, 99), Some(0.06));
    }
}
