//! Files: stamps, bounded reads, and atomic writes.

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

/// Metadata that tells two states of a file apart without reading it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct FileStamp {
    inode: u64,
    bytes: u64,
    /// Seconds and nanoseconds since 1970.
    modified: (i64, i64),
    /// The time of the last change of the file or its metadata, which no
    /// program can set: `cp -p` sets `modified`. `None` in ledgers of earlier
    /// builds.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    changed: Option<(i64, i64)>,
}

impl FileStamp {
    /// Returns the stamp of a file.
    pub fn of(file: &fs::Metadata) -> Self {
        Self {
            inode: file.ino(),
            bytes: file.size(),
            modified: (file.mtime(), file.mtime_nsec()),
            changed: Some((file.ctime(), file.ctime_nsec())),
        }
    }

    /// Returns `true` if size and time of modification are equal. A restored
    /// backup has other inodes, and so has another machine's view of a network
    /// file system.
    pub fn same_time(&self, other: &Self) -> bool {
        (self.bytes, self.modified) == (other.bytes, other.modified)
    }
}

/// Returns the stamp of a file, or `None` if there is none.
///
/// # Errors
///
/// Returns an error if it is no regular file: a pipe would block its reader.
pub(super) fn stamp(path: &Path) -> io::Result<Option<FileStamp>> {
    match fs::metadata(path) {
        Ok(file) if file.is_file() => Ok(Some(FileStamp::of(&file))),
        Ok(_) => Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Reads a file, up to one byte more than `limit`, so that the caller can tell a
/// file that is too large.
pub(super) fn read(path: &Path, limit: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(limit as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Writes a file atomically: a crash leaves the old file or the new one. The
/// folder of `path` must exist.
pub(super) fn write(path: &Path, contents: &[u8]) -> io::Result<FileStamp> {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not the path of a file"));
    };
    // With the process id, because hosts may share the folder. Within one
    // process a file is written once at a time.
    let temporary = folder.join(format!(".{}.{}.tmp", name.display(), std::process::id()));
    let written = write_synced(&temporary, contents).and_then(|file| {
        fs::rename(&temporary, path)?;
        // A rename survives a power cut only when its folder is synced.
        fs::File::open(folder)?.sync_all()?;
        // After the rename, which changes the time of change, and from the open
        // file: by now another host may have replaced it under this path.
        Ok(FileStamp::of(&file.metadata()?))
    });
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written
}

fn write_synced(path: &Path, contents: &[u8]) -> io::Result<fs::File> {
    let mut file = fs::File::create(path)?;
    file.write_all(contents)?;
    file.sync_all()?;
    Ok(file)
}

/// Returns the path of a component's signature.
pub(super) fn signature_of(wasm: &Path) -> PathBuf {
    let mut path = wasm.to_owned().into_os_string();
    path.push(".minisig");
    path.into()
}

/// Reads a component and its signature.
pub(super) fn read_package(path: &Path) -> io::Result<Package> {
    let wasm = read(path, COMPONENT_BYTES_MAX)?.into();
    let signature = signature_of(path);
    let signature = match signature_stamp(&signature)? {
        Some(_) => Some(read(&signature, SIGNATURE_BYTES_MAX)?.into()),
        None => None,
    };
    Ok(Package { wasm, signature })
}

/// Returns the stamp of a signature, or `None` if there is none. A folder or a
/// pipe under its name counts as none: a component may need no signature.
pub(super) fn signature_stamp(path: &Path) -> io::Result<Option<FileStamp>> {
    match fs::metadata(path) {
        Ok(file) if file.is_file() => Ok(Some(FileStamp::of(&file))),
        Ok(_) => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Writes a component and its signature, and returns the stamp of the
/// component.
pub(super) fn write_package(path: &Path, package: &Package) -> io::Result<FileStamp> {
    // The signature first: a host that sees the component finds the signature
    // that belongs to it.
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

/// Runs file operations on a thread for blocking work.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other).flatten()
}
