//! The application: builds the host from its configuration, runs and drains it.

mod watchdog;

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use secrecy::ExposeSecret as _;
use secrecy::SecretString;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::error;
use tracing::info;
use tracing::warn;

use crate::admin;
use crate::api;
use crate::config;
use crate::config::Config;
use crate::console;
use crate::http::Health;
use crate::http::auth::Keys;
use crate::http::listener::Listener;
use crate::http::listener::ReloadableTls;
use crate::http::listener::TlsConfig;
use crate::job_status::CspHold;
use crate::job_status::Statuses;
use crate::metrics;
use crate::observe::Observers;
use crate::peers::Peers;
use crate::registry::Registry;
use crate::reload;
use crate::reload::Reload;
use crate::replay;
use crate::replay::JournalStore;
use crate::replay::Recorder;
use crate::supervisor::Beat;
use crate::supervisor::PartEnded;
use crate::supervisor::Supervisor;
use crate::telemetry;
use crate::traces;
use crate::traces::Exporter;
use crate::traces::HostFacts;
use crate::traces::Tracer;
use crate::worker;
use crate::worker::CspRuntime;
use crate::worker::Drained;
use crate::worker::PauseSwitch;
use crate::worker::SecretWatch;
use crate::worker::ServedStages;
use crate::worker::Workers;
use hoth_core::domain::CspName;
use hoth_platform::clock::Clock;
use hoth_platform::descriptors;
use hoth_queue::Backend;
use hoth_queue::Queue;
use hoth_queue::QueueError;
use hoth_queue::QueueName;
use hoth_queue::Storage;
use hoth_queue::embedded::EmbeddedQueue;
use hoth_queue::embedded::SCHEMA_VERSION;
#[cfg(feature = "sqs")]
use hoth_queue::sqs::SqsQueue;
use hoth_runtime::Compiler;
use hoth_runtime::Engine;
use hoth_trail::Trail;

/// A role of a process; several hosts may share the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Role {
    /// Accept requests and deliver outcomes
    Api,
    /// Start accepted jobs
    Worker,
    /// Poll CSPs for waiting jobs and resume them
    Watcher,
}

impl Role {
    /// Returns the name, as the command line has it.
    fn name(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::Worker => "worker",
            Self::Watcher => "watcher",
        }
    }
}

/// The time that deletions of collected outcomes have to end.
const DELETIONS_GRACE: Duration = Duration::from_secs(1);

/// The time that the last spans have to be exported, at the end. It is a little
/// more than the exporter takes by itself, unless an export is under way.
const LAST_SPANS_GRACE: Duration = Duration::from_secs(3);

