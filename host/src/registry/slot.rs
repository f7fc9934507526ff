//! The slot of one adapter in the table: its loaded versions and their history.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::Weak;

use super::Version;
use super::history::History;
use hoth_core::domain::Digest;
use hoth_core::domain::Timestamp;
use hoth_runtime::Usage;

/// The loaded versions of one adapter, and the state that operators see.
#[derive(Debug, Clone, Default)]
pub(super) struct Slot {
    active: Option<Arc<Version>>,
    /// Versions that are not active. The jobs that run on them keep them
    /// loaded, so the table holds them weakly.
    others: Vec<Weak<Version>>,
    /// The versions that can be activated. If its active version cannot be
    /// loaded, another version or none serves, and `problem` has the reason.
    pub history: History,
    /// Counters of calls for each version, loaded or not, so that a version
    /// that is loaded again continues them.
    usages: BTreeMap<Digest, Arc<Usage>>,
    /// The reason why no version is loaded, or why the version that arrived or
    /// was chosen last is not. Cleared by an activation.
    pub problem: Option<String>,
    /// The last refusal since the last activation.
    pub refused: Option<LastRefusal>,
}

/// The refusal of a component, as it is listed.
#[derive(Debug, Clone)]
pub(super) struct LastRefusal {
    pub at: Timestamp,
    pub sha256: Digest,
    /// The kind of the refusal, from a closed set of names for metrics and the
    /// API.
    pub reason: &'static str,
    pub message: String,
}

impl Slot {
    /// Returns the version that serves.
    pub fn active(&self) -> Option<&Arc<Version>> {
        self.active.as_ref()
    }

    /// Returns a version if it is loaded.
    pub fn find(&self, digest: &Digest) -> Option<Arc<Version>> {
        self.loaded().find(|version| version.adapter().digest() == *digest)
    }

    /// Returns `true` if a retained version describes itself by another name
    /// than `version`. It is another program then, and equal version numbers of
    /// their states do not mean equal formats.
    pub fn is_other_program(&self, digest: &Digest, version: &Version) -> bool {
        let retained = self.history.find(digest).and_then(|retained| retained.name.as_ref());
        retained.is_some_and(|name| *name != version.adapter().info().name)
    }

    /// Returns all loaded versions, the active one first.
    pub fn loaded(&self) -> impl Iterator<Item = Arc<Version>> {
        self.active.iter().cloned().chain(self.others.iter().filter_map(Weak::upgrade))
    }

    /// Makes `version` active. Returns the loaded version with the same digest
    /// if there is one, because it counts the jobs.
    pub fn activate(&mut self, version: Arc<Version>) -> Arc<Version> {
        self.problem = None;
        self.refused = None;
        let version = self.find(&version.adapter().digest()).unwrap_or(version);
        if let Some(before) = self.active.replace(Arc::clone(&version)) {
            self.others.push(Arc::downgrade(&before));
        }
        // Drops versions that no job holds any more, and the new active version,
        // which may have been on this list.
        self.others
            .retain(|other| other.upgrade().is_some_and(|other| !Arc::ptr_eq(&other, &version)));
        self.track_usage(&version);
        version
    }

    /// Adds a version that a job has loaded.
    pub fn hold(&mut self, version: &Arc<Version>) {
        self.others.retain(|other| other.strong_count() > 0);
        self.others.push(Arc::downgrade(version));
        self.track_usage(version);
    }

    /// Returns the counters of a version, or `None` if it was never loaded.
    pub fn usage(&self, digest: &Digest) -> Option<&Arc<Usage>> {
        self.usages.get(digest)
    }

    /// Adds the counters of a version, and drops the counters of versions that
    /// are neither retained nor loaded.
    fn track_usage(&mut self, version: &Version) {
        let adapter = version.adapter();
        let tracked: Vec<Digest> = self
            .history
            .versions()
            .map(|retained| retained.sha256)
            .chain(self.loaded().map(|version| version.adapter().digest()))
            .collect();
        self.usages.retain(|digest, _| tracked.contains(digest));
        self.usages.insert(adapter.digest(), Arc::clone(adapter.usage()));
    }
}
