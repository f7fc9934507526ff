//! The retained versions of one adapter: the active version, and the targets of
//! a rollback. This module does no I/O; [`super::ledger`] stores a history.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::Deserialize;
use serde::Serialize;

use super::Signer;
use hoth_core::domain::Digest;
use hoth_core::domain::Timestamp;

/// Retained versions of one adapter, including the active one: enough to roll
/// back over some weeks, and for jobs that wait with the state of an earlier
/// version. Sixteen builds of CPython take 300 MB of disk.
pub(super) const VERSIONS_MAX: usize = 16;

/// The most retained versions while waiting jobs may need them, so that the
/// ledger and the number of files have a bound.
pub(super) const NEEDED_MAX: usize = 128;

/// The most bytes of components that are retained beyond [`VERSIONS_MAX`]
/// versions.
const NEEDED_BYTES_MAX: usize = 2 << 30;

/// Time that is added for jobs that are late: their CSP was paused, or the host
/// did not run.
const MARGIN: Duration = Duration::from_secs(24 * 3_600);

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
    /// The signer, if the signature was checked. `None` in ledgers of earlier
    /// builds, too.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub signer: Option<Signer>,
    /// The time at which another version became active. `None` for the active
    /// version, and in ledgers of earlier builds.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub inactive_since: Option<Timestamp>,
}

/// The rule for versions beyond [`VERSIONS_MAX`].
#[derive(Debug, Clone)]
pub(super) struct Retention {
    pub now: Timestamp,
    /// Time for which a job that an inactive version has started may still wait
    /// with a state that only this version reads.
    pub jobs_wait: Duration,
    /// Versions that waiting jobs have named since the start of the host. They
    /// are forgotten last, as the other versions are retained on suspicion.
    pub named: BTreeSet<Digest>,
}

impl Retention {
    fn is_named(&self, version: &RetainedVersion) -> bool {
        self.named.contains(&version.sha256)
    }

    fn needs(&self, version: &RetainedVersion) -> bool {
        let Some(since) = version.inactive_since else { return true };
        self.is_named(version) || self.now.since(since) <= self.jobs_wait.saturating_add(MARGIN)
    }
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
    /// limit that no waiting job may need, starting with versions that were
    /// rolled back.
    pub fn activate_new(&mut self, version: RetainedVersion, retention: &Retention) {
        // A version that is installed again moves to the end. It is in the history
        // once, so the limit counts versions and not installations.
        self.activations.retain(|other| other.sha256 != version.sha256);
        self.rolled_back.retain(|other| other.sha256 != version.sha256);
        self.activations.push(version);
        self.mark_inactive(retention.now);
        while self.forget_one(retention) {}
    }

    /// Makes a retained version active again; the versions that were activated
    /// after it count as rolled back. Returns `false` if there is no such
    /// version.
    pub fn roll_back_to(&mut self, digest: &Digest, now: Timestamp) -> bool {
        let is_target = |version: &RetainedVersion| version.sha256 == *digest;
        if let Some(at) = self.activations.iter().position(is_target) {
            self.rolled_back.extend(self.activations.drain(at + 1..).rev());
        } else if let Some(at) = self.rolled_back.iter().position(is_target) {
            // The version that was active stays before it, so a rollback without
            // a target returns to that version.
            let version = self.rolled_back.remove(at);
            self.activations.push(version);
        } else {
            return false;
        }
        self.mark_inactive(now);
        true
    }

    /// Marks all versions but the active one as inactive. Versions without a
    /// time, from ledgers of earlier builds, count from now on.
    fn mark_inactive(&mut self, now: Timestamp) {
        let Some((active, earlier)) = self.activations.split_last_mut() else { return };
        active.inactive_since = None;
        for version in earlier.iter_mut().chain(&mut self.rolled_back) {
            version.inactive_since.get_or_insert(now);
        }
    }

    /// Forgets one version if there are too many. Returns `false` if there are
    /// not, or if every version is needed.
    fn forget_one(&mut self, retention: &Retention) -> bool {
        let retained = self.activations.len() + self.rolled_back.len();
        if retained <= VERSIONS_MAX {
            return false;
        }
        let unneeded = |version: &RetainedVersion| !retention.needs(version);
        if self.forget_first(unneeded) {
            return true;
        }
        let bytes: usize = self.versions().map(|version| version.size).sum();
        let is_full = retained > NEEDED_MAX || bytes > NEEDED_BYTES_MAX;
        let unnamed = |version: &RetainedVersion| !retention.is_named(version);
        is_full && (self.forget_first(unnamed) || self.forget_first(|_| true))
    }

