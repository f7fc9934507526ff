//! `GET /metrics`: the metrics of the process, and the state of its parts at the
//! time of the scrape.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use tracing::warn;

use super::exposition::Exposition;
use super::exposition::Labels;
use super::exposition::MetricKind;
use super::exposition::MetricKind::Counter;
use super::exposition::MetricKind::Gauge;
use super::queue_stats::StatsError;
use super::state::AdminState;
use crate::registry::VersionListing;
use crate::worker::CspStatus;
use hoth_core::domain::CspName;
use hoth_egress::BreakerStatus;
use hoth_queue::QueueName;
use hoth_queue::QueueStats;

/// The number of hex digits of a version's digest in a label.
const SHORT_DIGEST: usize = 12;

/// The kind, the name and the help text of a metric.
type About = (MetricKind, &'static str, &'static str);

/// A metric and its value for one part of the host.
type Metric<T> = (About, fn(&T) -> f64);

/// Metrics of a queue.
const QUEUE: &[Metric<QueueStats>] = &[
    ((Gauge, "hoth_queue_depth", "Messages that are not leased."), |q| count(q.depth)),
    ((Gauge, "hoth_queue_in_flight", "Leased messages."), |q| count(q.in_flight)),
    ((Gauge, "hoth_queue_oldest_age_seconds", "Age of the oldest message."), |q| {
        seconds(q.oldest_age)
    }),
    (
        (
            Gauge,
            "hoth_queue_oldest_claimable_age_seconds",
            "Age of the oldest message that can be received.",
        ),
        |q| seconds(q.oldest_claimable_age),
    ),
    ((Gauge, "hoth_queue_dead_letters", "Dead letters."), |q| count(q.dead_letters)),
];

const REACHABLE: About =
    (Gauge, "hoth_queue_reachable", "1 if the state of the queue could be read for this scrape.");

const LOG_BYTES: About = (Gauge, "hoth_queue_log_bytes", "Size of the log of the queue file.");

/// Metrics of a CSP.
const CSP: &[Metric<CspStatus>] = &[
    ((Gauge, "hoth_csp_paused", "1 if an operator holds the jobs back."), |c| {
        truth(c.paused_since.is_some())
    }),
    ((Gauge, "hoth_csp_secret_missing", "1 if jobs wait for a secret."), |c| {
        truth(c.missing_secret.is_some())
    }),
];

/// Metrics of the breaker of an origin of a CSP.
const BREAKER: &[Metric<BreakerStatus>] = &[
    ((Gauge, "hoth_breaker_open", "1 if calls wait because the origin does not respond."), |b| {
        truth(!b.allows_jobs())
    }),
    ((Gauge, "hoth_breaker_failures", "Jobs with a failed call since the last response."), |b| {
        count(b.failures as u64)
    }),
];

/// Metrics of an adapter version.
const VERSION: &[Metric<VersionListing>] = &[
    ((Counter, "hoth_adapter_calls_total", "Calls since the start of the host."), |v| {
        count(v.usage.calls)
    }),
    ((Gauge, "hoth_adapter_call_seconds_sum", "Total time of all calls."), |v| v.usage.seconds),
    ((Gauge, "hoth_adapter_call_seconds_max", "Time of the longest call."), |v| {
        v.usage.seconds_max
    }),
    ((Gauge, "hoth_adapter_memory_max_bytes", "Largest memory of a call."), |v| {
        count(v.usage.memory_max_bytes)
    }),
    ((Gauge, "hoth_adapter_jobs_in_flight", "Jobs in progress."), |v| {
        count(v.jobs_in_flight as u64)
    }),
    ((Gauge, "hoth_adapter_active", "1 for the active version."), |v| truth(v.active)),
    ((Gauge, "hoth_adapter_failing", "1 if most recent calls failed."), |v| {
        truth(v.failing.is_some())
    }),
];

const FAILURES: About =
    (Counter, "hoth_adapter_call_failures_total", "Failed calls since the start of the host.");

