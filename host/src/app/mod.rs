//! The application: builds the host from its configuration, runs and drains it.

mod listeners;
mod parts;
mod role;
mod running;
mod start;
mod states;
mod watchdog;

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::future::Future;
use std::sync::Arc;

use anyhow::Context as _;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use secrecy::SecretString;
use tokio_util::sync::CancellationToken;
use tracing::info;
use tracing::warn;

use self::listeners::Listeners;
pub use self::role::Role;
use self::running::End;
use self::running::Running;
use crate::activity::Activity;
use crate::admin;
use crate::api;
use crate::config::Config;
use crate::console;
use crate::http::Health;
use crate::http::auth::Keys;
use crate::http::listener::Listener;
use crate::metrics;
use crate::peers::Peers;
use crate::reload;
use crate::reload::Reload;
use crate::replay;
use crate::replay::JournalStore;
use crate::supervisor::Beat;
use crate::supervisor::Supervisor;
use crate::telemetry;
use crate::traces::Exporter;
use crate::traces::Tracer;
use crate::worker;
use crate::worker::CspRuntime;
use crate::worker::Drain;
use crate::worker::Workers;
use hoth_core::domain::CspName;
use hoth_platform::clock::Clock;
use hoth_queue::QueueName;
use hoth_queue::Storage;
use hoth_trail::Trail;

/// A host, ready to run.
pub struct App {
    config: Config,
    roles: BTreeSet<Role>,
    storage: Storage,
    context: Arc<worker::Context>,
    csps: BTreeMap<CspName, CspRuntime>,
    orphaned: Vec<QueueName>,
    keys: Keys,
    batch_key: Option<SecretString>,
    api: Option<Listener>,
    admin: Listener,
    reload: Reload,
    metrics: metrics::Recorder,
    trail: Trail,
    journals: Arc<JournalStore>,
    activity: Activity,
    tracer: Tracer,
    exporter: Option<Exporter>,
    peers: Arc<Peers>,
}

impl App {
    /// Opens the queue, loads the adapters and binds the listeners. Clients can
    /// connect from here on; [`App::run`] serves them.
    pub async fn build(config: Config, roles: BTreeSet<Role>) -> anyhow::Result<Self> {
        // Before any file is read, so that a file which changes meanwhile is
        // seen to have changed.
        let seen = reload::digest_files(&config).await;
        start::log(&config, &roles);
        let metrics = metrics::Recorder::install().context("setting up metrics")?;
        telemetry::register_metrics();
        replay::register_metrics(config.csp.values().map(|csp| csp.adapter.as_str()));
        let supervisor = Supervisor::new();
        let clock = Clock::system();
        let storage = parts::open_queue(&config, &clock).await?;
        let trail = parts::start_trail(&config, &clock, &supervisor)?;
        let (tracer, exporter) = parts::tracer(&config, &clock)?;
        let journals = parts::journals(&config, &clock);
        let activity = Activity::new(config.csp.keys(), clock.clone());
        let registry = parts::open_registry(&config, &journals, &clock, &tracer).await?;
        let context = Arc::new(worker::Context {
            queue: Arc::new(metrics::MeasuredQueue::new(storage.queue())),
            registry: Arc::new(registry),
            retry: config.retry.policy(),
            polling: config.poll_policy(),
            lease: config.worker.lease(),
            recorder: parts::recorder(&config, Arc::clone(&journals), &clock, &supervisor)?,
            supervisor,
            observers: parts::observers(&config, &trail, &tracer, &activity),
            drain: Drain::new(clock.now()),
            clock,
            tracer: tracer.clone(),
        });
        let csps = parts::csps(&config, &context.clock)?;
        let orphaned = parts::orphaned(&*context.queue, &config).await;
        let orphaned = orphaned.context("looking for jobs whose CSP is not configured")?;
        let keys = Keys::new(config.auth.open().context("reading the keys")?);
        if keys.is_open() {
            warn!(
                "No key is configured: both listeners accept every request from this machine, and listen on loopback only"
            );
        }
        let batch_key = config.api.batch_key.as_ref().map(|source| source.read()).transpose();
        let batch_key = batch_key.context("reading api.batch_key")?;
        let Listeners { api, api_tls, admin, admin_tls } =
            Listeners::bind(&config, roles.contains(&Role::Api)).await?;
        let peers = Peers::new(&config.console.peers, context.clock.clone());
        let peers = peers.context("setting up console.peers")?;
        let exposed = listeners::is_exposed(&config, api.is_some());
        let (keys_to_reload, clock) = (keys.clone(), context.clock.clone());
        let reload = Reload { seen, keys: keys_to_reload, api_tls, admin_tls, exposed, clock };
        Ok(Self {
            config,
            roles,
            storage,
            context,
            csps,
            orphaned,
            keys,
            batch_key,
            api,
            admin,
            reload,
            metrics,
            trail,
            journals,
            activity,
            tracer,
            exporter,
            peers: Arc::new(peers),
        })
    }

