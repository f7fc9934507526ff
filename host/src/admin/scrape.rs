//! `GET /metrics`: the metrics of the process, and the state of its parts at the
//! time of the scrape.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use tracing::warn;

use super::queue_stats::StatsError;
use super::queue_stats::WAIT_MAX;
use super::state::AdminState;
use crate::metrics::CONTENT_TYPE;
use crate::metrics::Exposition;
use crate::metrics::Gauge;
use crate::metrics::HistogramValue;
use crate::metrics::Labels;
use crate::metrics::table;
use crate::registry::AdapterListing;
use crate::registry::VersionListing;
use crate::worker::CspStatus;
use hoth_core::domain::CspName;
use hoth_core::domain::Timestamp;
use hoth_egress::BreakerPhase;
use hoth_egress::BreakerStatus;
use hoth_platform::certificate;
use hoth_platform::process::ProcessUse;
use hoth_queue::QueueName;
use hoth_queue::QueueStats;
use hoth_queue::Stage;

/// The number of hex digits of a version's digest in a label.
const SHORT_DIGEST: usize = 12;

/// The largest certificate file that is read.
const CERTIFICATE_BYTES_MAX: u64 = 1024 * 1024;

/// The version of this host, and the commit that its builder names in
/// `HOTH_COMMIT`.
pub const BUILD: [&str; 2] = [
    env!("CARGO_PKG_VERSION"),
    match option_env!("HOTH_COMMIT") {
        Some(commit) => commit,
        None => "unknown",
    },
];

/// A queue and its state, if that could be read.
type QueueReading<'a> = (&'a QueueName, Result<QueueStats, StatsError>);

/// A gauge and its value for one part of the host.
type Read<T> = (Gauge, fn(&T) -> f64);

/// Gauges of a queue.
const QUEUE: &[Read<QueueStats>] = &[
    (table::QUEUE_DEPTH, |q| count(q.depth)),
    (table::QUEUE_IN_FLIGHT, |q| count(q.in_flight)),
    (table::QUEUE_OLDEST_AGE, |q| seconds(q.oldest_age)),
    (table::QUEUE_OLDEST_CLAIMABLE_AGE, |q| seconds(q.oldest_claimable_age)),
    (table::QUEUE_DEAD_LETTERS, |q| count(q.dead_letters)),
];

/// Gauges of a CSP.
const CSP: &[Read<CspStatus>] = &[
    (table::CSP_PAUSED, |c| truth(c.paused_since.is_some())),
    (table::CSP_SECRET_MISSING, |c| truth(c.missing_secret.is_some())),
    (table::CSP_CALLS_IN_FLIGHT, |c| count(c.calls_in_flight as u64)),
    (table::CSP_CALLS_LIMIT, |c| count(c.calls_max as u64)),
];

/// Gauges of the breaker of an origin of a CSP.
const BREAKER: &[Read<BreakerStatus>] = &[
    (table::BREAKER_OPEN, |b| truth(!b.allows_jobs())),
    (table::BREAKER_GIVEN_UP, |b| truth(b.phase == BreakerPhase::GivenUp)),
    (table::BREAKER_FAILURES, |b| count(b.failures as u64)),
];

/// Gauges of an adapter version.
const VERSION: &[Read<VersionListing>] = &[
    (table::ADAPTER_CALL_MAX, |v| v.usage.seconds_max),
    (table::ADAPTER_MEMORY_MAX, |v| count(v.usage.memory_max_bytes)),
    (table::ADAPTER_JOBS_IN_FLIGHT, |v| count(v.jobs_in_flight as u64)),
    (table::ADAPTER_ACTIVE, |v| truth(v.active)),
    (table::ADAPTER_FAILING, |v| truth(v.failing.is_some())),
];

