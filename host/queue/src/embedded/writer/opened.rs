//! The parts that the writer is made of.

use std::cell::RefCell;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Weak;
use std::sync::atomic::AtomicU64;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use rusqlite::Connection;
use tokio::runtime::Handle;
use tokio::sync::watch;

use crate::embedded::command::Request;
use crate::embedded::command::Requests;
use crate::embedded::commits::CommitCounter;
use crate::embedded::commits::SyncMark;
use crate::embedded::failure::StorageFailure;
use crate::embedded::groups::Groups;
use crate::embedded::identity::QueueFiles;
use crate::embedded::known_keys::KnownKeys;
use crate::embedded::lock::FileLock;
use crate::embedded::log_index::LogIndex;
use crate::embedded::log_sync::LogSync;
use crate::embedded::other_writers::OtherWriters;
use crate::embedded::reserve::Reserve;
use hoth_platform::clock::Clock;

/// The parts of an opened queue that the writer works with.
pub struct Opened {
    /// The connections that write and that run checkpoints. They are declared
    /// before the files, and so closed before them: see [`FileLock`].
    pub sql: Connection,
    pub checkpointer: Connection,
    pub lock: FileLock,
    /// The deduplication keys that were used within a day.
    pub keys: KnownKeys,
    /// The waiting messages of each group.
    pub groups: RefCell<Groups>,
    pub files: QueueFiles,
    pub index: LogIndex,
    pub log: LogSync,
    /// `None` if the kernel does not allow the watch.
    pub other_writers: Option<OtherWriters>,
    /// The path of the configuration.
    pub path: PathBuf,
    /// The queue's time. Deadlines of callers and pauses are measured in
    /// [`Instant`](std::time::Instant) instead, which no operator can set.
    pub clock: Clock,
    /// Disk space that is released when the disk is full, so that deletions
    /// still commit.
    pub reserve: Reserve,
    /// The time for which consumed outcomes can be redelivered.
    pub archive_for: Duration,
    /// The size of the log from which on new messages are refused.
    pub log_max_bytes: u64,
}

/// The channels between the writer and its callers.
pub struct Channels {
    /// Requests of all callers, in order of arrival.
    pub received: Receiver<Request>,
    /// The other end, by which the writer is woken.
    pub requests: Weak<Requests>,
    /// The failure of storage, which is never reset.
    pub failed: watch::Sender<Option<StorageFailure>>,
    /// The size of the log, for others to read.
    pub log_bytes: Arc<AtomicU64>,
    pub counter: CommitCounter,
    pub synced: SyncMark,
    /// The runtime of the callers, if there is one.
    pub runtime: Option<Handle>,
}
