//! Settings of the embedded queue, and the errors of opening it.

use std::path::PathBuf;

/// Settings of the embedded queue.
#[derive(Debug, Clone)]
pub struct Config {
    /// The queue file. Its lock, its reserve and SQLite's own files are put
    /// beside it.
    pub path: PathBuf,
    /// The time for which consumed outcomes can be redelivered.
    pub redelivery_hours: u32,
}

/// The reason why the queue file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("cannot use {path}")]
    Io { path: PathBuf, source: std::io::Error },
    #[error("cannot open {path} as a database")]
    Database { path: PathBuf, source: rusqlite::Error },
    #[error("{path} is in use by another host ({holder}); one file has one host")]
    InUse { path: PathBuf, holder: String },
    #[error("{path} is not durable: journal_mode is {journal}, synchronous is {synchronous}")]
    NotDurable { path: PathBuf, journal: String, synchronous: i64 },
    #[error("{path} was written by a later release (schema {found})")]
    LaterSchema { path: PathBuf, found: i64 },
}
