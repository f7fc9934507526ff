//! The drop directory: components as `<name>.wasm`, their signatures beside
//! them as `<name>.wasm.minisig`.
//!
//! A component that is put there is installed. Other files are ignored.

use std::fs;
use std::io;
use std::path::Path;
use std::path::PathBuf;

use tracing::warn;

use super::AdapterName;
use super::Package;
use super::RegistryError;
use super::files;
use super::files::FileStamp;
use super::ledger::SeenFile;
use hoth_core::domain::Digest;

/// The largest number of adapters in one directory: more than there are CSPs in
/// the world. Further adapters, in alphabetical order, are not loaded.
const ADAPTERS_MAX: usize = 256;

/// A directory that operators put components into.
#[derive(Debug, Clone)]
pub(super) struct DropDir {
    directory: PathBuf,
}

impl DropDir {
    /// Creates a handle to the directory at a path; touches no file.
    pub fn new(directory: &Path) -> Self {
        Self { directory: directory.to_owned() }
    }

    /// Returns the path, for the watcher.
    pub fn path(&self) -> &Path {
        &self.directory
    }

    /// Creates the directory if it does not exist.
    pub fn create(&self) -> Result<(), RegistryError> {
        fs::create_dir_all(&self.directory).map_err(|source| self.unreadable(source))
    }

    /// Returns the names of the components in the directory, sorted.
    pub async fn names(&self) -> Result<Vec<AdapterName>, RegistryError> {
        let path = self.directory.clone();
        let names = files::blocking(move || names(&path)).await;
        names.map_err(|source| self.unreadable(source))
    }

    /// Returns the stamp of a component's file, or `None` if there is none.
    pub async fn stamp(&self, name: &AdapterName) -> io::Result<Option<FileStamp>> {
        let path = self.component(name);
        files::blocking(move || files::stamp(&path)).await
    }

    /// Returns the stamp of a signature's file, or `None` if there is none.
    pub async fn signature_stamp(&self, name: &AdapterName) -> io::Result<Option<FileStamp>> {
        let path = files::signature_of(&self.component(name));
        files::blocking(move || files::stamp(&path)).await
    }

    /// Reads a component and its signature. Returns `None` if there is no
    /// component. Reads at most one byte more than a component may have.
    pub async fn read(&self, name: &AdapterName) -> io::Result<Option<(SeenFile, Package)>> {
        // Before the contents: a write in between then has another stamp, and
        // the next pass reads the file again. The other order would pair old
        // contents with the new stamp.
        let Some(stamp) = self.stamp(name).await? else { return Ok(None) };
        let path = self.component(name);
        let read = files::blocking(move || {
            let package = files::read_package(&path)?;
            Ok((Digest::of(&package.wasm), package))
        });
        let (sha256, package) = read.await?;
        Ok(Some((SeenFile { stamp, sha256 }, package)))
    }

    /// Writes a component and its signature.
    pub async fn write(&self, name: &AdapterName, package: Package) -> io::Result<FileStamp> {
        let path = self.component(name);
        files::blocking(move || files::write_package(&path, &package)).await
    }

    /// Adds the directory to an error.
    pub fn unreadable(&self, source: io::Error) -> RegistryError {
        RegistryError::Directory { directory: self.directory.clone(), source }
    }

    fn component(&self, name: &AdapterName) -> PathBuf {
        self.directory.join(format!("{name}.wasm"))
    }
}

fn names(directory: &Path) -> io::Result<Vec<AdapterName>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let Some(name) = adapter_name(&path) else { continue };
        // Follows links, which operators use to switch versions.
        match fs::metadata(&path) {
            Ok(file) if file.is_file() => found.push(name),
            Ok(_) => {}
            // Deleted since it was listed, or a dangling link.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    found.sort_unstable();
    if found.len() > ADAPTERS_MAX {
        warn!("Loading only {ADAPTERS_MAX} of {} adapters", found.len());
        found.truncate(ADAPTERS_MAX);
    }
    Ok(found)
}

fn adapter_name(path: &Path) -> Option<AdapterName> {
    path.file_name()?.to_str()?.strip_suffix(".wasm")?.parse().ok()
}
