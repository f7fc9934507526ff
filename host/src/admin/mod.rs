//! The HTTP API of operators: adapters, queues, CSPs, health and metrics.
//!
//! `/healthz` and `/readyz` need no key. Once any key is configured, reads need
//! the role `viewer`, acts on queues, CSPs and jobs `operator`, and the rest
//! `admin`.

mod adapters;
mod body;
mod calls;
mod config;
mod csp_details;
mod csps;
mod dead_letters;
mod error;
mod host;
mod job_acts;
mod jobs;
mod journals;
mod queue_stats;
mod queues;
mod router;
mod scrape;
mod state;

pub use adapters::COMPONENT_BYTES_MAX;
pub use adapters::DeployParams;
pub use adapters::Deployed;
pub use adapters::VersionParams;
pub use adapters::deploy;
pub use adapters::listing as adapter_listing;
pub use adapters::listings as adapter_listings;
pub use adapters::replay as replay_adapter;
pub use adapters::roll_back;
pub use config::Config;
pub use csp_details::breaker_history;
pub use csp_details::csp_operations;
pub use csps::find as find_csp;
pub use csps::pause;
pub use csps::reset_breaker;
pub use csps::resume;
pub use dead_letters::Selection;
pub use dead_letters::purge;
pub use dead_letters::redrive;
pub use error::AdminError;
pub use host::HostView;
pub use host::drain;
pub use host::resume as resume_host;
pub use host::view as view_host;
pub use job_acts::ByHand;
pub use job_acts::cancel;
pub use job_acts::look_now;
pub use job_acts::settle_by_hand;
pub use jobs::AuditQuery;
pub use jobs::JobView;
pub use jobs::JobsQuery;
pub use jobs::find as find_job;
pub use journals::JournalLink;
pub use journals::file as journal_file;
pub use journals::list as list_journals;
pub use journals::of_job as journal_of_job;
pub use journals::read as read_journal;
pub use queue_stats::StatsError;
pub use queue_stats::StatsReader;
pub use queues::find as find_queue;
pub use queues::reasons;
pub use router::router;
pub use scrape::BUILD;
pub use state::AdminState;
pub use state::HostFacts;
