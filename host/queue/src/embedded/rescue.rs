//! Saving the content of a queue whose files were removed, moved, replaced or
//! overwritten.
//!
//! SQLite still has the files open, so nothing that was committed is gone yet.
//! It is put where a restart, or an operator, finds it.

use std::fs::File;
use std::fs::OpenOptions;
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

use rusqlite::Connection;

use super::identity::Displaced;
use super::identity::Displacement;
use super::identity::Part;
use super::identity::QueueFiles;
use super::lock::FileLock;
use super::lock::beside;
use super::schema;
use super::time_limit::within;
use hoth_core::domain::Timestamp;

/// The longest time that a copy of the queue may take. It keeps the process
/// from its end.
const COPY_MAX: Duration = Duration::from_secs(120);

/// The place of the content of a displaced queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rescue {
    /// The database file is in its place, and has everything.
    InPlace,
    /// The database file was gone, and a copy is in its place.
    Restored,
    /// The database file was moved here, or was copied to here.
    At(PathBuf),
    /// The content of the database or of the log is lost. The log is here,
    /// because it no longer belongs to the database.
    LogAt(PathBuf),
    /// Nothing could be saved, for this reason.
    Failed(String),
}

/// Saves everything that was committed. Afterwards, no log is left that SQLite
/// would apply to another database in the same place.
pub fn save(
    sql: &Connection,
    lock: &FileLock,
    files: &QueueFiles,
    displaced: &Displaced,
    now: Timestamp,
) -> Rescue {
    if displaced.what == Displacement::Overwritten {
        let saved = set_log_aside(files, now);
        return saved.unwrap_or_else(|error| Rescue::Failed(error.to_string()));
    }
    let whole = empty_log(sql);
    if whole && displaced.part != Part::Database {
        return Rescue::InPlace;
    }
    // The directory may be gone with the file.
    let folder = files.path.parent().map_or(Ok(()), std::fs::create_dir_all);
    let saved = match moved_to(&lock.database) {
        Some(moved) if whole => Ok(Rescue::At(moved)),
        Some(_) | None => folder.and_then(|()| copy(sql, files, displaced, now)),
    };
    match saved {
        Ok(rescue) => rescue,
        Err(error) => return Rescue::Failed(error.to_string()),
    }
    .with_the_log_removed(files)
}

impl Rescue {
    fn with_the_log_removed(self, files: &QueueFiles) -> Self {
        files.remove_log();
        self
    }
}

/// Moves everything from the log to the database file, and empties the log.
/// Returns true if the database file has everything. No checkpoint of this
/// process may run at the same time: then nothing is moved.
pub fn empty_log(sql: &Connection) -> bool {
    schema::checkpoint(sql, "TRUNCATE").unwrap_or(false)
}

/// Moves the log away from a database that it does not belong to: SQLite would
/// apply it, and damage the database, even if that is an intact backup.
fn set_log_aside(files: &QueueFiles, now: Timestamp) -> io::Result<Rescue> {
    let aside = beside(&files.path, &format!(".saved-{}-wal", now.as_millis()));
    std::fs::rename(&files.log, &aside)?;
    files.remove_log();
    sync_folder(&aside);
    Ok(Rescue::LogAt(aside))
}

/// Returns the present path of an open file, or `None` if it has none.
fn moved_to(database: &File) -> Option<PathBuf> {
    let has_name = database.metadata().is_ok_and(|found| found.nlink() > 0);
    let path = std::fs::read_link(format!("/proc/self/fd/{}", database.as_raw_fd())).ok()?;
    has_name.then_some(path)
}

/// Copies the database to a file of its own, and puts that in the place of the
/// database if the place is free.
fn copy(
    sql: &Connection,
    files: &QueueFiles,
    displaced: &Displaced,
    now: Timestamp,
) -> io::Result<Rescue> {
    let target = beside(&files.path, &format!(".saved-{}", now.as_millis()));
    // Made before SQLite writes it: requests and outcomes hold personal data.
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(&target)?;
    let copied = copy_to(sql, &target).and_then(|()| File::open(&target)?.sync_all());
    if let Err(error) = copied {
        // A part of a copy is of no use, and takes the room of others.
        let _ = std::fs::remove_file(&target);
        return Err(error);
    }
    if displaced.part == Part::Database && displaced.what == Displacement::Gone {
        // Before the copy is there: a log of the old file must never be applied
        // to it.
        files.remove_log();
        // A link and not a rename, because it replaces no file that an operator
        // has put there meanwhile.
        if std::fs::hard_link(&target, &files.path).is_ok() {
            std::fs::remove_file(&target)?;
            sync_folder(&files.path);
            return Ok(Rescue::Restored);
        }
    }
    sync_folder(&target);
    Ok(Rescue::At(target))
}

fn copy_to(sql: &Connection, target: &Path) -> io::Result<()> {
    let target = target.to_str().ok_or(io::ErrorKind::InvalidFilename)?;
    let copied = within(sql, COPY_MAX, || sql.execute("VACUUM INTO ?1", [target]))?;
    copied.map(drop).map_err(io::Error::other)
}

/// Syncs the directory of a file, so that its name survives a power cut. An
/// error changes nothing about the content.
fn sync_folder(path: &Path) {
    if let Some(folder) = path.parent() {
        let _ = File::open(folder).and_then(|folder| folder.sync_all());
    }
}
