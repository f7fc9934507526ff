//! The parts put together: build, run, drain.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio_util::sync::CancellationToken;
use tracing::error;
use tracing::info;
use tracing::warn;

use crate::adapter::Engine;
use crate::admin;
use crate::api;
use crate::clock::Clock;
use crate::config::Backend;
use crate::config::Config;
use crate::csp;
use crate::domain::CspName;
use crate::listener::Listener;
use crate::queue;
use crate::queue::Queue;
use crate::queue::embedded::EmbeddedQueue;
use crate::registry::Registry;
use crate::telemetry;
use crate::worker;
use crate::worker::Destination;
use crate::worker::Duties;
use crate::worker::Gate;
use crate::worker::Workers;

/// What a process does; several hosts may share the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Role {
    /// Accept requests and hand out outcomes.
    Api,
    /// Begin accepted jobs.
    Worker,
    /// Resume jobs that a CSP works on.
    Watcher,
}

/// How long deletions may take of outcomes that have been collected.
const SETTLING_GRACE: Duration = Duration::from_secs(1);

/// How long open connections may take to end after the workers have.
const CONNECTIONS_GRACE: Duration = Duration::from_secs(5);

/// A host, ready to run.
pub struct App {
    config: Config,
    roles: BTreeSet<Role>,
    queue: Arc<EmbeddedQueue>,
    context: Arc<worker::Context>,
    destinations: BTreeMap<CspName, Destination>,
    api: Option<Listener>,
    admin: Listener,
    metrics: metrics_exporter_prometheus::PrometheusHandle,
}

impl App {
    /// Opens the queue, loads the adapters and binds the listeners. From here
    /// on clients can connect; they are served by [`App::run`].
    pub async fn build(config: Config, roles: BTreeSet<Role>) -> anyhow::Result<Self> {
        let metrics = telemetry::start_metrics().context("setting up metrics")?;
        let clock = Clock::system();
        let queue = match config.queue.backend {
            Backend::Embedded => open_embedded(&config, &clock)?,
        };
        let engine = Engine::new(&config.adapters).context("setting up the adapter engine")?;
        let wants =
            config.csp.iter().map(|(name, csp)| (name.clone(), csp.adapter.clone())).collect();
        let registry = Registry::open(engine, clock.clone(), &config.adapters.directory, wants)
            .await
            .context("opening the adapter registry")?;
        let context = Arc::new(worker::Context {
            queue: Arc::clone(&queue) as Arc<dyn Queue>,
            registry: Arc::new(registry),
            retry: config.retry.policy(),
            polling: config.poll_policy(),
            clock,
        });
        let destinations = destinations(&config)?;
        let api = match roles.contains(&Role::Api) {
            true => Some(bind("api", config.api.listen, config.api.max_connections).await?),
            false => None,
        };
        let admin = bind("admin", config.admin.listen, ADMIN_CONNECTIONS_MAX).await?;
        Ok(Self { config, roles, queue, context, destinations, api, admin, metrics })
    }

    /// Serves until `stop` ends or storage fails, then drains: no new
    /// requests, what is in hand ends, and the rest goes back to its queue.
    pub async fn run(self, stop: impl Future<Output = ()>) -> anyhow::Result<()> {
        let drain = Duration::from_millis(self.config.worker.drain_ms);
        let closing = CancellationToken::new();
        let workers = Workers::start(Arc::clone(&self.context), &self.destinations, self.duties());
        let watched = Arc::clone(&self.context.registry);
        let watching = closing.clone();
        tokio::spawn(async move { watched.watch(watching).await });
        let admin_router = admin::router(self.admin_state());
        let api_state = self.api_state();
        let settling = api_state.settling();
        let api_router = api::router(api_state);
        let admin = tokio::spawn(self.admin.serve(admin_router, closing.clone()));
        let api = self.api.map(|api| tokio::spawn(api.serve(api_router, closing.clone())));

        let failed = tokio::select! {
            () = stop => false,
            () = self.queue.failed() => true,
        };
        if failed {
            // Nothing that is acknowledged from here on could be kept.
            error!("Queue storage failed; the host stops, and a restart recovers what was stored");
        }
        info!("Draining: no new work, and up to {drain:?} for what is in hand");
        let drained = workers.drain(if failed { Duration::ZERO } else { drain }).await;
        if !drained && !failed {
            warn!("Some jobs did not end in time; they are back on their queues");
        }
        closing.cancel();
        for server in api.into_iter().chain([admin]) {
            if tokio::time::timeout(CONNECTIONS_GRACE, server).await.is_err() {
                warn!("Some connections did not end in time");
            }
        }
        settling.all_settled(SETTLING_GRACE).await;
        self.queue.close().await;
        anyhow::ensure!(!failed, "queue storage failed");
        info!("Stopped");
        Ok(())
    }

    fn duties(&self) -> Duties {
        Duties {
            requests: self.roles.contains(&Role::Worker),
            waiting: self.roles.contains(&Role::Watcher),
        }
    }

    fn api_state(&self) -> api::ApiState {
        api::ApiState::new(
            &self.config.api,
            &self.config.auth,
            Arc::clone(&self.context.queue),
            self.config.csp_names(),
            self.context.clock.clone(),
        )
    }

    fn admin_state(&self) -> admin::AdminState {
        admin::AdminState {
            queue: Arc::clone(&self.context.queue),
            queues: queue::QueueName::all(self.config.csp.keys()),
            registry: Arc::clone(&self.context.registry),
            gates: self.destinations.iter().map(|(n, d)| (n.clone(), d.gate.clone())).collect(),
            metrics: self.metrics.clone(),
            keys: api::Keys::new(&self.config.auth),
        }
    }
}

/// Operators and scrapers: few, and never more than this.
const ADMIN_CONNECTIONS_MAX: usize = 256;

fn open_embedded(config: &Config, clock: &Clock) -> anyhow::Result<Arc<EmbeddedQueue>> {
    let settings = queue::embedded::Config {
        path: config.queue.path.clone(),
        redelivery_hours: config.api.redelivery_hours,
    };
    let opened = EmbeddedQueue::open(&settings, clock.clone());
    Ok(Arc::new(opened.with_context(|| format!("opening the queue {}", settings.path.display()))?))
}

fn destinations(config: &Config) -> anyhow::Result<BTreeMap<CspName, Destination>> {
    let build = |(name, settings): (&CspName, &csp::Config)| {
        let client = csp::Client::build(name, settings)
            .with_context(|| format!("setting up the way to {name}"))?;
        let destination = Destination {
            name: name.clone(),
            client,
            gate: Gate::default(),
            max_concurrent: settings.max_concurrent,
        };
        Ok((name.clone(), destination))
    };
    config.csp.iter().map(build).collect()
}

async fn bind(
    what: &str,
    address: std::net::SocketAddr,
    connections_max: usize,
) -> anyhow::Result<Listener> {
    let listener = Listener::bind(address, connections_max)
        .await
        .with_context(|| format!("binding {what}.listen = {address}"))?;
    let address = listener.local_addr().context("asking for the bound address")?;
    info!(%address, "Listening for {what}");
    Ok(listener)
}
