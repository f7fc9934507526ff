//! The HTTP API of operators: adapters, queues, CSPs, health and metrics.
//!
//! `/healthz` and `/readyz` are open; all else needs the role `admin` once any
//! key is configured.

mod adapters;
mod csps;
mod dead_letters;
mod error;
mod health;
mod queues;

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware;
use axum::routing::get;
use axum::routing::post;
use metrics_exporter_prometheus::PrometheusHandle;

use crate::api::Keys;
use crate::domain::CspName;
use crate::queue::Queue;
use crate::queue::QueueName;
use crate::registry::Registry;
use crate::worker::Gate;

/// What operators can reach.
pub struct AdminState {
    pub queue: Arc<dyn Queue>,
    pub queues: Vec<QueueName>,
    pub registry: Arc<Registry>,
    pub gates: BTreeMap<CspName, Gate>,
    pub metrics: PrometheusHandle,
    pub keys: Keys,
}

/// Every route of the admin API.
pub fn router(state: AdminState) -> Router {
    let state = Arc::new(state);
    let guarded = Router::new()
        .route("/metrics", get(health::metrics))
        .route("/adapters", get(adapters::list))
        .route("/adapters/{name}", get(adapters::show).put(adapters::deploy))
        .route("/adapters/{name}/rollback", post(adapters::roll_back))
        .route("/csps/{name}/pause", post(csps::pause))
        .route("/csps/{name}/resume", post(csps::resume))
        .route("/queues", get(queues::list))
        .route("/queues/{name}/explain", get(queues::explain))
        .route("/queues/{name}/dead-letters", get(dead_letters::list))
        .route("/queues/{name}/dead-letters/{id}", get(dead_letters::show))
        .route("/queues/{name}/redrive", post(dead_letters::redrive))
        .route("/queues/{name}/purge", post(dead_letters::purge))
        .layer(DefaultBodyLimit::max(adapters::COMPONENT_BYTES_MAX))
        .route_layer(middleware::from_fn_with_state(Arc::clone(&state), error::require_admin));
    Router::new()
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .merge(guarded)
        .fallback(error::not_found)
        .method_not_allowed_fallback(error::method_not_allowed)
        .with_state(state)
}
