//! The state that all handlers of the API share.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use tokio_util::sync::CancellationToken;

use super::batch_name::BatchSigner;
use super::config::Config;
use super::in_flight::InFlightResponses;
use super::leased_batches::LeasedBatches;
use crate::http::Authenticator;
use crate::http::Health;
use crate::http::Rate;
use crate::http::auth::Keys;
use crate::job_status::JobStatus;
use crate::job_status::Statuses;
use crate::observe::Observers;
use crate::traces::Tracer;
use hoth_core::domain::CspName;
use hoth_core::domain::JobEventKind;
use hoth_core::domain::JobFacts;
use hoth_core::domain::JobKind;
use hoth_core::domain::JobRecord;
use hoth_core::domain::SupportedOperations;
use hoth_platform::clock::Clock;
use hoth_queue::Queue;
use hoth_queue::QueueError;
use hoth_trail::Trail;

/// The state of the API, shared by all handlers.
pub struct ApiState {
    pub(super) queue: Arc<dyn Queue>,
    /// The configured CSPs, and the operations that the configuration lists for
    /// each. Requests for any other are refused before they reach the queue.
    pub(super) csps: BTreeMap<CspName, SupportedOperations>,
    /// The operations of the adapter that serves a CSP now.
    pub(super) served: Arc<ServedOperations>,
    pub(super) clock: Clock,
    /// Learn what happens to jobs.
    pub(super) observers: Observers,
    pub(super) statuses: Statuses,
    /// Finds the status of jobs in place of `statuses`, where several hosts
    /// have to be asked.
    pub(super) status_lookup: Option<Arc<StatusLookup>>,
    /// The jobs of leased batches.
    pub(super) leased: LeasedBatches,
    /// Shared with the authorization layer of the router.
    pub(super) authenticator: Arc<Authenticator>,
    /// The status of an accepted cost request.
    pub(super) cost_accepted: StatusCode,
    /// The largest body of a request.
    pub(super) body_bytes_max: usize,
    /// The largest response to a `GET`.
    pub(super) batch_bytes_max: usize,
    /// The longest time for a body to arrive.
    pub(super) body_timeout: Duration,
    /// The listener's bound on sending a response; leases outlast it.
    pub(super) send_timeout: Duration,
    /// Batches whose response is not flushed yet, or not deleted yet. The drain
    /// waits for them.
    pub(super) in_flight: InFlightResponses,
    /// Makes the spans of requests.
    pub(super) tracer: Tracer,
    pub(super) batch_signer: BatchSigner,
    /// Cancelled when the listener closes: no `GET` waits any longer.
    pub(super) closing: CancellationToken,
    /// `None` if the listener has no health routes.
    pub(super) health: Option<Health>,
    /// The text of `/openapi.json`, built once when the router is.
    pub(super) openapi: Bytes,
}

pub(super) type State = Arc<ApiState>;

/// A look-up of the operations that the adapter of a CSP has.
pub type ServedOperations = dyn Fn(&CspName) -> SupportedOperations + Send + Sync;

/// A look-up of the status of a job. Returns `None` if the job is not known.
pub type StatusLookup = dyn Fn(JobKind, String) -> BoxFuture<'static, Result<Option<JobStatus>, QueueError>>
    + Send
    + Sync;

impl ApiState {
    /// Creates the state for the configured CSPs.
    ///
    /// Callers need one of `keys`, are limited to `rate`, and lose their
    /// connection if a response takes longer than `send_timeout` to send.
    pub fn new(
        config: &Config,
        keys: Keys,
        rate: Option<Rate>,
        send_timeout: Duration,
        queue: Arc<dyn Queue>,
        csps: BTreeMap<CspName, SupportedOperations>,
        clock: Clock,
    ) -> Self {
        let body_bytes_max = config.max_body_bytes;
        let body_timeout = Duration::from_millis(config.body_timeout_ms.get());
        let authenticator =
            Authenticator::new(keys, clock.clone(), rate, body_bytes_max, body_timeout);
        let statuses = Statuses {
            queue: Arc::clone(&queue),
            trail: Trail::off(),
            clock: clock.clone(),
            holds: Arc::new(|_| None),
            deadline: Duration::MAX,
            host: String::new(),
        };
        Self {
            queue,
            statuses,
            status_lookup: None,
            csps,
            served: Arc::new(|_| SupportedOperations::Any),
            clock,
            observers: Observers::default(),
            leased: LeasedBatches::default(),
            authenticator: Arc::new(authenticator),
            cost_accepted: config.cost_accepted(),
            body_bytes_max,
            batch_bytes_max: config.max_batch_bytes,
            body_timeout,
            send_timeout,
            in_flight: InFlightResponses::default(),
            tracer: Tracer::off(),
            batch_signer: BatchSigner::default(),
            closing: CancellationToken::new(),
            health: None,
            openapi: Bytes::new(),
        }
    }

    /// Sets the source of the status of jobs. Without it, only the queue tells.
    pub fn with_statuses(self, statuses: Statuses) -> Self {
        Self { statuses, ..self }
    }

    /// Sets the look-up of the status of jobs, in place of queue and trail of
    /// this host alone.
    pub fn with_status_lookup(self, lookup: Arc<StatusLookup>) -> Self {
        Self { status_lookup: Some(lookup), ..self }
    }

    /// Returns the status of a job, or `None` if the job is not known.
    pub(super) async fn status(
        &self,
        kind: JobKind,
        id: String,
    ) -> Result<Option<JobStatus>, QueueError> {
        match &self.status_lookup {
            Some(lookup) => lookup(kind, id).await,
            None => self.statuses.find(kind, &id).await,
        }
    }

    /// Sets the observers of jobs.
    pub fn with_observers(self, observers: Observers) -> Self {
        Self { observers, ..self }
    }

    /// Reports an event of a job of which only the id is known.
    pub(super) fn observe(&self, kind: JobKind, id: &str, what: JobEventKind) {
        let job = JobFacts::of_id(kind, id);
        self.observers.observe(JobRecord::of_one(job, self.clock.now(), what));
    }

    /// Sets the key that signs the names of leased batches.
    pub fn with_batch_key(self, key: &[u8]) -> Self {
        Self { batch_signer: BatchSigner::new(key), ..self }
    }

    /// Sets the look-up of the operations that an adapter has. Without it, every
    /// adapter has all.
    pub fn with_served(self, served: Arc<ServedOperations>) -> Self {
        Self { served, ..self }
    }

    /// Sets the tracer of requests. Without it, no spans are made.
    pub fn with_tracer(self, tracer: Tracer) -> Self {
        Self { tracer, ..self }
    }

    /// Ends waits for outcomes when `closing` is cancelled.
    pub fn with_closing(self, closing: CancellationToken) -> Self {
        Self { closing, ..self }
    }

    /// Adds the health routes.
    pub fn with_health(self, health: Health) -> Self {
        Self { health: Some(health), ..self }
    }

    /// Returns the tracker of responses whose batches are not settled yet.
    pub fn in_flight(&self) -> InFlightResponses {
        self.in_flight.clone()
    }
}
