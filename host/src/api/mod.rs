//! The HTTP API of ServiceNow.
//!
//! Both resources have the same routes; what differs is how a request is read
//! and which queue its outcome comes from ([`JobKind`]).

mod accept;
mod auth;
mod batch;
mod body;
mod collect;
mod config;
mod error;
mod redeliver;
mod settling;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::Router;
use axum::http::HeaderName;
use axum::http::HeaderValue;
use axum::http::StatusCode;
use axum::http::header;
use axum::middleware;
use axum::response::IntoResponse;
use axum::response::Response;
use axum::routing::post;

pub use auth::AuthConfig;
pub use auth::Keys;
pub use auth::Role;
pub use config::Config;
pub use error::ApiError;

use self::settling::Settling;
use crate::clock::Clock;
use crate::domain::CspName;
use crate::domain::JobKind;
use crate::queue::Queue;

/// Everything that a handler can reach.
pub struct ApiState {
    queue: Arc<dyn Queue>,
    csps: BTreeSet<CspName>,
    clock: Clock,
    keys: Keys,
    cost_accepted: StatusCode,
    body_bytes_max: usize,
    body_timeout: Duration,
    settling: Settling,
}

impl ApiState {
    /// What handlers share, for the CSPs that are configured.
    pub fn new(
        config: &Config,
        auth: &AuthConfig,
        queue: Arc<dyn Queue>,
        csps: BTreeSet<CspName>,
        clock: Clock,
    ) -> Self {
        Self {
            queue,
            csps,
            clock,
            keys: Keys::new(auth),
            cost_accepted: config.cost_accepted(),
            body_bytes_max: config.max_body_bytes,
            body_timeout: Duration::from_millis(config.body_timeout_ms.get()),
            settling: Settling::default(),
        }
    }
}

/// Every route of the API.
pub fn router(state: ApiState) -> Router {
    let state = Arc::new(state);
    Router::new()
        .nest("/provisioning-jobs", resource().layer(Extension(JobKind::Provisioning)))
        .nest("/cost-jobs", resource().layer(Extension(JobKind::Cost)))
        .fallback(async || ApiError::NotFound)
        .method_not_allowed_fallback(async || ApiError::MethodNotAllowed)
        .layer(middleware::map_response(common_headers))
        .with_state(state)
}

fn resource() -> Router<Arc<ApiState>> {
    Router::new()
        .route("/", post(accept::accept).get(collect::collect).options(preflight))
        .route("/ack", post(batch::ack))
        .route("/release", post(batch::release))
        .route("/redeliver", post(redeliver::redeliver))
}

const ALLOW_ORIGIN: (HeaderName, HeaderValue) =
    (header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));

/// `OPTIONS`: what a browser asks before it sends (CORS, Fetch standard 3.2).
async fn preflight() -> Response {
    let headers = [
        (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, POST, OPTIONS"),
        (
            header::ACCESS_CONTROL_ALLOW_HEADERS,
            "Authorization, Content-Type, X-Amz-Date, X-Amz-Security-Token, X-Amz-Content-Sha256",
        ),
    ];
    (StatusCode::OK, headers).into_response()
}

/// Outcomes are nobody's to keep, and any origin may ask: what lets a client in
/// is its key, never a cookie.
async fn common_headers(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(ALLOW_ORIGIN.0, ALLOW_ORIGIN.1);
    response
}
