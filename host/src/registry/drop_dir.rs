//! The directory of components, `<name>.wasm`, with their signatures beside
//! them, `<name>.wasm.minisig`: what is put there arrives. Other files are left
//! alone.

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

/// Adapters in one directory. There are fewer CSPs than that in the world;
/// what is beyond it, in alphabetical order, is not loaded.
const ADAPTERS_MAX: usize = 256;

pub(super) fn create(directory: &Path) -> Result<(), RegistryError> {
    fs::create_dir_all(directory).map_err(|source| failed(directory, source))
}

/// The components that are there, by name.
pub(super) async fn list(directory: &Path) -> Result<Vec<AdapterName>, RegistryError> {
    let path = directory.to_owned();
    let listed = files::blocking(move || list_blocking(&path)).await;
    listed.map_err(|source| failed(directory, source))
}

/// The state of a component's file; `None` where there is none.
pub(super) async fn stamp(directory: &Path, name: &AdapterName) -> io::Result<Option<FileStamp>> {
    let path = path(directory, name);
    files::blocking(move || files::stamp(&path)).await
}

/// The state of a signature's file; `None` where there is none.
pub(super) async fn signature_stamp(
    directory: &Path,
    name: &AdapterName,
) -> io::Result<Option<FileStamp>> {
    let path = files::signature_of(&path(directory, name));
    files::blocking(move || files::stamp(&path)).await
}

/// Reads a component and its signature. One that is too large is read so far
/// that it is seen to be.
pub(super) async fn read(directory: &Path, name: &AdapterName) -> io::Result<Package> {
    let path = path(directory, name);
    files::blocking(move || files::read_package(&path)).await
}

/// Puts a component there.
pub(super) async fn write(
    directory: &Path,
    name: &AdapterName,
    package: Package,
) -> io::Result<FileStamp> {
    let path = path(directory, name);
    files::blocking(move || files::write_package(&path, &package)).await
}

fn list_blocking(directory: &Path) -> io::Result<Vec<AdapterName>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let Some(name) = adapter_name(&path) else { continue };
        // Follows links. A file may also have gone since it was listed.
        match fs::metadata(&path) {
            Ok(file) if file.is_file() => found.push(name),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    found.sort_unstable();
    if found.len() > ADAPTERS_MAX {
        warn!("Only {ADAPTERS_MAX} of {} adapters are loaded", found.len());
        found.truncate(ADAPTERS_MAX);
    }
    Ok(found)
}

fn adapter_name(path: &Path) -> Option<AdapterName> {
    path.file_name()?.to_str()?.strip_suffix(".wasm")?.parse().ok()
}

fn path(directory: &Path, name: &AdapterName) -> PathBuf {
    directory.join(format!("{name}.wasm"))
}

fn failed(directory: &Path, source: io::Error) -> RegistryError {
    RegistryError::Directory { directory: directory.to_owned(), source }
}
