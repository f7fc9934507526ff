//! Files that are whole or not there.

use std::fs;
use std::io;
use std::io::Read as _;
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::path::PathBuf;

use serde::Deserialize;
use serde::Serialize;

use super::Package;
use super::SIGNATURE_BYTES_MAX;
use hoth_runtime::COMPONENT_BYTES_MAX;

/// Tells one state of a file from another without reading it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct FileStamp {
    inode: u64,
    bytes: u64,
    /// Seconds and nanoseconds since 1970.
    modified: (i64, i64),
}

impl FileStamp {
    pub fn of(file: &fs::Metadata) -> Self {
        Self { inode: file.ino(), bytes: file.size(), modified: (file.mtime(), file.mtime_nsec()) }
    }

    /// Whether all but the inode is the same: a backup that was put back, or
    /// another machine's view of a network file system, has others.
    pub fn same_time(&self, other: &Self) -> bool {
        (self.bytes, self.modified) == (other.bytes, other.modified)
    }
}

/// The state of a file; `None` where there is none.
pub(super) fn stamp(path: &Path) -> io::Result<Option<FileStamp>> {
    match fs::metadata(path) {
        Ok(file) => Ok(Some(FileStamp::of(&file))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Reads a file; one with more than `limit` bytes is read one byte further.
pub(super) fn read(path: &Path, limit: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(limit as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Writes aside and renames, so that a crash leaves the old file or the new
/// one. `path` has a parent, which exists.
pub(super) fn write(path: &Path, contents: &[u8]) -> io::Result<FileStamp> {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not the path of a file"));
    };
    // The process id, as hosts may share the folder. One process writes a file
    // once at a time.
    let aside = folder.join(format!(".{}.{}.tmp", name.display(), std::process::id()));
    let written = write_aside(&aside, contents).and_then(|stamp| {
        fs::rename(&aside, path)?;
        fs::File::open(folder)?.sync_all()?;
        Ok(stamp)
    });
    if written.is_err() {
        let _ = fs::remove_file(&aside);
    }
    written
}

fn write_aside(aside: &Path, contents: &[u8]) -> io::Result<FileStamp> {
    let mut file = fs::File::create(aside)?;
    file.write_all(contents)?;
    file.sync_all()?;
    // Renaming changes none of this.
    Ok(FileStamp::of(&file.metadata()?))
}

/// Where the signature of a component lies.
pub(super) fn signature_of(wasm: &Path) -> PathBuf {
    let mut path = wasm.to_owned().into_os_string();
    path.push(".minisig");
    path.into()
}

/// Reads a component and its signature.
pub(super) fn read_package(path: &Path) -> io::Result<Package> {
    let wasm = read(path, COMPONENT_BYTES_MAX)?.into();
    let signature = match read(&signature_of(path), SIGNATURE_BYTES_MAX) {
        Ok(signature) => Some(signature.into()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    Ok(Package { wasm, signature })
}

/// Writes a component and its signature, and gives the state of the component.
pub(super) fn write_package(path: &Path, package: &Package) -> io::Result<FileStamp> {
    // The signature first: whoever sees the component finds what belongs to it.
    let signature = signature_of(path);
    match &package.signature {
        Some(text) => {
            write(&signature, text)?;
        }
        None => match fs::remove_file(&signature) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        },
    }
    write(path, &package.wasm)
}

/// Runs file work where it holds up no other task.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other).flatten()
}
