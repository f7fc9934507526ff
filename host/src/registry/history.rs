//! The versions of one adapter that are kept: which is active, and which was
//! before. Pure; `ledger` puts it on disk.

use serde::Deserialize;
use serde::Serialize;

use hoth_core::domain::Digest;
use hoth_core::domain::Timestamp;

/// Versions of one adapter that are kept, the active one included: enough to
/// go back some weeks, and for jobs that wait with the state of an earlier
/// one. Sixteen builds of CPython take 300 MB of disk.
pub(super) const VERSIONS_MAX: usize = 16;

/// One version that can be activated again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RetainedVersion {
    pub sha256: Digest,
    /// As it describes itself. None in what an earlier build wrote.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub name: Option<String>,
    /// As it describes itself.
    pub version: String,
    /// The size of the component in bytes.
    pub size: usize,
    pub imports: Vec<String>,
    /// When it came here last.
    pub arrived_at: Timestamp,
}

/// How the active version came about.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct History {
    /// The active version is the last, and before it stands what to roll back
    /// to.
    trail: Vec<RetainedVersion>,
    /// What was rolled back from, the latest last.
    aside: Vec<RetainedVersion>,
}

impl History {
    pub fn active(&self) -> Option<&RetainedVersion> {
        self.trail.last()
    }

    /// All versions: the active one, then what came before it, then the rest.
    pub fn versions(&self) -> impl Iterator<Item = &RetainedVersion> {
        self.trail.iter().rev().chain(self.aside.iter().rev())
    }

    pub fn find(&self, digest: &Digest) -> Option<&RetainedVersion> {
        self.versions().find(|kept| kept.sha256 == *digest)
    }

    /// What a rollback goes to that names no version.
    pub fn previous(&self) -> Option<&RetainedVersion> {
        self.trail.iter().nth_back(1)
    }

    /// Makes what arrives active, and forgets the oldest that are too many:
    /// first what was rolled back from.
    pub fn activate_new(&mut self, kept: RetainedVersion) {
        self.trail.retain(|other| other.sha256 != kept.sha256);
        self.aside.retain(|other| other.sha256 != kept.sha256);
        self.trail.push(kept);
        let surplus = (self.trail.len() + self.aside.len()).saturating_sub(VERSIONS_MAX);
        let from_aside = surplus.min(self.aside.len());
        self.aside.drain(..from_aside);
        self.trail.drain(..surplus - from_aside);
    }

    /// Makes a kept version active again; false where there is none such. What
    /// came after it on the trail is set aside.
    pub fn roll_back_to(&mut self, digest: &Digest) -> bool {
        if let Some(at) = self.trail.iter().position(|kept| kept.sha256 == *digest) {
            self.aside.extend(self.trail.drain(at + 1..).rev());
            return true;
        }
        let Some(at) = self.aside.iter().position(|kept| kept.sha256 == *digest) else {
            return false;
        };
        let kept = self.aside.remove(at);
        self.trail.push(kept);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(version: &str) -> RetainedVersion {
        RetainedVersion {
            sha256: Digest::of(version.as_bytes()),
            name: None,
            version: version.to_owned(),
            size: 1,
            imports: Vec::new(),
            arrived_at: Timestamp::from_millis(0),
        }
    }

    /// Plays acts, `2` for an arrival and `<2` for going back, and gives the
    /// versions, the active one first.
    fn after(acts: &str) -> String {
        let mut history = History::default();
        for act in acts.split_whitespace() {
            match act.strip_prefix('<') {
                Some(to) => assert!(history.roll_back_to(&kept(to).sha256), "{acts}: {act}"),
                None => history.activate_new(kept(act)),
            }
        }
        let words: Vec<_> = history.versions().map(|kept| kept.version.clone()).collect();
        let before = history.previous().map_or("-", |kept| &kept.version);
        format!("{}, before: {before}", words.join(" "))
    }

    #[test]
    fn going_back_leads_along_the_trail_and_to_anything_kept() {
        for (acts, expected) in [
            ("1", "1, before: -"),
            ("1 2 3", "3 2 1, before: 2"),
            ("1 2 3 <2", "2 1 3, before: 1"),
            // What was rolled back from is not what the next one goes back to.
            ("1 2 3 <2 4", "4 2 1 3, before: 2"),
            ("1 2 3 <1", "1 2 3, before: -"),
            // Forth again, which is going back, too.
            ("1 2 3 <1 <3", "3 1 2, before: 1"),
            // What was there before is active again, and nowhere twice.
            ("1 2 1", "1 2, before: 2"),
            ("1 2 3 <2 3", "3 2 1, before: 2"),
        ] {
            assert_eq!(after(acts), expected, "{acts}");
        }
        assert!(!History::default().roll_back_to(&kept("1").sha256));
    }

    #[test]
    fn a_bounded_number_is_kept_and_never_without_the_active_one() {
        let mut history = History::default();
        history.activate_new(kept("first"));
        history.activate_new(kept("bad"));
        history.roll_back_to(&kept("first").sha256);
        for version in 0..VERSIONS_MAX - 2 {
            history.activate_new(kept(&version.to_string()));
        }
        assert_eq!(history.versions().count(), VERSIONS_MAX);
        history.activate_new(kept("one more"));
        assert_eq!(history.versions().count(), VERSIONS_MAX);
        assert_eq!(history.find(&kept("bad").sha256), None, "what was rolled back from goes first");
        assert!(history.find(&kept("first").sha256).is_some());
        history.activate_new(kept("and one"));
        assert_eq!(history.find(&kept("first").sha256), None);
        assert_eq!(history.active(), Some(&kept("and one")));
    }
}
