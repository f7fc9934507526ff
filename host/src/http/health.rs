//! Liveness and readiness, which both listeners answer without a key.

use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use axum::Router;
use axum::http::StatusCode;
use axum::response::IntoResponse as _;
use axum::response::Response;
use axum::routing::get;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use hoth_queue::Queue;

/// The paths of [`Health::routes`]. They take `GET` and `HEAD`.
pub const HEALTH_PATHS: [&str; 2] = ["/healthz", "/readyz"];

/// The time for which the state of the queue is remembered. Anyone may ask, and
/// on SQS each look is a call that costs money.
const REMEMBERED: Duration = Duration::from_millis(500);

/// The longest wait for the queue. Common probes give up after a second or two,
/// and a call to SQS may take twenty.
const CHECK_MAX: Duration = Duration::from_secs(2);

/// The health of the host. A clone is cheap.
#[derive(Clone)]
pub struct Health {
    queue: Arc<dyn Queue>,
    /// Cancelled when the host begins to stop.
    draining: CancellationToken,
    /// The last look at the queue. Callers that come meanwhile wait for its
    /// result.
    last: Arc<Mutex<Option<(Instant, StatusCode)>>>,
}

impl Health {
    /// Creates the health of a host with this queue, which stops when
    /// `draining` is cancelled.
    pub fn new(queue: Arc<dyn Queue>, draining: CancellationToken) -> Self {
        Self { queue, draining, last: Arc::default() }
    }

    /// Returns the routes: `/healthz` succeeds while the process answers, and
    /// `/readyz` if the host is not stopping and its queue can store a request.
    pub fn routes<S: Clone + Send + Sync + 'static>(self) -> Router<S> {
        let [alive, ready] = HEALTH_PATHS;
        Router::new()
            .route(alive, get(async || "alive\n"))
            .route(ready, get(async move || self.ready().await))
    }

    /// Returns `true` if `/readyz` succeeds now. A queue that does not answer
    /// within `wait` cannot store a request.
    pub async fn is_ready(&self, wait: Duration) -> bool {
        if self.draining.is_cancelled() {
            return false;
        }
        let status = tokio::time::timeout(wait, self.queue_status()).await;
        status.is_ok_and(|status| status == StatusCode::OK)
    }

    async fn ready(&self) -> Response {
        // Before the queue is asked: a load balancer must send no more requests
        // while the host drains, however healthy the queue is.
        if self.draining.is_cancelled() {
            return (StatusCode::SERVICE_UNAVAILABLE, "draining\n").into_response();
        }
        match self.queue_status().await {
            StatusCode::OK => (StatusCode::OK, "ready\n").into_response(),
            // The log has the cause, which is not for everyone.
            status => (status, "the queue is unavailable\n").into_response(),
        }
    }

    async fn queue_status(&self) -> StatusCode {
        let mut last = self.last.lock().await;
        if let Some((at, status)) = *last
            && at.elapsed() < REMEMBERED
        {
            return status;
        }
        let status = match tokio::time::timeout(CHECK_MAX, self.queue.check()).await {
            Ok(Ok(())) => StatusCode::OK,
            Ok(Err(error)) => {
                warn!(error = &error as &dyn std::error::Error, "Not ready");
                StatusCode::SERVICE_UNAVAILABLE
            }
            Err(_elapsed) => {
                warn!("Not ready: the queue has not answered for {CHECK_MAX:?}");
                StatusCode::SERVICE_UNAVAILABLE
            }
        };
        *last = Some((Instant::now(), status));
        status
    }
}
