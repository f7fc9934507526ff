//! The files of journals, one for each job, in a folder for each adapter. Their
//! [names](JournalName) say what is in them.
//!
//! With a file for each job, an operator can inspect one job and delete it.
//! Files are not synced: losing a journal in a power cut does no harm. Several
//! hosts may share a directory.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::io::Read as _;
use std::io::Write as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

use tracing::warn;

use super::Journal;
use super::JournalName;
use super::journal_name::ENDING;
use super::journal_name::journal_key;
use hoth_core::domain::JobKind;
use hoth_core::domain::Timestamp;

/// The names of one folder that are looked at to find one journal. Hosts that
/// share a directory may have more of them than one permits.
const NAMES_MAX: usize = 20_000;

/// The largest journal that is read for a person, in bytes. A recording has at
/// most one megabyte, and JSON may escape its text.
const BYTES_MAX: u64 = 8 << 20;

/// The limits of the journals of one adapter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JournalLimits {
    pub jobs: usize,
    pub bytes: u64,
    pub age: Duration,
}

/// The journals on disk.
#[derive(Debug)]
pub struct JournalStore {
    directory: PathBuf,
    limits: JournalLimits,
}

/// A journal's file, as its name describes it.
#[derive(Debug, Clone)]
struct JournalFile {
    path: PathBuf,
    finished_at: Timestamp,
    /// Operation and ending.
    kind: String,
    bytes: u64,
}

impl JournalStore {
    /// Creates a store of the journals in `directory`, which need not exist yet.
    pub fn new(directory: PathBuf, limits: JournalLimits) -> Self {
        Self { directory, limits }
    }

    /// Returns the directory.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Writes a journal of the job with this id, and deletes journals beyond the
    /// limits: the oldest of the most frequent kind of job, so that rare kinds
    /// are kept longer than common ones.
    ///
    /// # Errors
    ///
    /// Returns the system's error if the file cannot be written, or if a journal
    /// beyond the limits cannot be deleted.
    pub fn write(&self, job: &str, journal: &Journal) -> io::Result<()> {
        let folder = self.directory.join(&journal.adapter);
        // Readable by the host's user only, although journals are redacted.
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        let name = JournalName::of(journal, &journal_key(job)).to_string();
        // Renamed when it is complete, so that a replay never reads half a
        // journal.
        let temporary = folder.join(format!(".{name}.tmp"));
        // One that a crash has left is written anew.
        let mut options = fs::OpenOptions::new();
        let mut file =
            options.write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
        let written = file.write_all(journal.encode().as_bytes());
        let written = written.and_then(|()| fs::rename(&temporary, folder.join(name + ENDING)));
        if written.is_err() {
            // If this fails, too, `prune` deletes the file when it is too old.
            let _ = fs::remove_file(&temporary);
        }
        written?;
        self.prune(&folder, journal.finished_at)
    }

    /// Reads the journals of an adapter that are not too old at `now`, the
    /// newest first. Files that are not journals are skipped with a warning.
    pub fn load(&self, adapter: &str, now: Timestamp) -> Vec<Journal> {
        let folder = self.directory.join(adapter);
        let mut entries = journal_files(&folder).unwrap_or_else(|error| {
            warn!(adapter, "Cannot read the journals in {}: {error}", folder.display());
            Vec::new()
        });
        entries.retain(|entry| now.since(entry.finished_at) <= self.limits.age);
        // The oldest are left out: other hosts may write here, beyond the limit
        // of this host.
        entries.drain(..entries.len().saturating_sub(self.limits.jobs));
        entries.iter().rev().filter_map(|entry| read(&entry.path)).collect()
    }

    /// Finds the last journal of a job by its name, among the first
    /// [`NAMES_MAX`] of the folder. Returns `None` if there is none.
    ///
    /// # Errors
    ///
    /// Returns the system's error if the folder cannot be read.
    pub fn find(&self, adapter: &str, kind: JobKind, job: &str) -> io::Result<Option<JournalName>> {
        let key = journal_key(job);
        let names = names(&self.directory.join(adapter))?.into_iter();
        let found = names.filter(|name| name.job == key && name.kind() == Some(kind));
        Ok(found.max_by_key(|name| name.finished_at))
    }

