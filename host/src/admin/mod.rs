//! The HTTP API of operators: adapters, queues, CSPs, health and metrics.
//!
//! `/healthz` and `/readyz` need no key. All other routes need the role `admin`
//! once any key is configured.

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
