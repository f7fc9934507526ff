//! The HTTP API of operators: adapters, queues, CSPs, health and metrics.
//!
//! `/healthz` and `/readyz` need no key. Once any key is configured, reads need
//! the role `viewer`, acts on queues and CSPs `operator`, and the rest `admin`.

mod adapters;
mod config;
mod csps;
mod dead_letters;
mod error;
mod exposition;
mod queue_stats;
mod queues;
mod router;
mod scrape;
mod state;

pub use config::Config;
pub use queue_stats::StatsReader;
pub use router::router;
pub use state::AdminState;