    /// Lists up to `max` journals of an adapter by their names, the newest
    /// first, and returns their number.
    ///
    /// # Errors
    ///
    /// Returns the system's error if the folder cannot be read.
    pub fn list(&self, adapter: &str, max: usize) -> io::Result<(Vec<JournalName>, usize)> {
        let mut names = names(&self.directory.join(adapter))?;
        let count = names.len();
        names.sort_by_key(|name| std::cmp::Reverse(name.finished_at));
        names.truncate(max);
        Ok((names, count))
    }

    /// Reads the text of a journal. Returns `None` if there is none of this name.
    ///
    /// # Errors
    ///
    /// Returns the system's error if the file cannot be read, or is larger than
    /// any journal.
    pub fn read(&self, adapter: &str, name: &JournalName) -> io::Result<Option<String>> {
        let path = self.directory.join(adapter).join(format!("{name}{ENDING}"));
        let file = match fs::File::open(path) {
            Ok(file) => file,
            // It may have been deleted since it was listed.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut text = String::new();
        if file.take(BYTES_MAX + 1).read_to_string(&mut text)? as u64 > BYTES_MAX {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "the file is no journal"));
        }
        Ok(Some(text))
    }

    /// Deletes all journals beyond the limits.
    pub fn prune_all(&self, now: Timestamp) {
        // Without a directory there are no journals.
        let Ok(folders) = fs::read_dir(&self.directory) else { return };
        for folder in folders.flatten().map(|folder| folder.path()).filter(|path| path.is_dir()) {
            if let Err(error) = self.prune(&folder, now) {
                warn!("Cannot delete old journals in {}: {error}", folder.display());
            }
        }
    }

    fn prune(&self, folder: &Path, now: Timestamp) -> io::Result<()> {
        let mut entries = journal_files(folder)?;
        // Age first: files that are too old anyway must not displace others.
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

/// Returns the index of the oldest file of the most frequent kind. `entries` is
/// not empty and starts with the oldest file.
fn eviction_candidate(entries: &[JournalFile]) -> usize {
    let mut counts: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for (at, entry) in entries.iter().enumerate() {
        counts.entry(&entry.kind).or_insert((0, at)).0 += 1;
    }
    // If several kinds are the most frequent, the kind with the oldest file.
    let most = counts.values().max_by_key(|(count, first)| (*count, std::cmp::Reverse(*first)));
    most.map_or(0, |(_, first)| *first)
}

/// Lists a folder. One that does not exist is empty.
fn files(folder: &Path) -> io::Result<impl Iterator<Item = io::Result<fs::DirEntry>>> {
    let listed = match fs::read_dir(folder) {
        Ok(listed) => Some(listed),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    Ok(listed.into_iter().flatten())
}

/// Lists the files of a folder, the oldest first.
fn journal_files(folder: &Path) -> io::Result<Vec<JournalFile>> {
    let mut entries = Vec::new();
    for file in files(folder)? {
        let file = file?;
        let Some((finished_at, kind)) = parse(&file.file_name()) else { continue };
        // The file may have been deleted since it was listed.
        let Ok(metadata) = file.metadata() else { continue };
        entries.push(JournalFile { path: file.path(), finished_at, kind, bytes: metadata.len() });
    }
    entries.sort_by(|a, b| (a.finished_at, &a.path).cmp(&(b.finished_at, &b.path)));
    Ok(entries)
}

/// Parses a file name. Names of incomplete files are parsed, too, so that such
/// files are deleted by age; they are never read as journals.
fn parse(name: &OsStr) -> Option<(Timestamp, String)> {
    let name = name.to_str()?.trim_start_matches('.');
    let (finished, rest) = name.split_once('.')?;
    let mut words = rest.splitn(3, '.');
    let kind = format!("{}.{}", words.next()?, words.next()?);
    words.next()?;
    Some((Timestamp::from_millis(finished.parse().ok()?), kind))
}

/// Returns the names of the journals in a folder, in no order.
fn names(folder: &Path) -> io::Result<Vec<JournalName>> {
    let mut names = Vec::new();
    for file in files(folder)?.take(NAMES_MAX) {
        let file = file?.file_name();
        let complete = file.to_str().filter(|name| name.ends_with(ENDING));
        names.extend(complete.and_then(JournalName::parse));
    }
    Ok(names)
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
    journal.inspect_err(|error| warn!("Skipped {}: {error}", path.display())).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replay::StepKind;

    const FIXTURE: &str = include_str!("fixtures/journal-v1.json");
    const HOUR: Duration = Duration::from_hours(1);
    const LIMITS: JournalLimits = JournalLimits { jobs: 4, bytes: 1 << 20, age: HOUR };

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

    fn write(store: &JournalStore, journal: &Journal) {
        // The journals of several jobs may end in the same millisecond.
        let job = format!("{} {}", journal.finished_at.as_millis(), journal.job.operation);
        store.write(&job, journal).unwrap();
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
    fn rare_kinds_of_jobs_are_kept_longer_than_common_ones() {
        let (store, _directory) = store(LIMITS);
        assert!(kept(&store, 0).is_empty());
        write(&store, &journal("add-portfolio", 200, 1));
        write(&store, &journal("get-portfolio", 404, 2));
        for n in 3..10 {
            write(&store, &journal("get-portfolio", 200, n));
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
    fn journals_have_a_limit_of_bytes() {
        let size = FIXTURE.len() as u64;
        let (store, _directory) = store(JournalLimits { jobs: 100, bytes: 3 * size, ..LIMITS });
        for n in 0..10 {
            write(&store, &journal("add-environment", 200, n));
        }
        let kept = kept(&store, 10);
        assert!((2..=3).contains(&kept.len()), "{kept:?}");
        assert!(kept[0].starts_with("9 "), "the newest are kept: {kept:?}");
    }

    #[test]
    fn journals_have_a_limit_of_age() {
        let (store, directory) = store(LIMITS);
        write(&store, &journal("add-portfolio", 200, 0));
        write(&store, &journal("add-portfolio", 200, 1_000));
        let hour = HOUR.as_millis() as u64;
        assert_eq!(kept(&store, hour + 500), ["1000 add-portfolio done"]);
        store.prune_all(at(hour + 2_000));
        assert_eq!(fs::read_dir(directory.path().join("journals/atat")).unwrap().count(), 0);
    }

    #[test]
    fn a_file_that_is_not_a_journal_is_skipped_and_deleted_by_age() {
        let (store, directory) = store(LIMITS);
        write(&store, &journal("add-portfolio", 200, 5));
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
    fn the_last_journal_of_a_job_is_found_by_its_name() {
        let (store, directory) = store(LIMITS);
        let find = |kind, job| store.find("atat", kind, job).unwrap();
        assert_eq!(find(JobKind::Provisioning, "a b/../c"), None);
        store.write("a b/../c", &journal("add-portfolio", 500, 5)).unwrap();
        store.write("a b/../c", &journal("add-portfolio", 200, 7)).unwrap();
        store.write("other", &journal("cost-by-clin", 200, 9)).unwrap();
        let found = find(JobKind::Provisioning, "a b/../c").unwrap();
        assert_eq!((found.finished_at, found.ending.as_str()), (at(7), "done"));
        assert_eq!(find(JobKind::Cost, "a b/../c"), None);
        assert_eq!(find(JobKind::Provisioning, "other"), None);
        let text = store.read("atat", &found).unwrap().unwrap();
        assert_eq!(Journal::decode(&text).unwrap().finished_at, at(7));
        fs::remove_dir_all(directory.path()).unwrap();
        assert_eq!(store.read("atat", &found).unwrap(), None);
    }

    #[test]
    fn a_list_has_the_newest_journals_and_their_number() {
        let (store, _directory) = store(LIMITS);
        assert_eq!(store.list("atat", 2).unwrap(), (Vec::new(), 0));
        for n in 1..4 {
            write(&store, &journal("add-portfolio", 200, n));
        }
        let (names, count) = store.list("atat", 2).unwrap();
        let finished: Vec<_> = names.iter().map(|name| name.finished_at).collect();
        assert_eq!((finished, count), (vec![at(3), at(2)], 3));
    }

    #[test]
    fn journals_are_readable_by_their_owner_only() {
        use std::os::unix::fs::PermissionsExt as _;
        let (store, directory) = store(LIMITS);
        write(&store, &journal("add-portfolio", 200, 5));
        let folder = directory.path().join("journals/atat");
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&folder), 0o700);
        for file in fs::read_dir(&folder).unwrap() {
            assert_eq!(mode(&file.unwrap().path()), 0o600);
        }
    }
}
