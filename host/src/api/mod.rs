//! The HTTP API of ServiceNow.
//!
//! Both resources have the same routes. They differ in how a request is read
//! and in the queue of its outcomes ([`JobKind`](hoth_core::domain::JobKind)).

mod accept;
mod authed_request;
mod batch;
mod batch_name;
mod collect;
mod collect_params;
mod config;
mod cors;
mod error;
mod in_flight;
mod leased_batches;
mod openapi;
mod redeliver;
mod router;
mod routes;
mod schema;
mod state;
mod status;
#[cfg(test)]
mod tests;
mod traced;

pub use config::Config;
pub use in_flight::InFlightResponses;
pub use router::router;
pub use state::ApiState;
pub use state::StatusLookup;
