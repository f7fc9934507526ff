//! Candidates are tried on jobs that the host has seen: see [`crate::replay`].

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;

use tokio::task::JoinHandle;

use super::AdapterName;
use super::InstallError;
use super::Package;
use super::Refusal;
use super::Registry;
use super::ReplayListing;
use super::Version;
use crate::replay::Policy;
use crate::replay::ReplayReport;
use crate::replay::Replayer;
use hoth_core::domain::Timestamp;
use hoth_platform::clock::Clock;
use hoth_runtime::Adapter;

/// The gate, and what goes on behind it.
#[derive(Debug)]
pub(super) struct ReplayGate {
    replayer: Replayer,
    /// Replays of versions that serve already: one of each adapter at most.
    /// There are no more than the configuration names.
    background: Mutex<BTreeMap<AdapterName, JoinHandle<()>>>,
    last_replays: LastReplays,
}

/// What the gate has said last of each adapter: one of each, of those that have
/// an active version.
#[derive(Debug, Clone, Default)]
struct LastReplays(Arc<Mutex<BTreeMap<AdapterName, ReplayListing>>>);

impl LastReplays {
    fn note(&self, name: &AdapterName, report: &ReplayReport, at: Timestamp) {
        if report.active.is_some() {
            let mut said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            said.insert(name.clone(), ReplayListing::of(report, at));
        }
    }
}

impl ReplayGate {
    pub fn new(replayer: Replayer) -> Self {
        Self { replayer, background: Mutex::default(), last_replays: LastReplays::default() }
    }

    /// The last verdict on each adapter since the host started; what was asked
    /// for in a dry run is none.
    pub fn last_replays(&self) -> BTreeMap<AdapterName, ReplayListing> {
        self.last_replays.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Tries a version that serves now on what `before` did, while it serves. The
    /// one that was being tried before it is of no interest any more.
    pub fn replay_in_background(
        &self,
        name: &AdapterName,
        before: Adapter,
        now: Adapter,
        clock: &Clock,
    ) {
        let (replayer, last_replays, clock) =
            (self.replayer.clone(), self.last_replays.clone(), clock.clone());
        let adapter = name.clone();
        let replay = tokio::spawn(async move {
            let report = replayer.replay(adapter.as_str(), Some(&before), &now, Policy::Warn).await;
            last_replays.note(&adapter, &report, clock.now());
        });
        let mut background = self.background.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(earlier) = background.insert(name.clone(), replay) {
            earlier.abort();
        }
    }
}

impl Drop for ReplayGate {
    fn drop(&mut self) {
        let background = self.background.get_mut().unwrap_or_else(PoisonError::into_inner);
        background.values().for_each(JoinHandle::abort);
    }
}

impl Registry {
    /// Checks a component as [`Registry::install`] does, tries it on the jobs that
    /// the host has seen, and changes nothing.
    ///
    /// # Errors
    ///
    /// [`InstallError`]: the name or the component is refused.
    pub async fn dry_run(
        &self,
        name: &str,
        package: impl Into<Package>,
        policy: Option<Policy>,
    ) -> Result<ReplayReport, InstallError> {
        let name: AdapterName = name.parse()?;
        let candidate = self.load_component(&name, &package.into()).await?;
        self.check_compatible(&name, &candidate).map_err(Refusal::from)?;
        let policy = policy.unwrap_or_else(|| self.policy(&name));
        Ok(self.replay(&name, &candidate, policy).await)
    }

    pub(super) fn policy(&self, name: &AdapterName) -> Policy {
        self.replay_gate.replayer.policy(name.as_str())
    }

    /// Lets a candidate pass, or not.
    pub(super) async fn check_replay(
        &self,
        name: &AdapterName,
        candidate: &Version,
        policy: Policy,
    ) -> Result<(), Refusal> {
        match policy {
            // The one is not asked, and the other only told of.
            Policy::Off | Policy::Warn => return Ok(()),
            Policy::Block => {}
        }
        let digest = candidate.adapter().digest();
        if self.active(name).is_some_and(|active| active.adapter().digest() == digest) {
            return Ok(());
        }
        let report = self.replay(name, candidate, policy).await;
        self.replay_gate.last_replays.note(name, &report, self.clock.now());
        if report.refuses() {
            return Err(Refusal::Replay(Box::new(report)));
        }
        Ok(())
    }

    async fn replay(
        &self,
        name: &AdapterName,
        candidate: &Version,
        policy: Policy,
    ) -> ReplayReport {
        let active = self.active(name);
        let active = active.as_ref().map(|version| version.adapter());
        self.replay_gate.replayer.replay(name.as_str(), active, candidate.adapter(), policy).await
    }
}
