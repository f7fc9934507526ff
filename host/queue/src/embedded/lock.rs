//! One host owns the file.

use std::fs::File;
use std::fs::OpenOptions;
use std::io::Read as _;
use std::io::Seek as _;
use std::io::Write as _;
use std::path::Path;

use super::OpenError;

/// An exclusive hold on a queue file; it ends with the process.
#[derive(Debug)]
pub struct FileLock {
    _file: File,
}

impl FileLock {
    /// Takes the lock beside `path`, and writes down who holds it.
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
            // Who holds it is a courtesy; that it is held is certain.
            let _ = file.read_to_string(&mut holder);
            return Err(OpenError::Held {
                path: path.to_owned(),
                holder: holder.trim().to_owned(),
            });
        }
        file.set_len(0).map_err(io)?;
        file.rewind().map_err(io)?;
        writeln!(file, "process {}", std::process::id()).map_err(io)?;
        Ok(Self { _file: file })
    }
}
