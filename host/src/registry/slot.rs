//! The versions of one adapter: which is active, and which was before.

use std::sync::Arc;

use super::Version;
use crate::domain::Digest;

/// Versions of one adapter that stay loaded, the active one included: enough
/// to roll back twice and to resume what earlier ones left waiting. A
/// compiled Rust adapter takes under a megabyte, CPython 60. Versions with
/// jobs stay anyway.
const VERSIONS_KEPT: usize = 4;

/// What is loaded under one name.
#[derive(Debug, Clone, Default)]
pub(super) struct Slot {
    /// How the active version came about: it is the last, and before it stands
    /// what to roll back to.
    trail: Vec<Arc<Version>>,
    /// What was rolled back from; it still resumes what it left waiting. The
    /// latest last.
    aside: Vec<Arc<Version>>,
    /// Why the file that arrived last was refused.
    pub problem: Option<String>,
}

impl Slot {
    pub fn active(&self) -> Option<&Arc<Version>> {
        self.trail.last()
    }

    pub fn find(&self, digest: &Digest) -> Option<&Arc<Version>> {
        self.versions().find(|version| version.adapter().digest() == *digest)
    }

    /// All versions: the active one, then what came before it, then the rest.
    pub fn versions(&self) -> impl Iterator<Item = &Arc<Version>> {
        self.trail.iter().rev().chain(self.aside.iter().rev())
    }

    /// Makes `version` active; gives the one with the same digest where that
    /// is loaded already, as jobs are counted there.
    pub fn activate(&mut self, version: Arc<Version>) -> Arc<Version> {
        self.problem = None;
        let digest = version.adapter().digest();
        let version = self.find(&digest).cloned().unwrap_or(version);
        self.trail.retain(|other| other.adapter().digest() != digest);
        self.aside.retain(|other| other.adapter().digest() != digest);
        self.trail.push(Arc::clone(&version));
        self.forget();
        version
    }

    /// Makes the version before the active one active, and gives it.
    pub fn roll_back(&mut self) -> Option<Arc<Version>> {
        let [.., before, _] = &self.trail[..] else {
            return None;
        };
        let before = Arc::clone(before);
        self.aside.extend(self.trail.pop());
        Some(before)
    }

    /// Lets go of surplus versions without jobs: first what was rolled back
    /// from, then the oldest.
    fn forget(&mut self) {
        let mut surplus = (self.trail.len() + self.aside.len()).saturating_sub(VERSIONS_KEPT);
        let mut keep = |version: &Arc<Version>| {
            let goes = surplus > 0 && version.jobs_in_flight() == 0;
            surplus -= usize::from(goes);
            !goes
        };
        self.aside.retain(&mut keep);
        let active = self.trail.pop();
        self.trail.retain(&mut keep);
        self.trail.extend(active);
    }
}
