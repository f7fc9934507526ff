//! HOTH: a durable host for WebAssembly adapters to Cloud Service Providers.
//!
//! The map, bottom to top. A module names only modules above it in this list
//! and its own; `tests/layers.rs` holds that.
//!
//! - [`domain`]: jobs, steps, outcomes and messages. No I/O, no async.
//! - [`failpoint`]: where tests kill the process; empty in a release.
//! - [`clock`]: the one place that asks the machine for the time.
//! - [`queue`]: messages are kept, leased, moved and deleted.
//! - [`workflow`]: what happens next. Pure decisions.
//! - [`adapter`]: wasmtime narrowed to one call into one component.
//! - [`csp`]: the way out: egress rules, tokens, HTTP.
//! - [`replay`]: journals of finished jobs, and candidates tried on them.
//! - [`registry`]: which version of which adapter serves which CSP.
//! - [`worker`]: takes jobs, drives adapters, acts on decisions.
//! - [`http`]: the layer under both APIs: connections, keys, limits, audit.
//! - [`api`]: the HTTP API of ServiceNow.
//! - [`admin`]: the HTTP API of operators.
//! - [`descriptors`]: how many connections the system grants.
//! - [`config`], [`reload`], [`telemetry`], [`app`], [`cli`]: the parts put
//!   together.

mod admin;
mod api;
pub mod app;
pub mod cli;
pub mod config;
pub mod http;
pub mod registry;
pub mod reload;
pub mod replay;
pub mod telemetry;
pub mod worker;
