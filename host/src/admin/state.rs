//! The state that all handlers of the admin API share.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use super::queue_stats::StatsReader;
use crate::activity::Activity;
use crate::http::Health;
use crate::http::auth::Keys;
use crate::http::listener::ReloadableTls;
use crate::job_status::Statuses;
use crate::metrics::Recorder;
use crate::observe::Observers;
use crate::registry::Registry;
use crate::replay::JournalStore;
use crate::worker::CspRuntime;
use crate::worker::Drain;
use hoth_core::domain::CspName;
use hoth_core::domain::Timestamp;
use hoth_platform::clock::Clock;
use hoth_platform::disk::DiskRoom;
use hoth_queue::Queue;
use hoth_queue::QueueName;
use hoth_queue::Storage;
use hoth_trail::Trail;

/// Facts of this host that do not change while it runs.
#[derive(Debug, Clone)]
pub struct HostFacts {
    /// The name of the machine.
    pub name: String,
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

/// The state of the admin API, shared by all handlers.
pub struct AdminState {
    pub queue: Arc<dyn Queue>,
    /// The backend of `queue`, for its own metrics.
    pub storage: Storage,
    /// The configured queues, and orphaned queues that still hold messages.
    pub queues: Vec<QueueName>,
    /// Reads the state of `queues`.
    pub stats: StatsReader,
    pub registry: Arc<Registry>,
    /// The running parts of the configured CSPs, shared with the workers.
    pub csps: BTreeMap<CspName, CspRuntime>,
    /// Renders the metrics of the whole process.
    pub metrics: Recorder,
    /// The certificates of the listeners, each with the table that names it.
    pub listener_certificates: Vec<(&'static str, ReloadableTls)>,
    /// The files with certificates that CSPs see, each with the key that names
    /// it.
    pub client_certificates: Vec<(String, PathBuf)>,
    /// Shared with the API and with the reload of the configuration.
    pub keys: Keys,
    pub clock: Clock,
    /// Learn what happens to jobs.
    pub observers: Observers,
    pub trail: Trail,
    /// The traffic of queues and CSPs since the host started.
    pub activity: Activity,
    /// The journals of finished jobs.
    pub journals: Arc<JournalStore>,
    /// Tell where jobs are.
    pub statuses: Statuses,
    /// Shared with the API.
    pub health: Health,
    /// Shared with the workers.
    pub drain: Drain,
    pub host: HostFacts,
}
