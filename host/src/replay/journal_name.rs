//! The names of journals' files:
//! `<finished ms>.<operation>.<ending>.<key of the job>.json`.
//!
//! The name has what a list shows, and the key finds the journal of a job
//! without reading any. The key is a digest, because an id may have characters
//! that a file name cannot, and may itself be redacted in the journal.

use serde::Serialize;

use super::Journal;
use hoth_core::domain::Digest;
use hoth_core::domain::JobKind;
use hoth_core::domain::Operation;
use hoth_core::domain::Timestamp;
use hoth_core::domain::rfc3339;

/// The ending of complete files.
pub(super) const ENDING: &str = ".json";

/// The digits of a job's key: few enough for a name, and enough that two of ten
/// thousand jobs never share one.
const KEY_DIGITS: usize = 16;

/// The longest operation and ending in a name. Those of the contract are
/// shorter.
const PART_CHARS_MAX: usize = 64;

/// A journal, as the name of its file describes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct JournalName {
    #[serde(serialize_with = "rfc3339::serialize")]
    pub finished_at: Timestamp,
    pub operation: String,
    /// As [`Journal::ending`] returns it.
    pub ending: String,
    /// The key of the job, or random digits in journals of earlier releases.
    #[serde(skip)]
    pub job: String,
}

impl JournalName {
    /// Returns the name of a journal of the job with this key.
    pub fn of(journal: &Journal, key: &str) -> Self {
        Self {
            finished_at: journal.finished_at,
            operation: part(&journal.job.operation),
            ending: part(journal.ending()),
            job: key.to_owned(),
        }
    }

    /// Parses a name, with or without [`ENDING`]. Returns `None` if the text is
    /// not the name of a journal; a path is none.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.strip_suffix(ENDING).unwrap_or(text).split('.');
        let mut next = || parts.next().filter(|part| !part.is_empty() && is_plain(part));
        let (finished, operation, ending, job) = (next()?, next()?, next()?, next()?);
        if parts.next().is_some() {
            return None;
        }
        Some(Self {
            finished_at: Timestamp::from_millis(finished.parse().ok()?),
            operation: operation.to_owned(),
            ending: ending.to_owned(),
            job: job.to_owned(),
        })
    }

    /// Returns the kind of the job, or `None` if its operation is not known.
    pub fn kind(&self) -> Option<JobKind> {
        let known = Operation::ALL.into_iter().find(|known| known.wit_name() == self.operation);
        known.map(Operation::kind)
    }
}

impl std::fmt::Display for JournalName {
    /// Writes the name without [`ENDING`].
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { finished_at, operation, ending, job } = self;
        write!(f, "{}.{operation}.{ending}.{job}", finished_at.as_millis())
    }
}

/// Returns the key of a job in the names of its journals.
pub fn journal_key(job: &str) -> String {
    let mut key = Digest::of(job.as_bytes()).short();
    key.truncate(KEY_DIGITS);
    key
}

/// Returns a text that is safe as part of a file name. The names of the
/// contract are returned unchanged.
fn part(text: &str) -> String {
    let plain = |c: char| if is_plain_char(c) { c } else { '_' };
    text.chars().take(PART_CHARS_MAX).map(plain).collect()
}

fn is_plain(text: &str) -> bool {
    text.chars().all(is_plain_char)
}

fn is_plain_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_as_it_was_written() {
        let fixture = include_str!("fixtures/journal-v2.json");
        let journal = Journal::decode(fixture).expect("the fixture is a journal");
        let name = JournalName::of(&journal, &journal_key("job-1"));
        let text = name.to_string();
        assert!(text.starts_with("1764243600000.add-environment.done."), "{text}");
        assert_eq!(JournalName::parse(&text), Some(name.clone()));
        assert_eq!(JournalName::parse(&format!("{text}.json")), Some(name.clone()));
        assert_eq!(name.kind(), Some(JobKind::Provisioning));
        assert_ne!(journal_key("job-1"), journal_key("job-2"));
    }

    #[test]
    fn a_path_is_no_name() {
        for text in [
            "",
            "1.a.b",
            "1.a.b.c.d",
            "x.a.b.c",
            "1.a.b.",
            "../1.a.b.c",
            "1./etc/passwd.b.c",
            "1.a.b.c/..",
            ".1.a.b.c",
            "1.a.b.c.tmp",
            "1.a.b.\u{202e}",
        ] {
            assert_eq!(JournalName::parse(text), None, "{text}");
        }
    }
}
