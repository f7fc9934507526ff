//! The parts of a host, opened from its configuration.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;

use crate::activity::Activity;
use crate::config;
use crate::config::Config;
use crate::metrics;
use crate::observe::Observers;
use crate::registry::Registry;
use crate::registry::Tools;
use crate::replay;
use crate::replay::JournalStore;
use crate::replay::Recorder;
use crate::supervisor::Supervisor;
use crate::telemetry;
use crate::traces;
use crate::traces::Exporter;
use crate::traces::HostFacts;
use crate::traces::Tracer;
use crate::worker::CspRuntime;
use crate::worker::PauseSwitch;
use crate::worker::SecretWatch;
use hoth_core::domain::CspName;
use hoth_platform::clock::Clock;
use hoth_queue::Backend;
use hoth_queue::Queue;
use hoth_queue::QueueError;
use hoth_queue::QueueName;
use hoth_queue::Storage;
use hoth_queue::embedded::EmbeddedQueue;
#[cfg(feature = "sqs")]
use hoth_queue::sqs::SqsQueue;
use hoth_runtime::Compiler;
use hoth_runtime::Engine;
use hoth_trail::Trail;

pub async fn open_queue(config: &Config, clock: &Clock) -> anyhow::Result<Storage> {
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

/// Finds queues that hold messages of a CSP that is no longer configured.
pub async fn orphaned(queue: &dyn Queue, config: &Config) -> Result<Vec<QueueName>, QueueError> {
    let in_use = match queue.in_use().await {
        // On a shared backend such a queue may belong to another host.
        Err(QueueError::NotOffered(_)) => return Ok(Vec::new()),
        in_use => in_use?,
    };
    let is_gone = |name: &QueueName| name.csp().is_some_and(|csp| !config.csp.contains_key(csp));
    Ok(in_use.into_iter().filter(is_gone).collect())
}

/// Starts the trail with its writer, which opens the file.
pub fn start_trail(
    config: &Config,
    clock: &Clock,
    supervisor: &Supervisor,
) -> anyhow::Result<Trail> {
    let (trail, writer) = Trail::new(&config.trail, clock.clone());
    if let Some(writer) = writer {
        let started = supervisor.thread("trail-writer", || writer.run());
        started.context("starting the thread that writes the trail")?;
    }
    telemetry::record_acts(trail.clone(), clock.clone());
    Ok(trail)
}

pub async fn open_registry(
    config: &Config,
    journals: &Arc<JournalStore>,
    clock: &Clock,
    tracer: &Tracer,
) -> anyhow::Result<Registry> {
    let engine = Engine::with(&config.adapters, Compiler::Subprocess)
        .context("setting up the adapter engine")?;
    let trust = config.trust().context("reading adapters.trusted_keys")?;
    let replayer =
        replay::Replayer::new(config.replay.clone(), Arc::clone(journals), clock.clone());
    let tools = Tools { engine, trust, replayer, clock: clock.clone(), tracer: tracer.clone() };
    let opened = Registry::open(
        tools,
        &config.adapters.directory,
        config.csp_requirements(),
        config.poll_policy().deadline,
    );
    opened.await.context("opening the adapter registry")
}

/// Makes the tracer, and its exporter if one is configured.
pub fn tracer(config: &Config, clock: &Clock) -> anyhow::Result<(Tracer, Option<Exporter>)> {
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
pub fn journals(config: &Config, clock: &Clock) -> Arc<JournalStore> {
    let store = JournalStore::new(config.replay.directory.clone(), config.replay.limits());
    store.prune_all(clock.now());
    Arc::new(store)
}

pub fn recorder(
    config: &Config,
    journals: Arc<JournalStore>,
    clock: &Clock,
    supervisor: &Supervisor,
) -> anyhow::Result<Recorder> {
    let recorder = Recorder::start(&config.replay, journals, clock.clone(), supervisor);
    recorder.context("starting the thread that writes journals")
}

/// Returns the parts that learn what happens to jobs.
pub fn observers(
    config: &Config,
    trail: &Trail,
    tracer: &Tracer,
    activity: &Activity,
) -> Observers {
    let meter = metrics::JobMeter::new(config.csp.keys(), config.poll_policy().deadline);
    Observers::new(vec![
        Arc::new(trail.clone()),
        Arc::new(meter),
        Arc::new(tracer.clone()),
        Arc::new(activity.clone()),
    ])
}

/// Returns the certificate files of all CSPs, each with the key that names it.
pub fn client_certificates(config: &Config) -> Vec<(String, PathBuf)> {
    let of_csp = |(name, csp): (&CspName, &hoth_egress::Config)| {
        let prefix = format!("csp.{name}");
        csp.certificates().into_iter().map(move |(key, file)| (format!("{prefix}.{key}"), file))
    };
    config.csp.iter().flat_map(of_csp).collect()
}

pub fn csps(config: &Config, clock: &Clock) -> anyhow::Result<BTreeMap<CspName, CspRuntime>> {
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