/// Handles `GET /metrics`: Prometheus text format.
pub async fn metrics(State(state): State<Arc<AdminState>>) -> String {
    let mut text = Exposition::default();
    write_queues(&mut text, &state.stats.read_all().await);
    if let Some(bytes) = state.storage.log_bytes() {
        text.metric(LOG_BYTES, [(Labels::new(), count(bytes))]);
    }
    let csps: Vec<(&CspName, CspStatus)> =
        state.csps.values().map(|csp| (&csp.name, csp.status(&state.registry))).collect();
    for (about, value) in CSP {
        text.metric(
            *about,
            csps.iter().map(|(name, status)| (vec![("csp", name.as_str())], value(status))),
        );
    }
    write_breakers(&mut text, &csps);
    write_versions(&mut text, &state);
    state.metrics.render() + &text.into_text()
}

/// Writes the metrics of the queues. A queue that could not be read has a gap in
/// its series, instead of the values of an earlier scrape.
fn write_queues(text: &mut Exposition, queues: &[(&QueueName, Result<QueueStats, StatsError>)]) {
    let named: Vec<(String, Option<&QueueStats>)> =
        queues.iter().map(|(name, stats)| (name.to_string(), stats.as_ref().ok())).collect();
    for (about, value) in QUEUE {
        let known = named.iter().filter_map(|(name, stats)| Some((name, (*stats)?)));
        text.metric(
            *about,
            known.map(|(name, stats)| (vec![("queue", name.as_str())], value(stats))),
        );
    }
    let reachable =
        named.iter().map(|(name, stats)| (vec![("queue", name.as_str())], truth(stats.is_some())));
    text.metric(REACHABLE, reachable);
    let mut errors = queues.iter().filter_map(|(_, stats)| stats.as_ref().err());
    if let Some(error) = errors.next() {
        let others = errors.count();
        warn!(error = error as &dyn std::error::Error, others, "Cannot read the state of a queue");
    }
}

/// Writes the metrics of every breaker. The origins are those of the
/// configuration, so their number is bounded.
fn write_breakers(text: &mut Exposition, csps: &[(&CspName, CspStatus)]) {
    let breakers: Vec<(&str, String, &BreakerStatus)> = csps
        .iter()
        .flat_map(|(name, status)| {
            let others = status.other_breakers.iter();
            let others = others.map(|(origin, breaker)| (origin.to_string(), breaker));
            let all = [(status.origin.to_string(), &status.breaker)].into_iter().chain(others);
            all.map(|(origin, breaker)| (name.as_str(), origin, breaker))
        })
        .collect();
    for (about, value) in BREAKER {
        let series = breakers.iter().map(|(csp, origin, breaker)| {
            (vec![("csp", *csp), ("origin", origin.as_str())], value(breaker))
        });
        text.metric(*about, series);
    }
}

/// Writes the metrics of the versions that are in memory, and of retained ones
/// that had calls: most retained versions only wait for a rollback. The label
/// has the first digits of a version's digest, as in `hoth adapters list`.
fn write_versions(text: &mut Exposition, state: &AdminState) {
    let adapters = state.registry.list();
    let versions: Vec<(&str, String, &VersionListing)> = adapters
        .iter()
        .flat_map(|adapter| adapter.versions.iter().map(|version| (adapter.name.as_str(), version)))
        .filter(|(_, version)| version.loaded || version.usage.calls > 0)
        .map(|(adapter, version)| {
            let mut sha256 = version.sha256.to_string();
            sha256.truncate(SHORT_DIGEST);
            (adapter, sha256, version)
        })
        .collect();
    for (about, value) in VERSION {
        let series = versions.iter().map(|(adapter, sha256, version)| {
            (vec![("adapter", *adapter), ("sha256", sha256.as_str())], value(version))
        });
        text.metric(*about, series);
    }
    let failures = versions.iter().flat_map(|(adapter, sha256, version)| {
        let usage = &version.usage;
        let kinds = [
            ("trap", usage.traps),
            ("timeout", usage.timeouts),
            ("memory", usage.out_of_memory),
            ("invalid", usage.invalid),
        ];
        kinds.map(|(failure, failed)| {
            let labels =
                vec![("adapter", *adapter), ("sha256", sha256.as_str()), ("failure", failure)];
            (labels, count(failed))
        })
    });
    text.metric(FAILURES, failures);
}

#[expect(clippy::cast_precision_loss, reason = "the format has doubles; no count has 2^53")]
fn count(number: u64) -> f64 {
    number as f64
}

fn seconds(age: Option<Duration>) -> f64 {
    age.unwrap_or_default().as_secs_f64()
}

fn truth(value: bool) -> f64 {
    f64::from(u8::from(value))
}
