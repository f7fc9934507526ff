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
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::DefaultBodyLimit;
use axum::extract::Request;
use axum::http::header;
use axum::middleware;
use axum::middleware::Next;
use axum::response::Response;
use axum::routing::get;
use axum::routing::post;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio_util::sync::CancellationToken;

use crate::api;
use crate::api::Admission;
use crate::api::ApiError;
use crate::http::auth::Keys;
use crate::http::auth::Role;
use crate::registry::Registry;
use crate::worker::Destination;
use hoth_core::domain::CspName;
use hoth_platform::clock::Clock;
use hoth_queue::Queue;
use hoth_queue::QueueName;

/// What operators can reach.
pub struct AdminState {
    pub queue: Arc<dyn Queue>,
    /// Those of the configuration, and those that hold messages all the same.
    pub queues: Vec<QueueName>,
    pub registry: Arc<Registry>,
    pub csps: BTreeMap<CspName, Destination>,
    pub metrics: PrometheusHandle,
    pub keys: Keys,
    pub clock: Clock,
    /// Cancelled when the host is about to stop.
    pub draining: CancellationToken,
}

/// How long an operator may take to send a component.
const BODY_TIMEOUT: Duration = Duration::from_secs(60);

/// Every route of the admin API.
pub fn router(state: AdminState) -> Router {
    // Operators are not limited in their requests: they may have to act while
    // others make too many.
    let admission = Admission::new(
        state.keys.clone(),
        state.clock.clone(),
        None,
        adapters::COMPONENT_BYTES_MAX,
        BODY_TIMEOUT,
    );
    let state = Arc::new(state);
    let guarded = Router::new()
        .route("/metrics", get(health::metrics))
        .route("/adapters", get(adapters::list))
        .route("/adapters/{name}", get(adapters::show).put(adapters::deploy))
        .route("/adapters/{name}/rollback", post(adapters::roll_back))
        .route("/csps", get(csps::list))
        .route("/csps/{name}", get(csps::show))
        .route("/csps/{name}/pause", post(csps::pause))
        .route("/csps/{name}/resume", post(csps::resume))
        .route("/queues", get(queues::list))
        .route("/queues/{name}/explain", get(queues::explain))
        .route("/queues/{name}/dead-letters", get(dead_letters::list))
        .route("/queues/{name}/dead-letters/{id}", get(dead_letters::show))
        .route("/queues/{name}/redrive", post(dead_letters::redrive))
        .route("/queues/{name}/purge", post(dead_letters::purge))
        .layer(DefaultBodyLimit::max(adapters::COMPONENT_BYTES_MAX))
        .route_layer(middleware::from_fn(whole))
        .route_layer(middleware::from_fn_with_state(
            (Arc::new(admission), Role::Admin),
            api::admit,
        ));
    Router::new()
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .merge(guarded)
        .fallback(error::not_found)
        .method_not_allowed_fallback(error::method_not_allowed)
        .layer(middleware::from_fn(no_web_page))
        .layer(middleware::from_fn(api::unambiguous))
        .with_state(state)
}

/// Keeps web pages out: a browser says whose page it is that asks (`Origin`,
/// Fetch standard 3.2), and would do so for any page, on a machine where a host
/// without keys listens.
async fn no_web_page(request: Request, next: Next) -> Result<Response, ApiError> {
    if request.headers().contains_key(header::ORIGIN) {
        return Err(ApiError::Forbidden);
    }
    Ok(next.run(request).await)
}

/// Reads the body before the handler runs, so that it has a bound in bytes and
/// in time.
async fn whole(request: Request, next: Next) -> Result<Response, ApiError> {
    let (head, body) = request.into_parts();
    let body = api::read_body(body, adapters::COMPONENT_BYTES_MAX, BODY_TIMEOUT).await?;
    Ok(next.run(Request::from_parts(head, Body::from(body))).await)
}
