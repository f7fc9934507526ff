//! Metrics.

use std::sync::Arc;

use axum::extract::State;
use metrics::counter;
use metrics::gauge;

use super::error::AdminError;
use super::state::AdminState;
use crate::registry::VersionListing;
use crate::worker::CspStatus;
use hoth_core::domain::CspName;
use hoth_queue::QueueName;
use hoth_queue::QueueStats;

/// The number of hex digits of a version's digest in a label.
const SHORT_DIGEST: usize = 12;

/// Handles `GET /metrics`: Prometheus text format. Gauges are updated at the
/// scrape.
pub async fn metrics(State(state): State<Arc<AdminState>>) -> Result<String, AdminError> {
    // An error fails the scrape: Prometheus then records a gap instead of the
    // values of the previous scrape.
    for name in &state.queues {
        publish(name, &state.queue.stats(name).await?);
    }
    if let Some(bytes) = state.storage.log_bytes() {
        publish_log(bytes);
    }
    for csp in state.csps.values() {
        publish_csp(&csp.name, &csp.status(&state.registry));
    }
    for adapter in state.registry.list() {
        for version in &adapter.versions {
            publish_version(adapter.name.as_str(), version);
        }
    }
    Ok(state.metrics.render())
}

/// Updates the metrics of a version. The label has the first digits of its
/// digest, as in `hoth adapters list`.
#[expect(clippy::cast_precision_loss, reason = "no guest has 2^53 bytes of memory")]
fn publish_version(adapter: &str, version: &VersionListing) {
    let mut sha256 = version.sha256.to_string();
    sha256.truncate(SHORT_DIGEST);
    let labels = [("adapter", adapter.to_owned()), ("sha256", sha256)];
    let usage = &version.usage;
    // The usage of a version holds totals since the start of the host, so they
    // are set and not added.
    counter!("hoth_adapter_calls_total", &labels).absolute(usage.calls);
    for (failure, count) in [
        ("trap", usage.traps),
        ("timeout", usage.timeouts),
        ("memory", usage.out_of_memory),
        ("invalid", usage.invalid),
    ] {
        let [adapter, sha256] = labels.clone();
        let labels = [adapter, sha256, ("failure", failure.to_owned())];
        counter!("hoth_adapter_call_failures_total", &labels).absolute(count);
    }
    gauge!("hoth_adapter_call_seconds_sum", &labels).set(usage.seconds);
    gauge!("hoth_adapter_call_seconds_max", &labels).set(usage.seconds_max);
    gauge!("hoth_adapter_memory_max_bytes", &labels).set(usage.memory_max_bytes as f64);
    gauge!("hoth_adapter_jobs_in_flight", &labels).set(version.jobs_in_flight as f64);
    gauge!("hoth_adapter_active", &labels).set(f64::from(u8::from(version.active)));
    gauge!("hoth_adapter_failing", &labels).set(f64::from(u8::from(version.failing.is_some())));
}

#[expect(clippy::cast_precision_loss, reason = "gauges are doubles; no queue holds 2^53 messages")]
fn publish(name: &QueueName, stats: &QueueStats) {
    let queue = name.to_string();
    let seconds = |age: Option<std::time::Duration>| age.unwrap_or_default().as_secs_f64();
    gauge!("hoth_queue_depth", "queue" => queue.clone()).set(stats.depth as f64);
    gauge!("hoth_queue_in_flight", "queue" => queue.clone()).set(stats.in_flight as f64);
    gauge!("hoth_queue_oldest_age_seconds", "queue" => queue.clone())
        .set(seconds(stats.oldest_age));
    gauge!("hoth_queue_oldest_claimable_age_seconds", "queue" => queue.clone())
        .set(seconds(stats.oldest_claimable_age));
    gauge!("hoth_queue_dead_letters", "queue" => queue).set(stats.dead_letters as f64);
}

#[expect(clippy::cast_precision_loss, reason = "gauges are doubles; no log has 2^53 bytes")]
fn publish_log(bytes: u64) {
    gauge!("hoth_queue_log_bytes").set(bytes as f64);
}

#[expect(clippy::cast_precision_loss, reason = "a breaker counts up to 1000")]
fn publish_csp(csp: &CspName, status: &CspStatus) {
    let csp = csp.to_string();
    let as_number = |truth: bool| f64::from(u8::from(truth));
    gauge!("hoth_csp_paused", "csp" => csp.clone()).set(as_number(status.paused));
    gauge!("hoth_csp_secret_missing", "csp" => csp.clone())
        .set(as_number(status.missing_secret.is_some()));
    gauge!("hoth_breaker_open", "csp" => csp.clone()).set(as_number(!status.breaker.allows_jobs()));
    gauge!("hoth_breaker_failures", "csp" => csp).set(status.breaker.failures as f64);
}
