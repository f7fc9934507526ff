//! The source of spans, and the decision which of them are kept.

use std::collections::BTreeMap;
use std::sync::Arc;

#[cfg(test)]
use tokio::sync::mpsc;

use super::config::Config;
use super::exporter::Exporter;
use super::exporter::SetupError;
use super::otlp::Resource;
use super::queue;
use super::queue::SpanSender;
use super::span::Attribute;
use super::span::Span;
use super::span::Value;
use super::span::new_span_id;
use super::span::new_trace_id;
use hoth_core::domain::CspName;
use hoth_core::domain::TraceContext;
use hoth_core::domain::TraceId;
use hoth_platform::clock::Clock;
use hoth_queue::QueueName;

/// Makes the spans of requests and runs. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Tracer(pub(super) Option<Arc<Inner>>);

/// The state of a tracer that is on.
#[derive(Debug)]
pub(super) struct Inner {
    queue: SpanSender,
    sample_ratio: f64,
    /// True if the paths of requests to CSPs are exported.
    pub csp_paths: bool,
    messaging_system: &'static str,
    /// The adapters of the CSPs.
    pub adapters: BTreeMap<CspName, String>,
    pub clock: Clock,
}

/// The facts of a host that its spans name.
#[derive(Debug, Default)]
pub struct HostFacts {
    /// The value of `messaging.system`, which names the backend of the queues.
    pub messaging_system: &'static str,
    /// The adapters of the CSPs.
    pub adapters: BTreeMap<CspName, String>,
    /// The attributes of this process.
    pub resource: Resource,
}

impl Tracer {
    /// Makes a tracer that makes no spans. It still passes on the contexts of
    /// clients.
    pub fn off() -> Self {
        Self(None)
    }

    /// Makes a tracer and its exporter, or one without spans if no endpoint is
    /// configured.
    ///
    /// # Errors
    ///
    /// [`SetupError`] if the files or the HTTP client cannot be used.
    pub fn new(
        config: &Config,
        host: impl FnOnce() -> HostFacts,
        clock: Clock,
    ) -> Result<(Self, Option<Exporter>), SetupError> {
        let Some(endpoint) = &config.otlp_endpoint else { return Ok((Self::off(), None)) };
        let spans_max = usize::try_from(config.max_queued_spans).unwrap_or(usize::MAX);
        let (queue, spans) = queue::queue(spans_max);
        let HostFacts { messaging_system, adapters, resource } = host();
        let exporter = Exporter::new(config, endpoint, resource, spans)?;
        Ok((Self::on(config, queue, messaging_system, adapters, clock), Some(exporter)))
    }

    /// Makes a tracer whose spans the caller receives.
    #[cfg(test)]
    pub(super) fn for_tests(config: &Config) -> (Self, mpsc::Receiver<Span>) {
        let (queue, spans) = queue::queue(1_024);
        (Self::on(config, queue, "hoth", BTreeMap::new(), Clock::system()), spans)
    }

    fn on(
        config: &Config,
        queue: SpanSender,
        messaging_system: &'static str,
        adapters: BTreeMap<CspName, String>,
        clock: Clock,
    ) -> Self {
        Self(Some(Arc::new(Inner {
            queue,
            sample_ratio: config.sample_ratio,
            csp_paths: config.csp_paths,
            messaging_system,
            adapters,
            clock,
        })))
    }
}

impl Inner {
    /// Puts spans on the queue of the exporter.
    pub fn export(&self, spans: Vec<Span>) {
        self.queue.send(spans);
    }

    /// Returns the attributes of an operation on a queue. `operation` is its name
    /// here, and `operation_type` that of the conventions.
    pub fn of_messaging(
        &self,
        operation: &'static str,
        operation_type: &'static str,
        queue: &QueueName,
    ) -> Vec<Attribute> {
        vec![
            ("messaging.system", Value::from(self.messaging_system)),
            ("messaging.operation.name", Value::from(operation)),
            ("messaging.operation.type", Value::from(operation_type)),
            ("messaging.destination.name", Value::from(queue.to_string())),
        ]
    }

    /// Returns the context of the first span of a new trace.
    pub fn new_root(&self) -> TraceContext {
        let trace_id = new_trace_id();
        TraceContext::root(trace_id, new_span_id(), is_kept(self.sample_ratio, trace_id))
    }

    /// Returns the context of the first span of a new trace, for which the
    /// decision is made already.
    pub fn new_root_sampled(&self, is_sampled: bool) -> TraceContext {
        TraceContext::root(new_trace_id(), new_span_id(), is_sampled)
    }
}

/// Returns true if the trace is among the share `ratio` of all traces. Depends
/// on the last seven bytes of the id alone, which are random, so that all hosts
/// decide alike (OpenTelemetry, "TraceState: Probability Sampling").
fn is_kept(ratio: f64, trace_id: TraceId) -> bool {
    const RANDOM_BITS: u32 = 56;
    let [.., a, b, c, d, e, f, g] = *trace_id.as_bytes();
    let random = u64::from_be_bytes([0, a, b, c, d, e, f, g]);
    let rejected_below = (1.0 - ratio) * (1_u64 << RANDOM_BITS) as f64;
    random >= rejected_below as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ratio_of_kept_traces_is_the_configured_one() {
        for (ratio, least, most) in [(0.0, 0, 0), (1.0, 4_000, 4_000), (0.25, 800, 1_200)] {
            let kept = (0..4_000).filter(|_| is_kept(ratio, new_trace_id())).count();
            assert!((least..=most).contains(&kept), "{kept} of 4000 at {ratio}");
        }
        let highest = TraceId::new([0xff; 16]).expect("it is not zero");
        assert!(!is_kept(0.0, highest) && is_kept(1e-12, highest));
    }
}
