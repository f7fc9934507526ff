//! Ledgers: a file per adapter in `.store` that names the active version and the
//! targets of a rollback.
//!
//! Hosts may share the directory. A host that changes a ledger holds the lock
//! and reads the ledger again first; a host that only follows needs neither.

use std::fs;
use std::io;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;
use std::time::Instant;

use serde::Deserialize;
use serde::Serialize;

use super::AdapterName;
use super::files;
use super::files::FileStamp;
use super::history::History;
use hoth_core::domain::Digest;

/// Longest wait for the lock. Another host holds it while it writes two small
/// files and a component.
const LOCK_TIMEOUT: Duration = Duration::from_secs(20);

/// Time between two attempts to get the lock.
const LOCK_RETRY_EVERY: Duration = Duration::from_millis(5);

/// Size of a ledger: [`super::history::NEEDED_MAX`] versions with their imports,
/// of which WASI has dozens.
const LEDGER_BYTES_MAX: usize = 4 << 20;

/// The format of the ledgers that this host writes.
const FORM: u32 = 1;

/// The ledgers of all adapters.
#[derive(Debug, Clone)]
pub(super) struct LedgerStore {
    folder: PathBuf,
}

/// The lock over all ledgers. It is released when it is dropped, and by the
/// system when the process ends.
#[derive(Debug)]
pub(super) struct LedgerLock(
    #[expect(dead_code, reason = "the open file holds the lock")] fs::File,
);

/// The ledger of one adapter, as it is stored.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Ledger {
    form: u32,
    /// `<name>.wasm` at the last change. A different file is a newer change.
    #[serde(rename = "door")]
    pub drop_file: Option<SeenFile>,
    pub history: History,
}

/// A file in the drop directory, as it was when it was read or written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SeenFile {
    pub stamp: FileStamp,
    pub sha256: Digest,
}

impl SeenFile {
    /// Returns `true` if this is the same file, even under another inode.
    pub fn is_same(&self, other: &Self) -> bool {
        self.stamp.same_time(&other.stamp) && self.sha256 == other.sha256
    }
}

impl Ledger {
    /// Creates a ledger of the present format.
    pub fn new(drop_file: Option<SeenFile>, history: History) -> Self {
        Self { form: FORM, drop_file, history }
    }

    fn decode(text: &[u8]) -> io::Result<Self> {
        let damaged = |problem: String| io::Error::new(io::ErrorKind::InvalidData, problem);
        let ledger: Self =
            serde_json::from_slice(text).map_err(|error| damaged(error.to_string()))?;
        // Never guessed: hosts of different releases may share the directory, and
        // a ledger that is misread would be written back with losses.
        if ledger.form != FORM {
            return Err(damaged(format!("unknown form {}, expected {FORM}", ledger.form)));
        }
        Ok(ledger)
    }
}

impl LedgerStore {
    /// Creates a handle to the ledgers of a drop directory; touches no file.
    pub fn new(directory: &Path) -> Self {
        Self { folder: directory.join(".store") }
    }

    /// Returns the folder, for the watcher and for the object store.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Creates the folder if it does not exist.
    pub fn create(&self) -> io::Result<()> {
        fs::create_dir_all(&self.folder)
    }

    /// Waits for the lock over all ledgers.
    pub async fn lock(&self) -> io::Result<LedgerLock> {
        let store = self.clone();
        let open = move || {
            store.create()?;
            fs::OpenOptions::new().create(true).append(true).open(store.folder.join("lock"))
        };
        let file = files::blocking(open).await?;
        let started_at = Instant::now();
        // Polled, because a blocking lock would occupy a thread for as long as
        // another host holds it. The system releases the lock of a dead process.
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(LedgerLock(file)),
                Err(fs::TryLockError::Error(error)) => return Err(error),
                Err(fs::TryLockError::WouldBlock) if started_at.elapsed() > LOCK_TIMEOUT => {
                    return Err(io::Error::new(
                        io::ErrorKind::TimedOut,
                        "another host holds the lock of `.store`",
                    ));
                }
                Err(fs::TryLockError::WouldBlock) => tokio::time::sleep(LOCK_RETRY_EVERY).await,
            }
        }
    }

    /// Returns the adapters that have a ledger.
    pub async fn names(&self) -> io::Result<Vec<AdapterName>> {
        let folder = self.folder.clone();
        files::blocking(move || {
            let entries = match fs::read_dir(folder) {
                Ok(entries) => entries,
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
                Err(error) => return Err(error),
            };
            let mut found = Vec::new();
            for entry in entries {
                let name = entry?.file_name();
                // The folder also has the lock, temporary files and objects.
                let name = name.to_str().and_then(|name| name.strip_suffix(".json"));
                found.extend(name.and_then(|name| name.parse().ok()));
            }
            Ok(found)
        })
        .await
    }

    /// Returns the stamp of a ledger's file, or `None` if there is none.
    pub async fn stamp(&self, name: &AdapterName) -> io::Result<Option<FileStamp>> {
        let path = self.ledger_path(name);
        files::blocking(move || files::stamp(&path)).await
    }

    /// Reads a ledger. Returns `None` if there is none.
    pub async fn read(&self, name: &AdapterName) -> io::Result<Option<Ledger>> {
        let path = self.ledger_path(name);
        let text = files::blocking(move || files::read(&path, LEDGER_BYTES_MAX)).await;
        match text {
            Ok(text) => Ledger::decode(&text).map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Writes a ledger, and returns the stamp of its file.
    pub async fn write(
        &self,
        _lock: &LedgerLock,
        name: &AdapterName,
        ledger: &Ledger,
    ) -> io::Result<FileStamp> {
        let text = serde_json::to_vec_pretty(ledger).map_err(io::Error::other)?;
        let path = self.ledger_path(name);
        files::blocking(move || files::write(&path, &text)).await
    }

    fn ledger_path(&self, name: &AdapterName) -> PathBuf {
        self.folder.join(format!("{name}.json"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIXTURE: &str = include_str!("fixtures/ledger-v1.json");

    #[test]
    fn the_stored_form_of_a_ledger_stays_readable() {
        let ledger = Ledger::decode(FIXTURE.as_bytes()).unwrap();
        let versions: Vec<_> = ledger.history.versions().map(|each| &each.version[..]).collect();
        assert_eq!(versions, ["2", "1", "3"]);
        assert!(ledger.drop_file.is_some());
        assert_eq!(serde_json::to_string_pretty(&ledger).unwrap(), FIXTURE.trim_end());
    }

    #[test]
    fn a_ledger_of_another_form_is_refused() {
        let later = FIXTURE.replacen("\"form\": 1", "\"form\": 2", 1);
        let error = Ledger::decode(later.as_bytes()).unwrap_err();
        assert_eq!(error.to_string(), "unknown form 2, expected 1");
    }
}