/// Gauges of an adapter.
const ADAPTER: &[Read<AdapterListing>] = &[
    (table::ADAPTER_MISSING, |a| {
        truth(!a.csps.is_empty() && !a.versions.iter().any(|version| version.active))
    }),
    (table::ADAPTER_REFUSED, |a| truth(a.refused.is_some())),
    (table::ADAPTER_VERSIONS_DRAINING, |a| {
        let draining = a.versions.iter().filter(|v| !v.active && v.jobs_in_flight > 0);
        count(draining.count() as u64)
    }),
];

/// Handles `GET /metrics`: Prometheus text format.
pub async fn metrics(State(state): State<Arc<AdminState>>) -> impl IntoResponse {
    let mut text = Exposition::default();
    // Side by side, because each may wait for the backend of the queues.
    let (queues, ready) = tokio::join!(state.stats.read_all(), state.health.is_ready(WAIT_MAX));
    text.gauge(&table::READY, [(Labels::new(), truth(ready))]);
    write_queues(&mut text, &state, &queues);
    write_csps(&mut text, &state);
    write_adapters(&mut text, &state);
    write_drain(&mut text, &state);
    let on_disk = Arc::clone(&state);
    let written = tokio::task::spawn_blocking(move || {
        write_storage(&mut text, &on_disk);
        write_certificates(&mut text, &on_disk);
        write_process(&mut text);
        text.into_text()
    });
    let text = written.await.expect("reading the state of files does not panic");
    ([(header::CONTENT_TYPE, CONTENT_TYPE)], state.metrics.render() + &text)
}

