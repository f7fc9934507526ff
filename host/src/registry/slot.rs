//! What is loaded of one adapter.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::Weak;

use super::Version;
use super::history::History;
use hoth_core::domain::Digest;
use hoth_core::domain::Timestamp;
use hoth_runtime::Usage;

/// What is loaded under one name, and what is known of it.
#[derive(Debug, Clone, Default)]
pub(super) struct Slot {
    active: Option<Arc<Version>>,
    /// Versions that are not active: loaded as long as a job holds them.
    others: Vec<Weak<Version>>,
    /// What can be activated again. Its active version is not the loaded one
    /// where that one cannot be loaded; `problem` says why.
    pub history: History,
    /// What the versions' calls have cost, whether they are loaded or not.
    usages: BTreeMap<Digest, Arc<Usage>>,
    /// Why nothing is loaded, or why what arrived or was chosen last is not.
    pub problem: Option<String>,
    /// What was refused since the last activation.
    pub refused: Option<RefusedComponent>,
}

/// A component that was refused.
#[derive(Debug, Clone)]
pub(super) struct RefusedComponent {
    pub at: Timestamp,
    pub sha256: Digest,
    /// One word of a closed set, for metrics.
    pub reason: &'static str,
    pub message: String,
}

impl Slot {
    pub fn active(&self) -> Option<&Arc<Version>> {
        self.active.as_ref()
    }

    /// A loaded version.
    pub fn find(&self, digest: &Digest) -> Option<Arc<Version>> {
        self.loaded().find(|version| version.adapter().digest() == *digest)
    }

    /// Whether a version that is kept calls itself otherwise than `version`
    /// does: then it is another program, and the same number of its states
    /// means another form.
    pub fn is_foreign(&self, digest: &Digest, version: &Version) -> bool {
        let kept = self.history.find(digest).and_then(|kept| kept.name.as_ref());
        kept.is_some_and(|name| *name != version.adapter().info().name)
    }

    /// Everything that is loaded, the active version first.
    pub fn loaded(&self) -> impl Iterator<Item = Arc<Version>> {
        self.active.iter().cloned().chain(self.others.iter().filter_map(Weak::upgrade))
    }

    /// Makes `version` active; gives the one with the same digest where that
    /// is loaded already, as jobs are counted there.
    pub fn activate(&mut self, version: Arc<Version>) -> Arc<Version> {
        self.problem = None;
        self.refused = None;
        let version = self.find(&version.adapter().digest()).unwrap_or(version);
        if let Some(before) = self.active.replace(Arc::clone(&version)) {
            self.others.push(Arc::downgrade(&before));
        }
        self.others
            .retain(|other| other.upgrade().is_some_and(|other| !Arc::ptr_eq(&other, &version)));
        self.count(&version);
        version
    }

    /// Knows of a version that a job holds.
    pub fn hold(&mut self, version: &Arc<Version>) {
        self.others.retain(|other| other.strong_count() > 0);
        self.others.push(Arc::downgrade(version));
        self.count(version);
    }

    /// What the calls of a version have cost, if it was ever loaded.
    pub fn usage(&self, digest: &Digest) -> Option<&Arc<Usage>> {
        self.usages.get(digest)
    }

    /// Remembers where a version's calls are counted, and forgets those of
    /// versions that nobody can go back to.
    fn count(&mut self, version: &Version) {
        let adapter = version.adapter();
        let kept: Vec<Digest> = self
            .history
            .versions()
            .map(|kept| kept.sha256)
            .chain(self.loaded().map(|version| version.adapter().digest()))
            .collect();
        self.usages.retain(|digest, _| kept.contains(digest));
        self.usages.insert(adapter.digest(), Arc::clone(adapter.usage()));
    }
}
