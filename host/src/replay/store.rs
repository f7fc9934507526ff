//! The files of journals: `<adapter>/<finished ms>.<operation>.<ending>.<random>.json`.
//!
//! One file per job, so that an operator can look at one and delete one.
//! Nothing is synced: a journal that a power cut takes away is no loss. Several
//! hosts may share a directory.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::io::Write as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

use tracing::warn;
use uuid::Uuid;

use super::Journal;
use hoth_core::domain::Timestamp;

/// How much is kept of each adapter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JournalLimits {
    pub jobs: usize,
    pub bytes: u64,
    pub age: Duration,
}

/// Journals on disk.
#[derive(Debug)]
pub struct JournalStore {
    directory: PathBuf,
    limits: JournalLimits,
}

/// One journal, as its file's name tells.
#[derive(Debug, Clone)]
struct Entry {
    path: PathBuf,
    finished_at: Timestamp,
    /// Operation and ending.
    kind: String,
    bytes: u64,
}

impl JournalStore {
    /// Journals in `directory`, which need not exist yet.
    pub fn new(directory: PathBuf, limits: JournalLimits) -> Self {
        Self { directory, limits }
    }

    /// Where they are.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Keeps a journal, and lets go of what is then too much: of the kind of
    /// job that there are most of, the oldest. So what is rare outlives what
    /// is common.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub fn keep(&self, journal: &Journal) -> io::Result<()> {
        let folder = self.directory.join(&journal.adapter);
        // Redacted or not, it is nobody else's business.
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        let finished = journal.finished_at.as_millis();
        let random = Uuid::new_v4().simple().to_string();
        let name = format!(
            "{finished}.{}.{}.{}",
            word(&journal.job.operation),
            word(journal.ending()),
            &random[..16]
        );
        let aside = folder.join(format!(".{name}.tmp"));
        let mut file =
            fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&aside)?;
        let written = file.write_all(journal.encode().as_bytes());
        let written = written.and_then(|()| fs::rename(&aside, folder.join(name + ".json")));
        if written.is_err() {
            // What cannot be deleted either is found when it is too old.
            let _ = fs::remove_file(&aside);
        }
        written?;
        self.prune(&folder, journal.finished_at)
    }

    /// The journals of an adapter that are not too old at `now`, the newest
    /// first. Files that are no journals are passed over, with a warning.
    pub fn load(&self, adapter: &str, now: Timestamp) -> Vec<Journal> {
        let folder = self.directory.join(adapter);
        let mut entries = entries(&folder).unwrap_or_else(|error| {
            warn!(adapter, "The journals in {} cannot be read: {error}", folder.display());
            Vec::new()
        });
        entries.retain(|entry| now.since(entry.finished_at) <= self.limits.age);
        // Files of other hosts may be here, beyond this one's bound.
        entries.drain(..entries.len().saturating_sub(self.limits.jobs));
        entries.iter().rev().filter_map(|entry| read(&entry.path)).collect()
    }

    /// Lets go of everything that is too old or too much.
    pub fn prune_all(&self, now: Timestamp) {
        // No folder, no journals.
        let Ok(folders) = fs::read_dir(&self.directory) else { return };
        for folder in folders.flatten().map(|folder| folder.path()).filter(|path| path.is_dir()) {
            if let Err(error) = self.prune(&folder, now) {
                warn!("Old journals in {} stay there: {error}", folder.display());
            }
        }
    }

    fn prune(&self, folder: &Path, now: Timestamp) -> io::Result<()> {
        let mut entries = entries(folder)?;
        let mut surplus = Vec::new();
        entries.retain(|entry| {
            let stays = now.since(entry.finished_at) <= self.limits.age;
            if !stays {
                surplus.push(entry.path.clone());
            }
            stays
        });
        let mut bytes: u64 = entries.iter().map(|entry| entry.bytes).sum();
        while entries.len() > self.limits.jobs || bytes > self.limits.bytes {
            let entry = entries.remove(eviction_candidate(&entries));
            bytes -= entry.bytes;
            surplus.push(entry.path);
        }
        for path in surplus {
            match fs::remove_file(path) {
                Ok(()) => {}
                // Another host was faster.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// The oldest of the most frequent kind; `entries` has one at least, the
/// oldest first.
fn eviction_candidate(entries: &[Entry]) -> usize {
    let mut counts: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for (at, entry) in entries.iter().enumerate() {
        counts.entry(&entry.kind).or_insert((0, at)).0 += 1;
    }
    // Of kinds that are equally frequent, that of the oldest.
    let most = counts.values().max_by_key(|(count, first)| (*count, std::cmp::Reverse(*first)));
    most.map_or(0, |(_, first)| *first)
}

/// What lies in a folder, the oldest first. A folder that is not there is
/// empty.
fn entries(folder: &Path) -> io::Result<Vec<Entry>> {
    let listed = match fs::read_dir(folder) {
        Ok(listed) => listed,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut entries = Vec::new();
    for file in listed {
        let file = file?;
        let Some((finished_at, kind)) = parse(&file.file_name()) else { continue };
        // It may have gone since it was listed.
        let Ok(metadata) = file.metadata() else { continue };
        entries.push(Entry { path: file.path(), finished_at, kind, bytes: metadata.len() });
    }
    entries.sort_by(|a, b| (a.finished_at, &a.path).cmp(&(b.finished_at, &b.path)));
    Ok(entries)
}

/// Also reads the names of files that were never finished, so that they go
/// with time; as journals they are nothing, and are passed over.
fn parse(name: &OsStr) -> Option<(Timestamp, String)> {
    let name = name.to_str()?.trim_start_matches('.');
    let (finished, rest) = name.split_once('.')?;
    let mut words = rest.splitn(3, '.');
    let kind = format!("{}.{}", words.next()?, words.next()?);
    words.next()?;
    Some((Timestamp::from_millis(finished.parse().ok()?), kind))
}

fn read(path: &Path) -> Option<Journal> {
    if path.extension() != Some(OsStr::new("json")) {
        return None;
    }
    let journal = match fs::read_to_string(path) {
        Ok(text) => Journal::decode(&text).map_err(|error| error.to_string()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        Err(error) => Err(error.to_string()),
    };
    journal.inspect_err(|error| warn!("{} is passed over: {error}", path.display())).ok()
}

/// A word that can be part of a file's name; those of the contract are.
fn word(text: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
    text.chars().take(64).map(plain).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replay::StepKind;

    const FIXTURE: &str = include_str!("fixtures/journal-v1.json");
    const HOUR: Duration = Duration::from_hours(1);
    const BOUNDS: JournalLimits = JournalLimits { jobs: 4, bytes: 1 << 20, age: HOUR };

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(1_000_000_000 + millis)
    }

    fn journal(operation: &str, code: u16, finished: u64) -> Journal {
        let mut journal = Journal::decode(FIXTURE).unwrap();
        journal.job.operation = operation.to_owned();
        journal.calls.last_mut().unwrap().step = match code {
            200 => StepKind::Done { code },
            _ => StepKind::Fail { class: "refused".to_owned(), code },
        };
        journal.finished_at = at(finished);
        journal
    }

    fn kept(store: &JournalStore, now: u64) -> Vec<String> {
        let line = |j: Journal| {
            let finished = j.finished_at.as_millis() - 1_000_000_000;
            format!("{finished} {} {}", j.job.operation, j.ending())
        };
        store.load("atat", at(now)).into_iter().map(line).collect()
    }

    fn store(limits: JournalLimits) -> (JournalStore, tempfile::TempDir) {
        let directory = tempfile::tempdir().unwrap();
        (JournalStore::new(directory.path().join("journals"), limits), directory)
    }

    #[test]
    fn what_is_rare_outlives_what_is_common() {
        let (store, _directory) = store(BOUNDS);
        assert!(kept(&store, 0).is_empty());
        store.keep(&journal("add-portfolio", 200, 1)).unwrap();
        store.keep(&journal("get-portfolio", 404, 2)).unwrap();
        for n in 3..10 {
            store.keep(&journal("get-portfolio", 200, n)).unwrap();
        }
        assert_eq!(
            kept(&store, 10),
            [
                "9 get-portfolio done",
                "8 get-portfolio done",
                "2 get-portfolio refused",
                "1 add-portfolio done"
            ]
        );
    }

    #[test]
    fn journals_have_a_bound_in_bytes() {
        let size = FIXTURE.len() as u64;
        let (store, _directory) = store(JournalLimits { jobs: 100, bytes: 3 * size, ..BOUNDS });
        for n in 0..10 {
            store.keep(&journal("add-environment", 200, n)).unwrap();
        }
        let kept = kept(&store, 10);
        assert!((2..=3).contains(&kept.len()), "{kept:?}");
        assert!(kept[0].starts_with("9 "), "the newest stay: {kept:?}");
    }

    #[test]
    fn journals_have_a_bound_in_age() {
        let (store, directory) = store(BOUNDS);
        store.keep(&journal("add-portfolio", 200, 0)).unwrap();
        store.keep(&journal("add-portfolio", 200, 1_000)).unwrap();
        let hour = HOUR.as_millis() as u64;
        assert_eq!(kept(&store, hour + 500), ["1000 add-portfolio done"]);
        store.prune_all(at(hour + 2_000));
        assert_eq!(fs::read_dir(directory.path().join("journals/atat")).unwrap().count(), 0);
    }

    #[test]
    fn a_file_that_is_no_journal_is_passed_over_and_goes_with_time() {
        let (store, directory) = store(BOUNDS);
        store.keep(&journal("add-portfolio", 200, 5)).unwrap();
        let folder = directory.path().join("journals/atat");
        fs::write(folder.join("1000000006.add-portfolio.done.torn.json"), "{\"v\":").unwrap();
        fs::write(folder.join(".1000000007.add-portfolio.done.x.tmp"), FIXTURE).unwrap();
        fs::write(folder.join("notes.txt"), "an operator's").unwrap();
        assert_eq!(kept(&store, 10), ["5 add-portfolio done"]);
        store.prune_all(at(HOUR.as_millis() as u64 + 10));
        let left: Vec<_> = fs::read_dir(&folder).unwrap().map(|f| f.unwrap().file_name()).collect();
        assert_eq!(left, ["notes.txt"]);
    }

    #[test]
    fn nobody_else_can_read_them() {
        use std::os::unix::fs::PermissionsExt as _;
        let (store, directory) = store(BOUNDS);
        store.keep(&journal("add-portfolio", 200, 5)).unwrap();
        let folder = directory.path().join("journals/atat");
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&folder), 0o700);
        for file in fs::read_dir(&folder).unwrap() {
            assert_eq!(mode(&file.unwrap().path()), 0o600);
        }
    }
}
