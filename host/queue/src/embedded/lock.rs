//! The owner of a queue file: one file has one host, by whatever path.
//!
//! The lock is on the database file itself, so that a second path to the same
//! file (a link, another mount) meets it. It is a `flock`, which is independent
//! of the `fcntl` locks that SQLite takes on the same file. A second lock, on
//! the file `.lock` beside it, names the owner, and is the one that earlier
//! releases take.

use std::fs::File;
use std::fs::OpenOptions;
use std::fs::TryLockError;
use std::io;
use std::io::Read as _;
use std::io::Seek as _;
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::path::PathBuf;

use super::config::OpenError;

/// The table of mounts. The fifth field of each line is the mount point.
const MOUNTS: &str = "/proc/self/mountinfo";

/// An exclusive lock on a queue file. The kernel releases it when the process
/// ends, however that happens.
///
/// It must be dropped after every SQLite connection: closing any descriptor of
/// a file releases all `fcntl` locks that the process has on it (fcntl(2),
/// "Record locks").
#[derive(Debug)]
pub struct FileLock {
    /// The database file. A missing file is made.
    pub database: File,
    /// The database file's path without symbolic links. SQLite puts its own
    /// files beside it.
    pub path: PathBuf,
    _beside: File,
}

impl FileLock {
    /// Locks the file at `path`, and writes this process into the file beside
    /// it. Makes a missing file, readable by its owner alone. SQLite gives its
    /// WAL and shared memory files the mode of the database. The mode of an
    /// existing file is the operator's choice, and stays.
    ///
    /// # Errors
    ///
    /// [`OpenError::InUse`] if another process holds the lock, and others if
    /// the file cannot be the only one of its content.
    pub fn take(path: &Path) -> Result<Self, OpenError> {
        let io = |source| OpenError::Io { path: path.to_owned(), source };
        refuse_orphaned_log(path)?;
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let database = options.open(path).map_err(io)?;
        let path = path.canonicalize().map_err(io)?;
        let beside_path = beside(&path, ".lock");
        let mut beside = options
            .open(&beside_path)
            .map_err(|source| OpenError::Io { path: beside_path.clone(), source })?;
        let locked = lock(&beside).and_then(|()| lock(&database));
        if let Err(refused) = locked {
            return Err(match refused {
                TryLockError::WouldBlock => {
                    OpenError::InUse { holder: named_in(&mut beside), path }
                }
                TryLockError::Error(source) => OpenError::NoLocks { path, source },
            });
        }
        refuse_other_names(&database, &path)?;
        // Only under the locks: a process that is refused must not overwrite
        // the text of the holder.
        beside.set_len(0).map_err(io)?;
        beside.rewind().map_err(io)?;
        writeln!(beside, "process {}", std::process::id()).map_err(io)?;
        Ok(Self { database, path, _beside: beside })
    }
}

/// Returns the path of a file beside the database, by its suffix.
pub fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn lock(file: &File) -> Result<(), TryLockError> {
    file.try_lock()
}

/// Reads the holder of the locks, as " (process 1)". The text only helps the
/// operator. It is missing if the file beside the database was removed, and may
/// be old, because the holder writes it after it has the lock.
fn named_in(beside: &mut File) -> String {
    let mut holder = String::new();
    let _ = beside.read_to_string(&mut holder);
    match holder.trim() {
        "" => String::new(),
        holder => format!(" ({holder})"),
    }
}

/// Refuses a log without its database. SQLite would delete the log, and the
/// commits in it, when it makes a new database.
fn refuse_orphaned_log(path: &Path) -> Result<(), OpenError> {
    let missing = matches!(path.metadata(), Err(error) if error.kind() == io::ErrorKind::NotFound);
    let log = beside(path, "-wal");
    match log.metadata() {
        Ok(found) if missing && found.len() > 0 => {
            Err(OpenError::OrphanedLog { path: path.to_owned(), log })
        }
        Ok(_) | Err(_) => Ok(()),
    }
}

/// Refuses a file that has a second name. The commits since the last checkpoint
/// are in files beside the name that the host uses, and a host that is started
/// under the other name would not find them.
fn refuse_other_names(database: &File, path: &Path) -> Result<(), OpenError> {
    let found =
        database.metadata().map_err(|source| OpenError::Io { path: path.to_owned(), source })?;
    if found.nlink() > 1 {
        return Err(OpenError::Linked { path: path.to_owned(), links: found.nlink() });
    }
    // Where the table cannot be read there are no containers either.
    let mounts = std::fs::read_to_string(MOUNTS).unwrap_or_default();
    if is_mount_point(&mounts, path) {
        return Err(OpenError::Mounted { path: path.to_owned() });
    }
    Ok(())
}

fn is_mount_point(mounts: &str, path: &Path) -> bool {
    // The table has octal escapes for these four characters (proc(5)).
    let escaped = path.to_string_lossy().replace('\\', "\\134").replace(' ', "\\040");
    let escaped = escaped.replace('\t', "\\011").replace('\n', "\\012");
    mounts.lines().any(|line| line.split(' ').nth(4) == Some(&escaped))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_a_mount_of_its_own_is_found_in_the_table() {
        let mounts = "36 35 98:0 / / rw - ext3 /dev/root rw\n\
                      41 36 98:0 /q /data/my\\040queue.db rw - ext3 /dev/root rw\n";
        for (path, expected) in
            [("/data/my queue.db", true), ("/data/queue.db", false), ("/data", false), ("/", true)]
        {
            assert_eq!(is_mount_point(mounts, Path::new(path)), expected, "{path}");
        }
    }
}
