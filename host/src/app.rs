//! The parts put together: build, run, drain.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use secrecy::ExposeSecret as _;
use secrecy::SecretString;
use tokio_util::sync::CancellationToken;
use tracing::error;
use tracing::info;
use tracing::warn;

use crate::admin;
use crate::api;
use crate::config::Backend;
use crate::config::Config;
use crate::http::auth::Keys;
use crate::http::listener::Listener;
use crate::http::listener::ReloadableTls;
use crate::http::listener::TlsConfig;
use crate::registry::Registry;
use crate::reload;
use crate::reload::Reload;
use crate::replay;
use crate::replay::JournalStore;
use crate::replay::Recorder;
use crate::telemetry;
use crate::worker;
use crate::worker::Destination;
use crate::worker::Duties;
use crate::worker::Gate;
use crate::worker::Workers;
use hoth_core::domain::CspName;
use hoth_platform::clock::Clock;
use hoth_platform::descriptors;
use hoth_queue::Queue;
use hoth_queue::QueueError;
use hoth_queue::QueueName;
use hoth_queue::Storage;
use hoth_queue::embedded::EmbeddedQueue;
#[cfg(feature = "sqs")]
use hoth_queue::sqs::SqsQueue;
use hoth_runtime::Compiler;
use hoth_runtime::Engine;

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
const DELETIONS_GRACE: Duration = Duration::from_secs(1);

/// How long open connections may take to end after the workers have.
const CONNECTIONS_GRACE: Duration = Duration::from_secs(5);

/// A host, ready to run.
pub struct App {
    config: Config,
    roles: BTreeSet<Role>,
    storage: Storage,
    context: Arc<worker::Context>,
    destinations: BTreeMap<CspName, Destination>,
    forsaken: Vec<QueueName>,
    keys: Keys,
    batch_key: Option<SecretString>,
    api: Option<Listener>,
    admin: Listener,
    reload: Reload,
    metrics: metrics_exporter_prometheus::PrometheusHandle,
}

impl App {
    /// Opens the queue, loads the adapters and binds the listeners. From here
    /// on clients can connect; they are served by [`App::run`].
    pub async fn build(config: Config, roles: BTreeSet<Role>) -> anyhow::Result<Self> {
        // Before anything is read that may change meanwhile.
        let seen = reload::look(&config).await;
        let metrics = telemetry::start_metrics().context("setting up metrics")?;
        let clock = Clock::system();
        let storage = open_queue(&config, &clock).await?;
        let engine = Engine::with(&config.adapters, Compiler::Apart)
            .context("setting up the adapter engine")?;
        let trust = config.trust().context("reading whose adapters to trust")?;
        let directory = &config.adapters.directory;
        let journals = journals(&config, &clock);
        let replayer =
            replay::Replayer::new(config.replay.clone(), Arc::clone(&journals), clock.clone());
        let registry = Registry::open(
            engine,
            trust,
            replayer,
            clock.clone(),
            directory,
            config.csp_requirements(),
        )
        .await
        .context("opening the adapter registry")?;
        let context = Arc::new(worker::Context {
            queue: storage.queue(),
            registry: Arc::new(registry),
            retry: config.retry.policy(),
            polling: config.poll_policy(),
            lease: Duration::from_secs(config.worker.lease_seconds),
            recorder: Recorder::start(&config.replay, journals, clock.clone())
                .context("starting the thread that writes journals")?,
            clock,
        });
        let destinations = destinations(&config)?;
        let forsaken = forsaken(&*context.queue, &config).await;
        let forsaken = forsaken.context("looking for jobs whose CSP is not configured")?;
        let keys = Keys::new(config.auth.open().context("reading the keys")?);
        if keys.is_open() {
            warn!("No key is configured: everybody on this machine is let in, nobody else");
        }
        let batch_key = config.api.batch_key.as_ref().map(|source| source.read()).transpose();
        let batch_key = batch_key.context("reading api.batch_key")?;
        let (api_tls, admin_tls) = (tls(&config.api.tls)?, tls(&config.admin.tls)?);
        let (listen, connections) = (config.api.listen, api_connections(&config));
        let api = match roles.contains(&Role::Api) {
            true => Some(bind("api", &config, listen, connections, api_tls.clone()).await?),
            false => None,
        };
        let listen = config.admin.listen;
        let admin =
            bind("admin", &config, listen, ADMIN_CONNECTIONS_MAX, admin_tls.clone()).await?;
        let exposed = !config.admin.listen.ip().is_loopback()
            || api.is_some() && !config.api.listen.ip().is_loopback();
        let reload = Reload { seen, keys: keys.clone(), api_tls, admin_tls, exposed };
        Ok(Self {
            config,
            roles,
            storage,
            context,
            destinations,
            forsaken,
            keys,
            batch_key,
            api,
            admin,
            reload,
            metrics,
        })
    }

