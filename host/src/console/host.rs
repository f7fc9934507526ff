//! Facts of this host that do not change while it runs.

use std::path::PathBuf;

use hoth_core::domain::Timestamp;
use hoth_platform::disk::DiskRoom;

/// Facts of this host.
#[derive(Debug, Clone)]
pub struct HostFacts {
    pub version: &'static str,
    pub roles: Vec<&'static str>,
    pub started_at: Timestamp,
    pub configuration: PathBuf,
    /// The queue backend, in words.
    pub queue: String,
    /// A folder on the disk that must not become full; `None` if the queue is
    /// elsewhere.
    pub folder: Option<PathBuf>,
}

impl HostFacts {
    /// Returns the room on the disk of the queue.
    pub fn disk(&self) -> Option<DiskRoom> {
        DiskRoom::of(self.folder.as_deref()?)
    }
}
