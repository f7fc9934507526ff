//! Metrics of the process, in the Prometheus text format.
//!
//! The [table] has every metric of the host. Counters, histograms and some
//! gauges are recorded when something happens; the [recorder] keeps their
//! values. Values that other parts hold anyway are read at a scrape, and
//! written by an [exposition].

mod definition;
mod exposition;
mod job_meter;
mod measured_queue;
mod recorder;
pub mod table;

pub use definition::Gauge;
pub use exposition::CONTENT_TYPE;
pub use exposition::Exposition;
pub use exposition::HistogramValue;
pub use exposition::Labels;
pub use job_meter::JobMeter;
pub use measured_queue::MeasuredQueue;
pub use recorder::Recorder;