    /// Serves until `stop` completes, storage fails, or a part of the host ends
    /// by itself. Then drains: no new requests, jobs in hand end, and the rest
    /// returns to its queues.
    ///
    /// # Errors
    ///
    /// Storage has failed or a part has ended, so the process must start again.
    pub async fn run(self, stop: impl Future<Output = ()>) -> anyhow::Result<()> {
        let (grace, delay) = (self.config.worker.drain(), self.config.shutdown.delay());
        let storage = self.storage.clone();
        let supervisor = self.context.supervisor.clone();
        // A supervisor waits for the line that says that the host listens, and
        // a crash would lose it in the buffer.
        telemetry::flush_logs();
        let alive = self.start_watchdog().context("starting the watchdog")?;
        let trail = self.trail.clone();
        let running = self.spawn(alive);
        let end = tokio::select! {
            () = stop => End::StopRequested,
            () = storage.failed() => End::StorageFailed,
            ended = supervisor.part_ended() => End::PartEnded(ended),
        };
        running.drain(grace, delay, &end).await;
        storage.close().await;
        trail.end().await;
        match end {
            End::StopRequested => {
                info!("Stopped");
                Ok(())
            }
            End::PartEnded(ended) => Err(ended.into()),
            End::StorageFailed => Err(match storage.failure() {
                Some(failure) => anyhow::Error::new(failure).context("queue storage failed"),
                None => anyhow::anyhow!("queue storage failed"),
            }),
        }
    }

    /// Starts the tasks: workers, watchers of files, and both listeners.
    fn spawn(self, alive: Beat) -> Running {
        let (draining, closing) = (CancellationToken::new(), CancellationToken::new());
        let workers =
            Workers::start(&self.context, &self.csps, &self.orphaned, self.served_stages());
        let health = Health::new(Arc::clone(&self.context.queue), draining.clone());
        let admin_state = Arc::new(self.admin_state(health.clone()));
        let mut admin_router = admin::router(&admin_state);
        if self.config.console.enabled {
            let (config, keys) = (self.config.console.clone(), self.keys.clone());
            let peers = Arc::clone(&self.peers);
            let console = console::ConsoleState::new(admin_state, config, peers, keys);
            admin_router = admin_router.merge(console::router(console));
        }
        let api_state = self.api_state().with_health(health).with_closing(closing.clone());
        let responses = api_state.in_flight();
        let api_router = api::router(api_state);
        let part = |name: &str, work: BoxFuture<'static, ()>| {
            let supervisor = &self.context.supervisor;
            tokio::spawn(supervisor.until_stopped(name, closing.clone(), work))
        };
        let registry = Arc::clone(&self.context.registry);
        let until_closing = closing.clone();
        let watch = async move { registry.watch(until_closing, || alive.beat()).await };
        part("the watcher of the adapters directory", watch.boxed());
        part("the upkeep of metrics", self.metrics.upkeep().boxed());
        part(
            "the watcher of the configuration",
            self.reload.watch(self.config.clone(), closing.clone()).boxed(),
        );
        // The crates of the queue and of the runtime start these.
        part("a background task of the queue", self.storage.task_panicked());
        let interrupter_ended = self.context.registry.interrupter_ended();
        part("the thread that interrupts adapters", interrupter_ended.boxed());
        let serve = self.admin.serve(admin_router, closing.clone());
        let admin = part("the admin listener", serve.boxed());
        let serve = self.api.map(|api| api.serve(api_router, closing.clone()).boxed());
        let api = serve.map(|serve| part("the API listener", serve));
        let listeners = api.into_iter().chain([admin]).collect();
        let exporting = CancellationToken::new();
        let exporter = self.exporter.map(|exporter| {
            let export = exporter.run(exporting.clone());
            let supervisor = &self.context.supervisor;
            let name = "the exporter of traces";
            tokio::spawn(supervisor.until_stopped(name, exporting.clone(), export))
        });
        Running { workers, listeners, responses, exporter, draining, closing, exporting }
    }
}
