//! The identity of the queue's files: what the path names must be what SQLite
//! has open.
//!
//! A success is answered for what a restart will find. A file that is removed,
//! moved or replaced stays open in this process, and commits to it succeed, but
//! a restart opens another file, or none.

use std::fmt;
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::path::PathBuf;

use super::in_place::Changed;
use super::in_place::Content;
use super::lock::FileLock;
use super::lock::beside;

/// The files of an open queue, as they were when SQLite had opened them.
#[derive(Debug)]
pub struct QueueFiles {
    /// The path of the configuration, by which a restart opens the queue.
    pub path: PathBuf,
    /// The log's path. It is beside the real database, also where `path` is a
    /// symbolic link.
    pub log: PathBuf,
    shared_memory: PathBuf,
    database_id: FileId,
    log_id: FileId,
    shared_memory_id: FileId,
    content: Content,
}

/// The number of a file, which stays when the file is renamed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct FileId {
    device: u64,
    inode: u64,
}

impl From<Metadata> for FileId {
    fn from(found: Metadata) -> Self {
        Self { device: found.dev(), inode: found.ino() }
    }
}

/// A file of the queue that is not the one that SQLite has open, or does not
/// have the content that SQLite has written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Displaced {
    pub part: Part,
    pub what: Displacement,
}

/// A file of the queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    Database,
    /// The log or its index. The database is in its place.
    Beside(PathBuf),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Displacement {
    /// The path names nothing.
    Gone,
    /// The path names another file.
    Replaced,
    /// The path names the file, and another program has changed its content.
    Overwritten,
}

impl fmt::Display for Displacement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Gone => "was removed or moved",
            Self::Replaced => "was replaced by another file",
            Self::Overwritten => "was overwritten or truncated by another program",
        })
    }
}

/// The state of files that are in their places.
#[derive(Debug, Clone, Copy)]
pub struct InPlace {
    pub log_bytes: u64,
    /// The number of names (hard links) of the database.
    pub links: u64,
}

impl QueueFiles {
    /// Notes the files of a queue that SQLite has just opened at `path`.
    ///
    /// # Errors
    ///
    /// `NotFound` if they are no longer in their places.
    pub fn note(path: &Path, lock: &FileLock) -> io::Result<Self> {
        let (log, shared_memory) = (beside(&lock.path, "-wal"), beside(&lock.path, "-shm"));
        let content = Content::note(&lock.database, &log, &shared_memory)?;
        let mut files = Self {
            path: path.to_owned(),
            database_id: lock.database.metadata()?.into(),
            log_id: log.metadata()?.into(),
            shared_memory_id: shared_memory.metadata()?.into(),
            log,
            shared_memory,
            content,
        };
        // The descriptor of the lock was opened before SQLite's. If the path
        // still names that file, SQLite has the same one.
        files.check()?.map_err(|_| io::ErrorKind::NotFound)?;
        Ok(files)
    }

    /// Compares the files with those that SQLite has open, and their content
    /// with what SQLite has written. Costs three `stat` calls, an `fstat` and
    /// four short reads if nothing has changed.
    ///
    /// # Errors
    ///
    /// The inner error is the file that is not in its place. The outer error
    /// says that the files cannot be looked at, and nothing about them.
    pub fn check(&mut self) -> io::Result<Result<InPlace, Displaced>> {
        let database = match look(&self.path, self.database_id)? {
            Ok(found) => found,
            Err(what) => return Ok(Err(Displaced { part: Part::Database, what })),
        };
        let displaced =
            |path: &Path, what| Ok(Err(Displaced { part: Part::Beside(path.to_owned()), what }));
        let log = match look(&self.log, self.log_id)? {
            Ok(found) => found,
            Err(what) => return displaced(&self.log, what),
        };
        if let Err(what) = look(&self.shared_memory, self.shared_memory_id)? {
            return displaced(&self.shared_memory, what);
        }
        match self.content.check()? {
            None => {}
            Some(Changed::Log) => return displaced(&self.log, Displacement::Overwritten),
            Some(Changed::Database) => {
                let what = Displacement::Overwritten;
                return Ok(Err(Displaced { part: Part::Database, what }));
            }
        }
        Ok(Ok(InPlace { log_bytes: log.len(), links: database.nlink() }))
    }

    /// Removes the log and its index, if they are those of this queue: SQLite
    /// would apply a log that is left to any database beside it.
    pub fn remove_log(&self) {
        for (path, id) in [(&self.log, self.log_id), (&self.shared_memory, self.shared_memory_id)] {
            if let Ok(Ok(_)) = look(path, id) {
                // An error leaves an empty log, which is applied to nothing.
                let _ = std::fs::remove_file(path);
            }
        }
    }
}

/// Looks at the file at `path`, which should have the number `id`.
fn look(path: &Path, id: FileId) -> io::Result<Result<Metadata, Displacement>> {
    match path.metadata() {
        Ok(found) if FileId { device: found.dev(), inode: found.ino() } == id => Ok(Ok(found)),
        Ok(_) => Ok(Err(Displacement::Replaced)),
        Err(error) => {
            let gone =
                matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory);
            if gone { Ok(Err(Displacement::Gone)) } else { Err(error) }
        }
    }
}
