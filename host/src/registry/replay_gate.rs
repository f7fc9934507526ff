//! The replay gate: replays recorded jobs on candidates, before or after their
//! activation. See [`crate::replay`].

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;

use tokio::sync::Semaphore;
use tokio::sync::SemaphorePermit;
use tokio::task::JoinHandle;

use super::AdapterName;
use super::Refusal;
use super::ReplayListing;
use super::Version;
use crate::replay::Policy;
use crate::replay::ReplayReport;
use crate::replay::Replayer;
use crate::traces::AdapterAct;
use hoth_core::domain::Timestamp;
use hoth_platform::clock::Clock;
use hoth_runtime::Adapter;

/// The replayer, its background tasks, and their results.
#[derive(Debug)]
pub(super) struct ReplayGate {
    replayer: Replayer,
    /// Replays of versions that already serve, at most one per adapter: a later
    /// version makes the replay of an earlier one pointless.
    background: Mutex<BTreeMap<AdapterName, JoinHandle<()>>>,
    last_replays: LastReplays,
    /// The permit of a replay on demand, which computes for seconds.
    on_demand: Semaphore,
}

/// The last report on an adapter, and its time.
pub type LastReport = (Timestamp, Arc<ReplayReport>);

/// The last result for each adapter with an active version. Shared with the
/// background tasks, which outlive the call that starts them.
#[derive(Debug, Clone, Default)]
struct LastReplays(Arc<Mutex<BTreeMap<AdapterName, LastReport>>>);

impl LastReplays {
    fn record(&self, name: &AdapterName, report: &ReplayReport, at: Timestamp) {
        // Without an active version nothing was compared, and a result says
        // nothing.
        if report.active.is_some() {
            let mut results = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            results.insert(name.clone(), (at, Arc::new(report.clone())));
        }
    }
}

impl ReplayGate {
    /// Creates a gate without results.
    pub fn new(replayer: Replayer) -> Self {
        Self {
            replayer,
            background: Mutex::default(),
            last_replays: LastReplays::default(),
            on_demand: Semaphore::new(1),
        }
    }

    /// Returns the configured policy for an adapter.
    pub fn policy(&self, name: &AdapterName) -> Policy {
        self.replayer.policy(name.as_str())
    }

    /// Returns the last result for each adapter since the host started, except
    /// for the results of dry runs.
    pub fn last_replays(&self) -> BTreeMap<AdapterName, ReplayListing> {
        let results = self.last_replays.0.lock().unwrap_or_else(PoisonError::into_inner);
        let listing = |(at, report): &LastReport| ReplayListing::new(report, *at);
        results.iter().map(|(name, last)| (name.clone(), listing(last))).collect()
    }

    /// Returns the last of these results in full.
    pub fn last_report(&self, name: &AdapterName) -> Option<LastReport> {
        let results = self.last_replays.0.lock().unwrap_or_else(PoisonError::into_inner);
        results.get(name).cloned()
    }

    /// Replays a candidate under the policy `block`, and refuses it if it
    /// behaves differently from the active version.
    pub async fn check(
        &self,
        name: &AdapterName,
        active: Option<&Version>,
        candidate: &Version,
        policy: Policy,
        clock: &Clock,
        deploy: &AdapterAct,
    ) -> Result<(), Refusal> {
        match policy {
            // Under `warn` the replay follows the activation.
            Policy::Off | Policy::Warn => return Ok(()),
            Policy::Block => {}
        }
        let digest = candidate.adapter().digest();
        // A component that is deployed again behaves as it did before.
        if active.is_some_and(|active| active.adapter().digest() == digest) {
            return Ok(());
        }
        let report = self.replay(name, active, candidate, policy, deploy.child("replay")).await;
        self.last_replays.record(name, &report, clock.now());
        if report.refuses() {
            return Err(Refusal::Replay(Box::new(report)));
        }
        Ok(())
    }

    /// Replays recorded jobs on both versions and compares them.
    pub async fn replay(
        &self,
        name: &AdapterName,
        active: Option<&Version>,
        candidate: &Version,
        policy: Policy,
        trace: AdapterAct,
    ) -> ReplayReport {
        let active = active.map(Version::adapter);
        let report = self.replayer.replay(name.as_str(), active, candidate.adapter(), policy).await;
        end(trace, &report);
        report
    }

    /// Returns the permit of a replay on demand; `None` while another one runs.
    pub fn on_demand(&self) -> Option<SemaphorePermit<'_>> {
        self.on_demand.try_acquire().ok()
    }

    /// Replays recorded jobs on two versions, and keeps the report.
    pub async fn replay_again(
        &self,
        name: &AdapterName,
        reference: &Version,
        candidate: &Version,
        clock: &Clock,
        trace: AdapterAct,
    ) -> ReplayReport {
        let policy = self.policy(name);
        let report = self.replay(name, Some(reference), candidate, policy, trace).await;
        self.last_replays.record(name, &report, clock.now());
        report
    }

    /// Compares a version that already serves with the one `before` it, in a
    /// task of its own. A running task for the same adapter is aborted.
    pub fn replay_in_background(
        &self,
        name: &AdapterName,
        before: Adapter,
        now: Adapter,
        clock: &Clock,
        trace: AdapterAct,
    ) {
        let (replayer, last_replays) = (self.replayer.clone(), self.last_replays.clone());
        let (adapter, clock) = (name.clone(), clock.clone());
        let replay = tokio::spawn(async move {
            let report = replayer.replay(adapter.as_str(), Some(&before), &now, Policy::Warn).await;
            end(trace, &report);
            last_replays.record(&adapter, &report, clock.now());
        });
        let mut background = self.background.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(earlier) = background.insert(name.clone(), replay) {
            earlier.abort();
        }
    }
}

/// Ends the span of a replay with its report.
fn end(mut trace: AdapterAct, report: &ReplayReport) {
    trace.count("hoth.replay.journals", report.jobs.journals as u64);
    trace.end(report.verdict.as_str(), None);
}

impl Drop for ReplayGate {
    fn drop(&mut self) {
        let background = self.background.get_mut().unwrap_or_else(PoisonError::into_inner);
        background.values().for_each(JoinHandle::abort);
    }
}
