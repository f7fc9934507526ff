//! HOTH: a durable host for WebAssembly adapters to Cloud Service Providers.
//!
//! The list below has the modules from bottom to top. ARCHITECTURE.md states
//! which modules each one may name, and `tests/layers.rs` checks it.
//!
//! - `metrics`: the table of all metrics, and their recorder.
//! - `supervisor`: notices parts that end or are stuck.
//! - `job_status`: where a job is, from the queue and the trail.
//! - `observe`: hands the events of jobs to trail, metrics and traces.
//! - `activity`: the traffic of queues and CSPs in the last 24 hours.
//! - [`replay`]: journals of finished jobs, and the replay gate for candidates.
//! - [`registry`]: adapter versions: installation, activation, rollback.
//! - `traces`: spans of requests and runs, exported by OTLP.
//! - [`worker`]: receives jobs, runs adapters, carries out decisions.
//! - [`http`]: the layer under both APIs: listeners, authentication, limits,
//!   audit trail.
//! - `api`: the HTTP API for ServiceNow.
//! - `admin`: the HTTP API for operators.
//! - `peers`: asks other hosts what they have seen, for the console.
//! - `console`: the pages for operators.
//! - [`config`], [`reload`]: the configuration file, and changes without a
//!   restart.
//! - [`telemetry`]: the log.
//! - [`app`], [`cli`]: composition of the parts, and the command line.
//!
//! The crates below this one are `hoth-core` (jobs and decisions),
//! `hoth-platform` (clock, secrets, fail points), `hoth-queue` (durable queues),
//! `hoth-runtime` (the sandbox) and `hoth-egress` (calls to CSPs).

mod activity;
mod admin;
mod api;
mod app;
pub mod cli;
mod config;
mod console;
pub mod http;
mod job_status;
mod metrics;
mod observe;
mod peers;
mod registry;
mod reload;
pub mod replay;
mod supervisor;
mod telemetry;
mod traces;
mod worker;
