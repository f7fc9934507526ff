//! The lock file: one queue file has one host.

use std::fs::File;
use std::fs::OpenOptions;
use std::io::Read as _;
use std::io::Seek as _;
use std::io::Write as _;
use std::path::Path;

use super::config::OpenError;

/// An exclusive lock on a queue file. The kernel releases it when the process
/// ends, however that happens.
#[derive(Debug)]
pub struct FileLock {
    _file: File,
}

impl FileLock {
    /// Locks the file beside `path`, and writes this process into it.
    ///
    /// # Errors
    ///
    /// [`OpenError::InUse`] if another process holds the lock.
    pub fn take(path: &Path) -> Result<Self, OpenError> {
        let mut beside = path.as_os_str().to_owned();
        beside.push(".lock");
        let io = |source| OpenError::Io { path: path.to_owned(), source };
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&beside)
            .map_err(io)?;
        if file.try_lock().is_err() {
            let mut holder = String::new();
            // The text only helps the operator. It may be empty or old, because
            // the holder writes it after it has the lock.
            let _ = file.read_to_string(&mut holder);
            return Err(OpenError::InUse {
                path: path.to_owned(),
                holder: holder.trim().to_owned(),
            });
        }
        // Only under the lock: a process that is refused must not overwrite the
        // text of the holder.
        file.set_len(0).map_err(io)?;
        file.rewind().map_err(io)?;
        writeln!(file, "process {}", std::process::id()).map_err(io)?;
        Ok(Self { _file: file })
    }
}