    /// Forgets the oldest version that matches, of the versions that were rolled
    /// back first. Returns `false` if there is none.
    fn forget_first(&mut self, matches: impl Fn(&RetainedVersion) -> bool) -> bool {
        if let Some(at) = self.rolled_back.iter().position(&matches) {
            self.rolled_back.remove(at);
            return true;
        }
        // The active version is last, and never forgotten.
        let earlier = self.activations.len().saturating_sub(1);
        let Some(at) = self.activations[..earlier].iter().position(matches) else {
            return false;
        };
        self.activations.remove(at);
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
            signer: None,
            inactive_since: None,
        }
    }

    const HOUR: Duration = Duration::from_secs(3_600);

    /// Returns the rule at a time, for jobs that wait 240 hours at most.
    fn at(hours: u32) -> Retention {
        let now = Timestamp::from_millis(0) + HOUR * hours;
        Retention { now, jobs_wait: HOUR * 240, named: BTreeSet::new() }
    }

    /// Applies changes, `2` for an installation and `<2` for a rollback, and
    /// returns the versions, the active one first.
    fn after(changes: &str) -> String {
        let mut history = History::default();
        for change in changes.split_whitespace() {
            match change.strip_prefix('<') {
                Some(to) => {
                    assert!(
                        history.roll_back_to(&retained(to).sha256, at(0).now),
                        "{changes}: {change}"
                    )
                }
                None => history.activate_new(retained(change), &at(0)),
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
        assert!(!History::default().roll_back_to(&retained("1").sha256, at(0).now));
    }

    /// Returns a history of `versions` installations, one an hour.
    fn installed(versions: usize) -> History {
        let mut history = History::default();
        for version in 0..versions {
            history.activate_new(retained(&version.to_string()), &at(version as u32));
        }
        history
    }

    #[test]
    fn history_is_bounded_and_keeps_the_active_version() {
        let mut history = History::default();
        history.activate_new(retained("first"), &at(0));
        history.activate_new(retained("bad"), &at(0));
        history.roll_back_to(&retained("first").sha256, at(0).now);
        for version in 0..VERSIONS_MAX - 2 {
            history.activate_new(retained(&version.to_string()), &at(0));
        }
        assert_eq!(history.versions().count(), VERSIONS_MAX);
        let later = &at(1_000);
        history.activate_new(retained("one more"), later);
        assert_eq!(history.versions().count(), VERSIONS_MAX);
        assert_eq!(history.find(&retained("bad").sha256), None, "rolled back versions go first");
        assert!(history.find(&retained("first").sha256).is_some());
        history.activate_new(retained("and one"), later);
        assert_eq!(history.find(&retained("first").sha256), None);
        assert_eq!(history.active(), Some(&retained("and one")));
    }

    #[test]
    fn versions_that_waiting_jobs_may_need_are_retained_within_bounds() {
        let mut history = installed(40);
        assert_eq!(history.versions().count(), 40, "each was active in the last 240 hours");
        // The first version became inactive after one hour, and a day is added.
        history.activate_new(retained("265 h"), &at(1 + 240 + 24));
        assert!(history.find(&retained("0").sha256).is_some());
        history.activate_new(retained("266 h"), &at(1 + 240 + 24 + 1));
        assert_eq!(history.find(&retained("0").sha256), None);
        assert!(history.find(&retained("1").sha256).is_some());

        assert_eq!(installed(NEEDED_MAX + 10).versions().count(), NEEDED_MAX);
        let mut history = installed(VERSIONS_MAX);
        let large = RetainedVersion { size: NEEDED_BYTES_MAX, ..retained("large") };
        history.activate_new(large, &at(20));
        assert_eq!(history.versions().count(), VERSIONS_MAX, "components take too many bytes");
    }

    #[test]
    fn versions_that_waiting_jobs_name_are_forgotten_last() {
        let named = BTreeSet::from([retained("0").sha256, retained("1").sha256]);
        // Long after the time for which jobs wait.
        let late = Retention { named: named.clone(), ..at(10_000) };
        let mut history = installed(VERSIONS_MAX + 4);
        history.activate_new(retained("late"), &late);
        assert_eq!(history.versions().count(), VERSIONS_MAX);
        assert!(named.iter().all(|digest| history.find(digest).is_some()));
        assert_eq!(history.find(&retained("2").sha256), None);

        // In the place of versions that were active not long ago.
        let mut history = installed(NEEDED_MAX);
        history.activate_new(retained("one more"), &Retention { named, ..at(NEEDED_MAX as u32) });
        assert_eq!(history.versions().count(), NEEDED_MAX);
        assert!(history.find(&retained("0").sha256).is_some());
        assert_eq!(history.find(&retained("2").sha256), None);
    }
}
