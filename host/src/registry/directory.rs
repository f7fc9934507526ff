//! The directory of components: `<name>.wasm`. Other files are left alone.

use std::fs;
use std::io;
use std::io::Read as _;
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::path::PathBuf;

use bytes::Bytes;
use tracing::warn;

use super::AdapterName;
use super::RegistryError;
use crate::adapter::COMPONENT_BYTES_MAX;

/// Adapters in one directory. There are fewer CSPs than that in the world;
/// what is beyond it, in alphabetical order, is not loaded.
const ADAPTERS_MAX: usize = 256;

/// Tells one state of a file from another without reading it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stamp {
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
}

impl Stamp {
    fn of(file: &fs::Metadata) -> Self {
        Self { inode: file.ino(), bytes: file.size(), modified: (file.mtime(), file.mtime_nsec()) }
    }
}

pub(super) fn create(directory: &Path) -> Result<(), RegistryError> {
    fs::create_dir_all(directory).map_err(|source| failed(directory, source))
}

/// The components that are there, by name.
pub(super) async fn list(directory: &Path) -> Result<Vec<(AdapterName, Stamp)>, RegistryError> {
    let path = directory.to_owned();
    let listed = tokio::task::spawn_blocking(move || list_blocking(&path)).await;
    listed.map_err(io::Error::other).flatten().map_err(|source| failed(directory, source))
}

/// Reads a component. One that is too large is read so far that it is seen to
/// be.
pub(super) async fn read(directory: &Path, name: &AdapterName) -> io::Result<Bytes> {
    let path = path(directory, name);
    tokio::task::spawn_blocking(move || {
        let mut wasm = Vec::new();
        let limit = COMPONENT_BYTES_MAX as u64 + 1;
        fs::File::open(path)?.take(limit).read_to_end(&mut wasm)?;
        Ok(wasm.into())
    })
    .await
    .map_err(io::Error::other)
    .flatten()
}

/// Writes a component aside and renames it, so that a crash leaves the old one
/// or the new one.
pub(super) async fn write(directory: &Path, name: &AdapterName, wasm: Bytes) -> io::Result<Stamp> {
    let directory = directory.to_owned();
    let name = name.clone();
    tokio::task::spawn_blocking(move || {
        let aside = directory.join(format!(".{name}.wasm.tmp"));
        let mut file = fs::File::create(&aside)?;
        file.write_all(&wasm)?;
        file.sync_all()?;
        // Renaming changes none of this.
        let stamp = Stamp::of(&file.metadata()?);
        fs::rename(&aside, path(&directory, &name))?;
        fs::File::open(&directory)?.sync_all()?;
        Ok(stamp)
    })
    .await
    .map_err(io::Error::other)
    .flatten()
}

fn list_blocking(directory: &Path) -> io::Result<Vec<(AdapterName, Stamp)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let Some(name) = adapter_name(&path) else { continue };
        // Follows links. A file may also have gone since it was listed.
        match fs::metadata(&path) {
            Ok(file) if file.is_file() => found.push((name, Stamp::of(&file))),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    found.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
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