/// Writes the metrics of the queues. A queue that could not be read has a gap in
/// its series, instead of the values of an earlier scrape.
fn write_queues(text: &mut Exposition, state: &AdminState, queues: &[QueueReading<'_>]) {
    let named: Vec<([String; 3], Option<&QueueStats>)> =
        queues.iter().map(|(name, stats)| (queue_labels(name), stats.as_ref().ok())).collect();
    for (gauge, value) in QUEUE {
        let known = named.iter().filter_map(|(labels, stats)| Some((labels, (*stats)?)));
        text.gauge(gauge, known.map(|(labels, stats)| (texts(labels), value(stats))));
    }
    let reachable = named.iter().map(|(labels, stats)| (texts(labels), truth(stats.is_some())));
    text.gauge(&table::QUEUE_REACHABLE, reachable);
    let ages: Vec<_> = state.stats.ages().map(|(name, age)| (queue_labels(name), age)).collect();
    let ages = ages.iter().map(|(labels, age)| (texts(labels), age.as_secs_f64()));
    text.gauge(&table::QUEUE_READ_AGE, ages);
    write_waiting(text, queues);
    let mut errors = queues.iter().filter_map(|(_, stats)| stats.as_ref().err());
    if let Some(error) = errors.next() {
        let others = errors.count();
        warn!(error = error as &dyn std::error::Error, others, "Cannot read the state of a queue");
    }
}

/// Returns the labels of a queue: its name, its stage and its CSP, if it has one.
fn queue_labels(name: &QueueName) -> [String; 3] {
    let csp = name.csp().map(ToString::to_string).unwrap_or_default();
    [name.to_string(), stage(name).to_owned(), csp]
}

/// Writes the number of jobs that wait for each CSP, whose queues could be read.
fn write_waiting(text: &mut Exposition, queues: &[QueueReading<'_>]) {
    let mut waiting: Vec<(&CspName, u64)> = Vec::new();
    for (name, stats) in queues {
        let (Stage::Polls(csp), Ok(stats)) = (&name.stage, stats) else { continue };
        let jobs = stats.depth + stats.in_flight;
        match waiting.iter_mut().find(|(known, _)| *known == csp) {
            Some((_, sum)) => *sum += jobs,
            None => waiting.push((csp, jobs)),
        }
    }
    let series = waiting.into_iter().map(|(csp, jobs)| (vec![csp.as_str()], count(jobs)));
    text.gauge(&table::JOBS_WAITING, series);
}

/// Writes the metrics of the CSPs and of every breaker. The origins are those of
/// the configuration, so their number is bounded.
fn write_csps(text: &mut Exposition, state: &AdminState) {
    let csps: Vec<(&CspName, CspStatus)> =
        state.csps.values().map(|csp| (&csp.name, csp.status(&state.registry))).collect();
    for (gauge, value) in CSP {
        let series = csps.iter().map(|(name, status)| (vec![name.as_str()], value(status)));
        text.gauge(gauge, series);
    }
    // The host's own clock may differ from the wall clock, with which this time
    // is compared.
    let (now, wall) = (state.clock.now(), unix_seconds(state.clock.wall()));
    let paused = csps.iter().filter_map(|(name, status)| {
        let ago = now.since(status.paused_since?).as_secs_f64();
        Some((vec![name.as_str()], wall - ago))
    });
    text.gauge(&table::CSP_PAUSED_SINCE, paused);
    let breakers: Vec<([String; 2], &BreakerStatus)> = csps
        .iter()
        .flat_map(|(name, status)| {
            let others = status.other_breakers.iter();
            let others = others.map(|(origin, breaker)| (origin.to_string(), breaker));
            let all = [(status.origin.to_string(), &status.breaker)].into_iter().chain(others);
            all.map(|(origin, breaker)| ([name.to_string(), origin], breaker))
        })
        .collect();
    for (gauge, value) in BREAKER {
        text.gauge(gauge, breakers.iter().map(|(labels, breaker)| (texts(labels), value(breaker))));
    }
    let openings =
        breakers.iter().map(|(labels, breaker)| (texts(labels), count(breaker.openings)));
    text.counter(&table::BREAKER_OPENINGS, openings);
}

/// Writes the drain of this host.
fn write_drain(text: &mut Exposition, state: &AdminState) {
    let since = state.drain.switch.since();
    text.gauge(&table::DRAINED, [(Labels::new(), truth(since.is_some()))]);
    // By the wall clock, as the time of a pause.
    let (now, wall) = (state.clock.now(), unix_seconds(state.clock.wall()));
    let began = since.map(|since| (Labels::new(), wall - now.since(since).as_secs_f64()));
    text.gauge(&table::DRAINED_SINCE, began);
}

/// Writes the metrics of the adapters, and of their versions that are in memory.
/// The label of a version has the first digits of its digest, as in `hoth
/// adapters list`.
fn write_adapters(text: &mut Exposition, state: &AdminState) {
    let adapters = state.registry.list();
    for (gauge, value) in ADAPTER {
        let series = adapters.iter().map(|adapter| (vec![adapter.name.as_str()], value(adapter)));
        text.gauge(gauge, series);
    }
    let versions: Vec<([String; 2], &VersionListing)> = adapters
        .iter()
        .flat_map(|adapter| adapter.versions.iter().map(|version| (&adapter.name, version)))
        .filter(|(_, version)| version.loaded)
        .map(|(adapter, version)| {
            let mut sha256 = version.sha256.to_string();
            sha256.truncate(SHORT_DIGEST);
            ([adapter.to_string(), sha256], version)
        })
        .collect();
    for (gauge, value) in VERSION {
        text.gauge(gauge, versions.iter().map(|(labels, version)| (texts(labels), value(version))));
    }
    let calls = versions.iter().map(|(labels, version)| {
        let usage = &version.usage;
        let (buckets, count) = (usage.buckets.to_vec(), usage.calls);
        (texts(labels), HistogramValue { buckets, count, sum: usage.seconds })
    });
    text.histogram(&table::ADAPTER_CALL, calls);
    let calls =
        versions.iter().map(|(labels, version)| (texts(labels), count(version.usage.calls)));
    text.counter(&table::ADAPTER_CALLS, calls);
    let failures = versions.iter().flat_map(|([adapter, sha256], version)| {
        let usage = &version.usage;
        let kinds = [
            ("trap", usage.traps),
            ("timeout", usage.timeouts),
            ("memory", usage.out_of_memory),
            ("invalid", usage.invalid),
        ];
        kinds.map(|(failure, failed)| (vec![adapter.as_str(), sha256, failure], count(failed)))
    });
    text.counter(&table::ADAPTER_CALL_FAILURES, failures);
}

/// Writes the metrics of the queue file. Blocks on the file system.
fn write_storage(text: &mut Exposition, state: &AdminState) {
    let mut one = |gauge: Gauge, value: Option<u64>| {
        text.gauge(&gauge, value.map(|value| (Labels::new(), count(value))));
    };
    let disk = state.storage.disk_use();
    one(table::STORAGE_FILE, disk.map(|disk| disk.file_bytes));
    one(table::QUEUE_LOG, state.storage.log_bytes());
    one(table::STORAGE_RESERVE, disk.map(|disk| disk.reserve_bytes));
    one(table::STORAGE_AVAILABLE, disk.and_then(|disk| disk.available_bytes));
}

/// Writes the ends of the certificates. Blocks on the file system.
fn write_certificates(text: &mut Exposition, state: &AdminState) {
    let served = state.listener_certificates.iter();
    let served = served.filter_map(|(which, tls)| Some(((*which).to_owned(), tls.expires_at()?)));
    let files = state.client_certificates.iter();
    let files = files.filter_map(|(which, file)| Some((which.clone(), expiry_of(file)?)));
    let ends: Vec<(String, Timestamp)> = served.chain(files).collect();
    let series = ends.iter().map(|(which, end)| (vec![which.as_str()], unix_seconds(*end)));
    text.gauge(&table::CERTIFICATE_EXPIRY, series);
}

/// Returns the end of the certificates in a file, or `None` if there is none:
/// a file that cannot be read stops the calls to its CSP, which the log reports.
fn expiry_of(file: &Path) -> Option<Timestamp> {
    use std::io::Read as _;
    let mut pem = Vec::new();
    std::fs::File::open(file).ok()?.take(CERTIFICATE_BYTES_MAX).read_to_end(&mut pem).ok()?;
    certificate::expires_at(&pem)
}

/// Writes the metrics of the process. Blocks on the file system.
fn write_process(text: &mut Exposition) {
    text.gauge(&table::BUILD_INFO, [(BUILD.to_vec(), 1.0)]);
    let Some(used) = ProcessUse::read() else { return };
    let cpu = [(Labels::new(), used.cpu.as_secs_f64())];
    text.counter(&table::PROCESS_CPU, cpu);
    for (gauge, value) in [
        (table::PROCESS_RESIDENT_MEMORY, count(used.resident_bytes)),
        (table::PROCESS_VIRTUAL_MEMORY, count(used.virtual_bytes)),
        (table::PROCESS_OPEN_FDS, count(used.open_descriptors)),
        (table::PROCESS_MAX_FDS, used.descriptors_max.map_or(f64::INFINITY, count)),
        (table::PROCESS_THREADS, count(used.threads)),
        (table::PROCESS_START_TIME, unix_seconds(used.started_at)),
    ] {
        text.gauge(&gauge, [(Labels::new(), value)]);
    }
}

/// Returns the name of the stage whose messages the queue holds.
fn stage(name: &QueueName) -> &'static str {
    match name.stage {
        Stage::Requests(_) => "requests",
        Stage::Polls(_) => "polls",
        Stage::Outcomes => "outcomes",
    }
}

fn texts<const N: usize>(labels: &[String; N]) -> Labels<'_> {
    labels.iter().map(String::as_str).collect()
}

#[expect(clippy::cast_precision_loss, reason = "the format has doubles; no count has 2^53")]
fn count(number: u64) -> f64 {
    number as f64
}

fn seconds(age: Option<Duration>) -> f64 {
    age.unwrap_or_default().as_secs_f64()
}

fn unix_seconds(time: Timestamp) -> f64 {
    Duration::from_millis(time.as_millis()).as_secs_f64()
}

fn truth(value: bool) -> f64 {
    f64::from(u8::from(value))
}
