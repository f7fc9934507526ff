//! What is kept beside the door, in `.store`: every version by its digest, and
//! for each adapter a ledger that says which of them is active.
//!
//! Hosts may share the directory. Whoever changes a ledger holds the lock and
//! reads it again first; who only follows needs neither.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;
use std::time::Instant;

use serde::Deserialize;
use serde::Serialize;

use super::AdapterName;
use super::Package;
use super::files;
use super::files::FileStamp;
use super::history::History;
use hoth_core::domain::Digest;

/// How long another host may hold the lock: it writes two small files and a
/// component, and loads a component at most.
const LOCK_TIMEOUT: Duration = Duration::from_secs(20);

/// How often the lock is tried meanwhile.
const LOCK_RETRY_EVERY: Duration = Duration::from_millis(5);

/// A ledger: [`super::history::VERSIONS_MAX`] versions with their imports, of
/// which WASI has dozens.
const LEDGER_BYTES_MAX: usize = 1 << 20;

/// The form of the ledgers that this host writes.
const FORM: u32 = 1;

/// The choices of operators, and what can be chosen.
#[derive(Debug, Clone)]
pub(super) struct Store {
    folder: PathBuf,
}

/// Held while a ledger is changed; let go when it is dropped.
#[derive(Debug)]
pub(super) struct LedgerLock(#[expect(dead_code, reason = "what locks is the open file")] fs::File);

/// What is known of one adapter.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Ledger {
    form: u32,
    /// What `<name>.wasm` was at the last act. Another one is a newer act.
    pub door: Option<SeenFile>,
    pub history: History,
}

/// A file at the door, as it was when it was read or written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SeenFile {
    pub stamp: FileStamp,
    pub sha256: Digest,
}

impl SeenFile {
    /// Whether it is the same file, also where the inode says otherwise.
    pub fn is(&self, other: &Self) -> bool {
        self.stamp.same_time(&other.stamp) && self.sha256 == other.sha256
    }
}

impl Ledger {
    pub fn new(door: Option<SeenFile>, history: History) -> Self {
        Self { form: FORM, door, history }
    }
}

impl Store {
    /// The store of a directory; nothing is created before it is needed.
    pub fn of(directory: &Path) -> Self {
        Self { folder: directory.join(".store") }
    }

    /// Where ledgers are, for those who watch.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Creates the folder where it does not exist.
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
        let begun = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(LedgerLock(file)),
                Err(fs::TryLockError::Error(error)) => return Err(error),
                Err(fs::TryLockError::WouldBlock) if begun.elapsed() > LOCK_TIMEOUT => {
                    return Err(io::Error::new(
                        io::ErrorKind::TimedOut,
                        "another host holds the lock of the adapters' store",
                    ));
                }
                Err(fs::TryLockError::WouldBlock) => tokio::time::sleep(LOCK_RETRY_EVERY).await,
            }
        }
    }

    /// The adapters that have a ledger.
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
                let name = name.to_str().and_then(|name| name.strip_suffix(".json"));
                found.extend(name.and_then(|name| name.parse().ok()));
            }
            Ok(found)
        })
        .await
    }

    /// The state of a ledger's file; `None` where there is none.
    pub async fn stamp(&self, name: &AdapterName) -> io::Result<Option<FileStamp>> {
        let path = self.ledger_path(name);
        files::blocking(move || files::stamp(&path)).await
    }

    /// Reads a ledger; `None` where there is none.
    pub async fn ledger(&self, name: &AdapterName) -> io::Result<Option<Ledger>> {
        let path = self.ledger_path(name);
        let text = files::blocking(move || files::read(&path, LEDGER_BYTES_MAX)).await;
        let text = match text {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let damaged = |what: String| io::Error::new(io::ErrorKind::InvalidData, what);
        let ledger: Ledger =
            serde_json::from_slice(&text).map_err(|error| damaged(error.to_string()))?;
        if ledger.form != FORM {
            return Err(damaged(format!(
                "its form is {}, and this host reads {FORM}",
                ledger.form
            )));
        }
        Ok(Some(ledger))
    }

    /// Writes a ledger, and gives the state of its file.
    pub async fn record(
        &self,
        _lock: &LedgerLock,
        name: &AdapterName,
        ledger: &Ledger,
    ) -> io::Result<FileStamp> {
        let text = serde_json::to_vec_pretty(ledger).map_err(io::Error::other)?;
        let path = self.ledger_path(name);
        files::blocking(move || files::write(&path, &text)).await
    }

    /// Keeps a component and its signature under the component's digest. One
    /// that is there is not written again, unless it is damaged or signed anew.
    pub async fn keep(
        &self,
        _lock: &LedgerLock,
        name: &AdapterName,
        digest: &Digest,
        package: Package,
    ) -> io::Result<()> {
        let (path, digest) = (self.version_path(name, digest), *digest);
        files::blocking(move || {
            if let Some(folder) = path.parent() {
                fs::create_dir_all(folder)?;
            }
            let kept = read_version(&path, &digest);
            if kept.is_ok_and(|kept| kept.signature == package.signature) {
                return Ok(());
            }
            files::write_package(&path, &package).map(drop)
        })
        .await
    }

    /// The component with a digest. It is what was kept, or an error.
    pub async fn read(&self, name: &AdapterName, digest: &Digest) -> io::Result<Package> {
        let (path, digest) = (self.version_path(name, digest), *digest);
        files::blocking(move || read_version(&path, &digest)).await
    }

    /// Removes the components that no history names any more, and what a crash
    /// left background.
    pub async fn prune(
        &self,
        _lock: &LedgerLock,
        name: &AdapterName,
        history: &History,
    ) -> io::Result<()> {
        let folder = self.folder.join(name.as_str());
        let keep: BTreeSet<String> =
            history.versions().map(|kept| file_name(&kept.sha256)).collect();
        let keeps = move |name: &str| keep.contains(name.trim_end_matches(".minisig"));
        files::blocking(move || {
            for entry in fs::read_dir(folder)? {
                let entry = entry?;
                if !entry.file_name().to_str().is_some_and(&keeps) {
                    fs::remove_file(entry.path())?;
                }
            }
            Ok(())
        })
        .await
    }

    fn ledger_path(&self, name: &AdapterName) -> PathBuf {
        self.folder.join(format!("{name}.json"))
    }

    fn version_path(&self, name: &AdapterName, digest: &Digest) -> PathBuf {
        self.folder.join(name.as_str()).join(file_name(digest))
    }
}

fn file_name(digest: &Digest) -> String {
    format!("{digest}.wasm")
}

fn read_version(path: &Path, digest: &Digest) -> io::Result<Package> {
    let package = files::read_package(path)?;
    if Digest::of(&package.wasm) != *digest {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "it is damaged"));
    }
    Ok(package)
}
