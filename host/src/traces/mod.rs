//! Traces: spans of requests, of runs and of acts on adapters, exported by OTLP over HTTP.
//!
//! Spans are made after the fact, from what a request or a run has recorded, so
//! that nothing is built for a run that is not kept and so that a failed one is
//! always kept. They go to a bounded [queue], from which a task
//! [exports](exporter) them. A full queue drops and counts: exporting never
//! slows or fails a job. Without an endpoint no span is made at all.
//!
//! docs/traces.md lists the names and attributes, which are part of HOTH's
//! interface.

mod adapter_act;
mod collecting;
mod config;
mod exporter;
mod incoming;
mod otlp;
mod queue;
mod receiving;
mod request;
mod resource;
mod run;
mod span;
mod tracer;

pub use adapter_act::AdapterAct;
pub use collecting::Collecting;
pub use config::Config;
pub use exporter::Exporter;
pub use request::RequestTrace;
pub use resource::resource;
pub use run::call_context;
pub use tracer::HostFacts;
pub use tracer::Tracer;
