//! The retained versions of one adapter: the active version, and the targets of
//! a rollback. This module does no I/O; [`super::ledger`] stores a history.

use serde::Deserialize;
use serde::Serialize;

use hoth_core::domain::Digest;
use hoth_core::domain::Timestamp;

/// Retained versions of one adapter, including the active one: enough to roll
/// back over some weeks, and for jobs that wait with the state of an earlier
/// version. Sixteen builds of CPython take 300 MB of disk.
pub(super) const VERSIONS_MAX: usize = 16;

/// A version that can be activated again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RetainedVersion {
    pub sha256: Digest,
    /// The name in its description. `None` in ledgers of earlier builds.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub name: Option<String>,
    /// The version in its description.
    pub version: String,
    /// The size of the component in bytes.
    pub size: usize,
    pub imports: Vec<String>,
    /// The time of the last installation.
    pub arrived_at: Timestamp,
}

/// The activations of one adapter.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct History {
    /// Versions in the order of their activation. The last one is active, and
    /// a rollback without a target goes to the one before it.
    #[serde(rename = "trail")]
    activations: Vec<RetainedVersion>,
    /// Versions that were rolled back, the latest last. Kept apart, so that a
    /// rollback never goes to a version that was rolled back itself.
    #[serde(rename = "aside")]
    rolled_back: Vec<RetainedVersion>,
}

impl History {
    /// Returns the active version.
    pub fn active(&self) -> Option<&RetainedVersion> {
        self.activations.last()
    }

    /// Returns all versions: the active version, then the earlier versions, then
    /// the versions that were rolled back.
    pub fn versions(&self) -> impl Iterator<Item = &RetainedVersion> {
        self.activations.iter().rev().chain(self.rolled_back.iter().rev())
    }

    /// Returns the version with a digest.
    pub fn find(&self, digest: &Digest) -> Option<&RetainedVersion> {
        self.versions().find(|version| version.sha256 == *digest)
    }

    /// Returns the target of a rollback that names none.
    pub fn previous(&self) -> Option<&RetainedVersion> {
        self.activations.iter().nth_back(1)
    }

    /// Makes a new version active, and forgets the oldest versions beyond the
    /// limit, starting with versions that were rolled back.
    pub fn activate_new(&mut self, version: RetainedVersion) {
        // A version that is installed again moves to the end. It is in the history
        // once, so the limit counts versions and not installations.
        self.activations.retain(|other| other.sha256 != version.sha256);
        self.rolled_back.retain(|other| other.sha256 != version.sha256);
        self.activations.push(version);
        let retained = self.activations.len() + self.rolled_back.len();
        let surplus = retained.saturating_sub(VERSIONS_MAX);
        let from_rolled_back = surplus.min(self.rolled_back.len());
        self.rolled_back.drain(..from_rolled_back);
        // The active version is last, so it is never among the oldest.
        self.activations.drain(..surplus - from_rolled_back);
    }

    /// Makes a retained version active again; the versions that were activated
    /// after it count as rolled back. Returns `false` if there is no such
    /// version.
    pub fn roll_back_to(&mut self, digest: &Digest) -> bool {
        let is_target = |version: &RetainedVersion| version.sha256 == *digest;
        if let Some(at) = self.activations.iter().position(is_target) {
            self.rolled_back.extend(self.activations.drain(at + 1..).rev());
            return true;
        }
        let Some(at) = self.rolled_back.iter().position(is_target) else {
            return false;
        };
        // The version that was active stays before it, so a rollback without a
        // target returns to that version.
        let version = self.rolled_back.remove(at);
        self.activations.push(version);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn retained(version: &str) -> RetainedVersion {
        RetainedVersion {
            sha256: Digest::of(version.as_bytes()),
            name: None,
            version: version.to_owned(),
            size: 1,
            imports: Vec::new(),
            arrived_at: Timestamp::from_millis(0),
        }
    }

    /// Applies changes, `2` for an installation and `<2` for a rollback, and
    /// returns the versions, the active one first.
    fn after(changes: &str) -> String {
        let mut history = History::default();
        for change in changes.split_whitespace() {
            match change.strip_prefix('<') {
                Some(to) => {
                    assert!(history.roll_back_to(&retained(to).sha256), "{changes}: {change}")
                }
                None => history.activate_new(retained(change)),
            }
        }
        let versions: Vec<_> = history.versions().map(|each| each.version.clone()).collect();
        let previous = history.previous().map_or("-", |each| &each.version);
        format!("{}, previous: {previous}", versions.join(" "))
    }

    #[test]
    fn a_rollback_goes_to_the_previous_version_or_to_any_retained_one() {
        for (changes, expected) in [
            ("1", "1, previous: -"),
            ("1 2 3", "3 2 1, previous: 2"),
            ("1 2 3 <2", "2 1 3, previous: 1"),
            // A later rollback skips the version that was rolled back.
            ("1 2 3 <2 4", "4 2 1 3, previous: 2"),
            ("1 2 3 <1", "1 2 3, previous: -"),
            // A rollback to a version that was rolled back activates it again.
            ("1 2 3 <1 <3", "3 1 2, previous: 1"),
            // A version that is installed again is listed once.
            ("1 2 1", "1 2, previous: 2"),
            ("1 2 3 <2 3", "3 2 1, previous: 2"),
        ] {
            assert_eq!(after(changes), expected, "{changes}");
        }
        assert!(!History::default().roll_back_to(&retained("1").sha256));
    }

    #[test]
    fn history_is_bounded_and_keeps_the_active_version() {
        let mut history = History::default();
        history.activate_new(retained("first"));
        history.activate_new(retained("bad"));
        history.roll_back_to(&retained("first").sha256);
        for version in 0..VERSIONS_MAX - 2 {
            history.activate_new(retained(&version.to_string()));
        }
        assert_eq!(history.versions().count(), VERSIONS_MAX);
        history.activate_new(retained("one more"));
        assert_eq!(history.versions().count(), VERSIONS_MAX);
        assert_eq!(history.find(&retained("bad").sha256), None, "rolled back versions go first");
        assert!(history.find(&retained("first").sha256).is_some());
        history.activate_new(retained("and one"));
        assert_eq!(history.find(&retained("first").sha256), None);
        assert_eq!(history.active(), Some(&retained("and one")));
    }
}
