//! The object store: the components of retained versions, by digest, in a
//! folder of `.store` for each adapter.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::Path;
use std::path::PathBuf;

use super::AdapterName;
use super::Package;
use super::files;
use super::history::History;
use super::ledger::LedgerLock;
use hoth_core::domain::Digest;

/// Components by digest.
#[derive(Debug, Clone)]
pub(super) struct ObjectStore {
    folder: PathBuf,
}

impl ObjectStore {
    /// Creates a handle to the objects in a folder; touches no file.
    pub fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    /// Writes a component and its signature. A component that is already there
    /// is written again only if it is damaged or has another signature.
    pub async fn write(
        &self,
        _lock: &LedgerLock,
        name: &AdapterName,
        digest: &Digest,
        package: Package,
    ) -> io::Result<()> {
        let (path, digest) = (self.object_path(name, digest), *digest);
        files::blocking(move || {
            if let Some(folder) = path.parent() {
                fs::create_dir_all(folder)?;
            }
            // Read and not only looked up: a component that was damaged on disk is
            // repaired by its next installation.
            let stored = read_object(&path, &digest);
            if stored.is_ok_and(|stored| stored.signature == package.signature) {
                return Ok(());
            }
            files::write_package(&path, &package).map(drop)
        })
        .await
    }

    /// Reads the component with a digest, and verifies the digest.
    pub async fn read(&self, name: &AdapterName, digest: &Digest) -> io::Result<Package> {
        let (path, digest) = (self.object_path(name, digest), *digest);
        files::blocking(move || read_object(&path, &digest)).await
    }

    /// Removes the components that a history no longer names, and the leftovers
    /// of a crash.
    pub async fn prune(
        &self,
        _lock: &LedgerLock,
        name: &AdapterName,
        history: &History,
    ) -> io::Result<()> {
        // Only under the lock: another host may have written a component that no
        // ledger names yet.
        let folder = self.folder.join(name.as_str());
        let retained: BTreeSet<String> =
            history.versions().map(|version| file_name(&version.sha256)).collect();
        let is_retained = move |name: &str| retained.contains(name.trim_end_matches(".minisig"));
        files::blocking(move || {
            let mut removed = Ok(());
            for entry in fs::read_dir(folder)? {
                let entry = entry?;
                if !entry.file_name().to_str().is_some_and(&is_retained) {
                    // Goes on after an error: what cannot be removed, such as a
                    // folder, must not keep every old version.
                    removed = removed.and(fs::remove_file(entry.path()));
                }
            }
            removed
        })
        .await
    }

    fn object_path(&self, name: &AdapterName, digest: &Digest) -> PathBuf {
        self.folder.join(name.as_str()).join(file_name(digest))
    }
}

fn file_name(digest: &Digest) -> String {
    format!("{digest}.wasm")
}

fn read_object(path: &Path, digest: &Digest) -> io::Result<Package> {
    let package = files::read_package(path)?;
    if Digest::of(&package.wasm) != *digest {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "damaged component"));
    }
    Ok(package)
}
