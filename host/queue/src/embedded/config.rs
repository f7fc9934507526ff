//! Settings of the embedded queue, and the errors of opening it.

use std::path::PathBuf;
use std::time::Duration;

/// The default size of SQLite's log from which on new messages are refused.
pub const LOG_MAX_BYTES: u64 = 1_024 * 1_024 * 1_024;

/// Settings of the embedded queue.
#[derive(Debug, Clone)]
pub struct Config {
    /// The queue file. Its lock, its reserve and SQLite's own files are put
    /// beside it.
    pub path: PathBuf,
    /// The time for which consumed outcomes can be redelivered.
    pub redelivery_hours: u32,
    /// The size of SQLite's log from which on new messages are refused.
    pub log_max_bytes: u64,
}

/// The reason why the queue file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("cannot use {path}")]
    Io { path: PathBuf, source: std::io::Error },
    #[error("cannot open {path} as a database")]
    Database { path: PathBuf, source: rusqlite::Error },
    #[error(
        "{path} has been locked by another process for {waited:?} (`sqlite3`, a backup): end that \
         process, and start the host again"
    )]
    Locked { path: PathBuf, waited: Duration },
    /// The holder is in parentheses, or empty if it is unknown.
    #[error("{path} is in use by another host{holder}; one file has one host")]
    InUse { path: PathBuf, holder: String },
    #[error(
        "cannot lock {path}: its file system offers no file locks; put the queue on a local file \
         system"
    )]
    NoLocks { path: PathBuf, source: std::io::Error },
    #[error(
        "{path} has {links} names (hard links), and recent commits are beside one of them only; \
         remove the other names, or copy the file"
    )]
    Linked { path: PathBuf, links: u64 },
    #[error(
        "{path} is a mount of its own, and recent commits are in files beside it that are not in \
         the mount; mount its directory"
    )]
    Mounted { path: PathBuf },
    #[error(
        "{path} is missing, and its log {log} is there; put the database back, or move the log \
         away to start with an empty queue"
    )]
    OrphanedLog { path: PathBuf, log: PathBuf },
    #[error("{path} was moved or replaced while it was opened")]
    Displaced { path: PathBuf },
    #[error("{path} is not durable: journal_mode is {journal}, synchronous is {synchronous}")]
    NotDurable { path: PathBuf, journal: String, synchronous: i64 },
    #[error("{path} was written by a later release (schema {found})")]
    LaterSchema { path: PathBuf, found: i64 },
}