/// The time that open connections of both listeners have to end, after the
/// workers.
const CONNECTIONS_GRACE: Duration = Duration::from_secs(5);

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
        log_start(&config, &roles);
        let metrics = metrics::Recorder::install().context("setting up metrics")?;
        telemetry::register_metrics();
        replay::register_metrics(config.csp.values().map(|csp| csp.adapter.as_str()));
        let supervisor = Supervisor::new();
        let clock = Clock::system();
        let storage = open_queue(&config, &clock).await?;
        let trail = start_trail(&config, &clock, &supervisor)?;
        let (tracer, exporter) = tracer(&config, &clock)?;
        let journals = journals(&config, &clock);
        let registry = open_registry(&config, &journals, &clock).await?;
        let context = Arc::new(worker::Context {
            queue: Arc::new(metrics::MeasuredQueue::new(storage.queue())),
            registry: Arc::new(registry),
            retry: config.retry.policy(),
            polling: config.poll_policy(),
            lease: config.worker.lease(),
            recorder: recorder(&config, journals, &clock, &supervisor)?,
            supervisor,
            clock,
            observers: observers(&config, &trail, &tracer),
            tracer: tracer.clone(),
        });
        let csps = csps(&config, &context.clock)?;
        let orphaned = orphaned(&*context.queue, &config).await;
        let orphaned = orphaned.context("looking for jobs whose CSP is not configured")?;
        let keys = Keys::new(config.auth.open().context("reading the keys")?);
        if keys.is_open() {
            warn!(
                "No key is configured: both listeners accept every request from this machine, and listen on loopback only"
            );
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
        let peers = Peers::new(&config.console.peers, context.clock.clone());
        let peers = peers.context("setting up console.peers")?;
        let exposed = is_exposed(&config, api.is_some());
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

    fn served_stages(&self) -> ServedStages {
        ServedStages {
            requests: self.roles.contains(&Role::Worker),
            polls: self.roles.contains(&Role::Watcher),
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
        let registry = Arc::clone(&self.context.registry);
        let state = state
            .with_served(Arc::new(move |csp| registry.operations(csp)))
            .with_observers(self.context.observers.clone())
            .with_tracer(self.tracer.clone())
            .with_statuses(self.statuses());
        match &self.batch_key {
            None => state,
            Some(key) => state.with_batch_key(key.expose_secret().as_bytes()),
        }
    }

    fn statuses(&self) -> Statuses {
        let (csps, registry) = (self.csps.clone(), Arc::clone(&self.context.registry));
        let holds = move |name: &CspName| {
            let Some(csp) = csps.get(name) else { return Some(CspHold::Unknown) };
            csp.hold(&registry)
        };
        Statuses {
            queue: Arc::clone(&self.context.queue),
            trail: self.trail.clone(),
            clock: self.context.clock.clone(),
            holds: Arc::new(holds),
            deadline: self.context.polling.deadline,
            host: host_name(),
        }
    }

    fn host_facts(&self) -> admin::HostFacts {
        let (config, clock) = (&self.config, &self.context.clock);
        let (queue, folder) = match config.queue.backend() {
            Backend::Embedded { path, .. } => {
                let folder = path.parent().map(std::path::Path::to_owned);
                (format!("embedded, {}", path.display()), folder)
            }
            Backend::Sqs(_) => ("Amazon SQS".to_owned(), None),
        };
        admin::HostFacts {
            name: host_name(),
            version: env!("CARGO_PKG_VERSION"),
            roles: self.roles.iter().map(|role| role.name()).collect(),
            started_at: clock.now(),
            configuration: config.file.clone(),
            queue,
            folder,
        }
    }

    fn admin_state(&self, health: Health) -> admin::AdminState {
        let mut queues = QueueName::all(self.config.csp.keys());
        queues.extend_from_slice(&self.orphaned);
        admin::AdminState {
            queue: Arc::clone(&self.context.queue),
            storage: self.storage.clone(),
            stats: admin::StatsReader::new(Arc::clone(&self.context.queue), &queues),
            queues,
            registry: Arc::clone(&self.context.registry),
            csps: self.csps.clone(),
            metrics: self.metrics.clone(),
            listener_certificates: [
                ("api.tls", &self.reload.api_tls),
                ("admin.tls", &self.reload.admin_tls),
            ]
            .into_iter()
            .filter_map(|(which, tls)| Some((which, tls.clone()?)))
            .collect(),
            client_certificates: client_certificates(&self.config),
            keys: self.keys.clone(),
            clock: self.context.clock.clone(),
            observers: self.context.observers.clone(),
            trail: self.trail.clone(),
            statuses: self.statuses(),
            health,
            host: self.host_facts(),
        }
    }
}

/// The reason for the end of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
enum End {
    /// A signal asked the process to stop.
    StopRequested,
    /// The storage of the queue cannot be trusted any more.
    StorageFailed,
    /// A part of the host has ended, and a restart starts it again.
    PartEnded(PartEnded),
}

/// The tasks of a host that serves.
struct Running {
    workers: Workers,
    listeners: Vec<JoinHandle<()>>,
    /// Responses whose outcomes are deleted when the last byte has left.
    responses: api::InFlightResponses,
    exporter: Option<JoinHandle<()>>,
    /// Cancelled first: `/readyz` answers 503.
    draining: CancellationToken,
    /// Cancelled when the workers have ended: the listeners close.
    closing: CancellationToken,
    /// Cancelled last: no more spans come.
    exporting: CancellationToken,
}

impl Running {
    /// Stops the tasks in the order in which they depend on each other: the
    /// workers, then the listeners, then the deletions of collected outcomes,
    /// then the export of spans.
    ///
    /// The listeners stay open for at least `delay`, so that load balancers see
    /// the 503 of `/readyz` before a connection is refused.
    async fn drain(self, grace: Duration, delay: Duration, end: &End) {
        let (grace, delay) = match end {
            // The other parts work, so jobs in hand can end.
            End::StopRequested | End::PartEnded(_) => (grace, delay),
            // From here on nothing can be stored, so waiting for jobs is
            // futile.
            End::StorageFailed => {
                error!("Queue storage failed: stopping; a restart recovers the stored messages");
                (Duration::ZERO, Duration::ZERO)
            }
        };
        self.draining.cancel();
        info!("Draining: receiving no more jobs; jobs in hand have {grace:?} to end");
        let (drained, ()) = tokio::join!(self.workers.drain(grace), tokio::time::sleep(delay));
        if drained == Drained::Aborted && *end != End::StorageFailed {
            warn!("Some jobs did not end in time; their messages are back on their queues");
        }
        self.closing.cancel();
        // One bound for both, so that the whole stop has a bound.
        let listeners = futures_util::future::join_all(self.listeners);
        if tokio::time::timeout(CONNECTIONS_GRACE, listeners).await.is_err() {
            warn!("Some connections did not end in time");
        }
        self.responses.wait_for_all(DELETIONS_GRACE).await;
        self.exporting.cancel();
        if let Some(exporter) = self.exporter {
            let _ended = tokio::time::timeout(LAST_SPANS_GRACE, exporter).await;
        }
    }
}

/// Finds queues that hold messages of a CSP that is no longer configured.
async fn orphaned(queue: &dyn Queue, config: &Config) -> Result<Vec<QueueName>, QueueError> {
    let in_use = match queue.in_use().await {
        // On a shared backend such a queue may belong to another host.
        Err(QueueError::NotOffered(_)) => return Ok(Vec::new()),
        in_use => in_use?,
    };
    let is_gone = |name: &QueueName| name.csp().is_some_and(|csp| !config.csp.contains_key(csp));
    Ok(in_use.into_iter().filter(is_gone).collect())
}

/// Connections to the admin API: operators and scrapers are few.
const ADMIN_CONNECTIONS_MAX: usize = 256;

async fn open_queue(config: &Config, clock: &Clock) -> anyhow::Result<Storage> {
    match config.queue.backend() {
        Backend::Embedded { path, max_log_bytes } => {
            let redelivery_hours = config.api.redelivery_hours;
            let settings = hoth_queue::embedded::Config {
                path,
                redelivery_hours,
                log_max_bytes: max_log_bytes,
            };
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

/// Returns the name of this machine, for answers that say who has seen a job.
fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    match name.trim() {
        "" => "this host".to_owned(),
        name => name.to_owned(),
    }
}

/// Starts the trail with its writer, which opens the file.
fn start_trail(config: &Config, clock: &Clock, supervisor: &Supervisor) -> anyhow::Result<Trail> {
    let (trail, writer) = Trail::new(&config.trail, clock.clone());
    if let Some(writer) = writer {
        let started = supervisor.thread("trail-writer", || writer.run());
        started.context("starting the thread that writes the trail")?;
    }
    telemetry::record_acts(trail.clone(), clock.clone());
    Ok(trail)
}

async fn open_registry(
    config: &Config,
    journals: &Arc<JournalStore>,
    clock: &Clock,
) -> anyhow::Result<Registry> {
    let engine = Engine::with(&config.adapters, Compiler::Subprocess)
        .context("setting up the adapter engine")?;
    let trust = config.trust().context("reading adapters.trusted_keys")?;
    let replayer =
        replay::Replayer::new(config.replay.clone(), Arc::clone(journals), clock.clone());
    let opened = Registry::open(
        engine,
        trust,
        replayer,
        clock.clone(),
        &config.adapters.directory,
        config.csp_requirements(),
        config.poll_policy().deadline,
    );
    opened.await.context("opening the adapter registry")
}

/// Makes the tracer, and its exporter if one is configured.
fn tracer(config: &Config, clock: &Clock) -> anyhow::Result<(Tracer, Option<Exporter>)> {
    let system = match config.queue.backend() {
        Backend::Embedded { .. } => "hoth",
        Backend::Sqs(_) => "aws_sqs",
    };
    let adapter =
        |(name, csp): (&CspName, &hoth_egress::Config)| (name.clone(), csp.adapter.clone());
    let facts = || HostFacts {
        messaging_system: system,
        adapters: config.csp.iter().map(adapter).collect(),
        resource: traces::resource(config::resource_attributes().as_deref()),
    };
    Tracer::new(&config.telemetry, facts, clock.clone()).context("setting up the export of traces")
}

/// Opens the store of journals and removes the expired ones.
fn journals(config: &Config, clock: &Clock) -> Arc<JournalStore> {
    let store = JournalStore::new(config.replay.directory.clone(), config.replay.limits());
    store.prune_all(clock.now());
    Arc::new(store)
}

/// Returns `true` if other machines can reach a listener.
fn is_exposed(config: &Config, has_api: bool) -> bool {
    !config.admin.listen.ip().is_loopback() || has_api && !config.api.listen.ip().is_loopback()
}

fn recorder(
    config: &Config,
    journals: Arc<JournalStore>,
    clock: &Clock,
    supervisor: &Supervisor,
) -> anyhow::Result<Recorder> {
    let recorder = Recorder::start(&config.replay, journals, clock.clone(), supervisor);
    recorder.context("starting the thread that writes journals")
}

/// Logs the first line of a host: the program, and what it was told to do.
fn log_start(config: &Config, roles: &BTreeSet<Role>) {
    let names: Vec<&str> = roles.iter().copied().map(Role::name).collect();
    // The schema of the queue file, to which a file of an earlier one is
    // brought.
    let (backend, queue_schema) = match config.queue.backend() {
        Backend::Embedded { .. } => ("embedded", Some(SCHEMA_VERSION)),
        Backend::Sqs(_) => ("sqs", None),
    };
    info!(
        event = "start",
        version = env!("CARGO_PKG_VERSION"),
        commit = option_env!("HOTH_COMMIT").unwrap_or("unknown"),
        pid = std::process::id(),
        roles = names.join(","),
        config = %config.file.display(),
        config_sha256 = config.keys.of_file().map(tracing::field::display),
        queue = backend,
        queue_schema,
        "Host starts"
    );
}

/// Returns the parts that learn what happens to jobs.
fn observers(config: &Config, trail: &Trail, tracer: &Tracer) -> Observers {
    let meter = metrics::JobMeter::new(config.csp.keys(), config.poll_policy().deadline);
    Observers::new(vec![Arc::new(trail.clone()), Arc::new(meter), Arc::new(tracer.clone())])
}

/// Returns the certificate files of all CSPs, each with the key that names it.
fn client_certificates(config: &Config) -> Vec<(String, PathBuf)> {
    let of_csp = |(name, csp): (&CspName, &hoth_egress::Config)| {
        let prefix = format!("csp.{name}");
        csp.certificates().into_iter().map(move |(key, file)| (format!("{prefix}.{key}"), file))
    };
    config.csp.iter().flat_map(of_csp).collect()
}

fn csps(config: &Config, clock: &Clock) -> anyhow::Result<BTreeMap<CspName, CspRuntime>> {
    let build = |(name, settings): (&CspName, &hoth_egress::Config)| {
        let client = hoth_egress::Client::build(name, settings)
            .with_context(|| format!("setting up the client of {name}"))?;
        let csp = CspRuntime {
            name: name.clone(),
            adapter: settings.adapter.clone(),
            client,
            gets_traces: config.telemetry.propagate_to.contains(name),
            pause: PauseSwitch::new(settings.paused, clock.now()),
            secrets: SecretWatch::open(name, settings),
            max_concurrent: settings.max_concurrent,
        };
        Ok((name.clone(), csp))
    };
    config.csp.iter().map(build).collect()
}

/// Returns the configured number of connections, lowered to what the system's
/// file descriptors allow. Operators and calls to CSPs have theirs reserved.
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
    // Tests and tools read the fields to learn that the host is ready.
    info!(event = "listening", listener = what, %address, tls = encrypted, "Listening");
    if !encrypted && !address.ip().is_loopback() {
        warn!(%address, "Keys and messages arrive in the clear; something before it should speak TLS");
    }
    Ok(listener)
}
