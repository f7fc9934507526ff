//! The state that all handlers of the admin API share.

use std::collections::BTreeMap;
use std::sync::Arc;

use metrics_exporter_prometheus::PrometheusHandle;

use super::queue_stats::StatsReader;
use crate::http::Health;
use crate::http::auth::Keys;
use crate::observe::Observers;
use crate::registry::Registry;
use crate::worker::CspRuntime;
use hoth_core::domain::CspName;
use hoth_platform::clock::Clock;
use hoth_queue::Queue;
use hoth_queue::QueueName;
use hoth_queue::Storage;
use hoth_trail::Trail;

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
    pub metrics: PrometheusHandle,
    /// Shared with the API and with the reload of the configuration.
    pub keys: Keys,
    pub clock: Clock,
    /// Learn what happens to jobs.
    pub observers: Observers,
    pub trail: Trail,
    /// Shared with the API.
    pub health: Health,
}