    /// Serves until `stop` ends or storage fails, then drains: no new
    /// requests, what is in hand ends, and the rest goes back to its queue.
    pub async fn run(self, stop: impl Future<Output = ()>) -> anyhow::Result<()> {
        let drain = Duration::from_millis(self.config.worker.drain_ms);
        let (draining, closing) = (CancellationToken::new(), CancellationToken::new());
        let workers =
            Workers::start(&self.context, &self.destinations, &self.forsaken, self.duties());
        let watched = Arc::clone(&self.context.registry);
        let watching = closing.clone();
        tokio::spawn(async move { watched.watch(watching).await });
        let admin_router = admin::router(self.admin_state(draining.clone()));
        let api_state = self.api_state();
        let in_flight = api_state.in_flight();
        let api_router = api::router(api_state);
        tokio::spawn(self.reload.watch(self.config.clone(), closing.clone()));
        let admin = tokio::spawn(self.admin.serve(admin_router, closing.clone()));
        let api = self.api.map(|api| tokio::spawn(api.serve(api_router, closing.clone())));

        let failed = tokio::select! {
            () = stop => false,
            () = self.storage.failed() => true,
        };
        if failed {
            // Nothing that is acknowledged from here on could be kept.
            error!("Queue storage failed; the host stops, and a restart recovers what was stored");
        }
        draining.cancel();
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
        in_flight.wait_for_all(DELETIONS_GRACE).await;
        self.storage.close().await;
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
        let state = api::ApiState::new(
            &self.config.api,
            self.keys.clone(),
            self.config.limits.rate(),
            self.config.limits.timeouts().send,
            Arc::clone(&self.context.queue),
            self.config.offers(),
            self.context.clock.clone(),
        );
        match &self.batch_key {
            None => state,
            Some(key) => state.with_batch_key(key.expose_secret().as_bytes()),
        }
    }

    fn admin_state(&self, draining: CancellationToken) -> admin::AdminState {
        let mut queues = QueueName::all(self.config.csp.keys());
        queues.extend_from_slice(&self.forsaken);
        admin::AdminState {
            queue: Arc::clone(&self.context.queue),
            queues,
            registry: Arc::clone(&self.context.registry),
            csps: self.destinations.clone(),
            metrics: self.metrics.clone(),
            keys: self.keys.clone(),
            clock: self.context.clock.clone(),
            draining,
        }
    }
}

/// Queues that hold something, and whose CSP is not in the configuration any
/// more.
async fn forsaken(queue: &dyn Queue, config: &Config) -> Result<Vec<QueueName>, QueueError> {
    let in_use = match queue.in_use().await {
        // There the queues of others are none of this host's business.
        Err(QueueError::NotOffered(_)) => return Ok(Vec::new()),
        in_use => in_use?,
    };
    let is_gone = |name: &QueueName| name.csp().is_some_and(|csp| !config.csp.contains_key(csp));
    Ok(in_use.into_iter().filter(is_gone).collect())
}

/// Operators and scrapers: few, and never more than this.
const ADMIN_CONNECTIONS_MAX: usize = 256;

async fn open_queue(config: &Config, clock: &Clock) -> anyhow::Result<Storage> {
    match config.queue.backend() {
        Backend::Embedded { path } => {
            let redelivery_hours = config.api.redelivery_hours;
            let settings = hoth_queue::embedded::Config { path, redelivery_hours };
            let opened = EmbeddedQueue::open(&settings, clock.clone())
                .with_context(|| format!("opening the queue {}", settings.path.display()))?;
            Ok(Storage::Embedded(Arc::new(opened)))
        }
        #[cfg(not(feature = "sqs"))]
        Backend::Sqs(_) => anyhow::bail!("this build of hoth has no SQS backend"),
        #[cfg(feature = "sqs")]
        Backend::Sqs(settings) => {
            let queues = QueueName::all(config.csp.keys());
            let opened = SqsQueue::open(&settings, queues).await.context("opening the queues")?;
            Ok(Storage::Sqs(Arc::new(opened)))
        }
    }
}

/// Written by those who work, and let go of by all.
fn journals(config: &Config, clock: &Clock) -> Arc<JournalStore> {
    let store = JournalStore::new(config.replay.directory.clone(), config.replay.limits());
    store.prune_all(clock.now());
    Arc::new(store)
}

fn destinations(config: &Config) -> anyhow::Result<BTreeMap<CspName, Destination>> {
    let build = |(name, settings): (&CspName, &hoth_egress::Config)| {
        let client = hoth_egress::Client::build(name, settings)
            .with_context(|| format!("setting up the way to {name}"))?;
        let destination = Destination {
            name: name.clone(),
            adapter: settings.adapter.clone(),
            client,
            gate: Gate::new(!settings.paused),
            max_concurrent: settings.max_concurrent,
        };
        Ok((name.clone(), destination))
    };
    config.csp.iter().map(build).collect()
}

/// What the configuration asks for, as far as there are descriptors: operators
/// and calls to CSPs have theirs in any case.
fn api_connections(config: &Config) -> usize {
    let wanted = config.api.max_connections;
    let calls: usize = config.csp.values().map(|csp| csp.max_concurrent.get() as usize).sum();
    let limit = descriptors::raise_limit();
    let granted = descriptors::connections(limit, wanted, ADMIN_CONNECTIONS_MAX + calls);
    if granted < wanted {
        warn!(
            limit,
            "api.max_connections is {granted} instead of {wanted}: the system grants this process \
             no more file descriptors"
        );
    }
    granted
}

fn tls(config: &Option<TlsConfig>) -> anyhow::Result<Option<ReloadableTls>> {
    let opened = config.as_ref().map(TlsConfig::open).transpose();
    Ok(opened.context("reading the certificate of a listener")?.map(ReloadableTls::new))
}

async fn bind(
    what: &str,
    config: &Config,
    address: SocketAddr,
    connections_max: usize,
    tls: Option<ReloadableTls>,
) -> anyhow::Result<Listener> {
    let encrypted = tls.is_some();
    let listener = Listener::bind(address, connections_max)
        .await
        .with_context(|| format!("binding {what}.listen = {address}"))?
        .with_timeouts(config.limits.timeouts())
        .with_tls(tls);
    let address = listener.local_addr().context("asking for the bound address")?;
    info!(%address, tls = encrypted, "Listening for {what}");
    if !encrypted && !address.ip().is_loopback() {
        warn!(%address, "Keys and messages arrive in the clear; something before it should speak TLS");
    }
    Ok(listener)
}
