//! The HTTP API of ServiceNow.
//!
//! Both resources have the same routes; what differs is how a request is read
//! and which queue its outcome comes from ([`JobKind`](hoth_core::domain::JobKind)).

mod accept;
mod admission;
mod batch;
mod call;
mod collect;
mod config;
mod cost_jobs;
mod error;
mod framing;
mod openapi;
mod provisioning_jobs;
mod redeliver;
mod schema;
mod settling;
#[cfg(test)]
mod tests;
mod wish;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::http::HeaderName;
use axum::http::HeaderValue;
use axum::http::Method;
use axum::http::StatusCode;
use axum::http::Uri;
use axum::http::header;
use axum::middleware;
use axum::middleware::Next;
use axum::response::IntoResponse;
use axum::response::Response;
use axum::routing::head;
use axum::routing::options;
use bytes::Bytes;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub use crate::http::Rate;
pub use admission::Admission;
pub use admission::admit;
pub use call::read as read_body;
pub use config::Config;
pub use error::ApiError;
pub use framing::unambiguous;
pub use settling::Settling;

use crate::http::auth::Keys;
use crate::http::auth::Role;
use hoth_core::domain::CspName;
use hoth_core::domain::Offer;
use hoth_platform::clock::Clock;
use hoth_queue::Queue;

/// Everything that a handler can reach.
pub struct ApiState {
    queue: Arc<dyn Queue>,
    csps: BTreeMap<CspName, Offer>,
    clock: Clock,
    admission: Arc<Admission>,
    cost_accepted: StatusCode,
    body_bytes_max: usize,
    body_timeout: Duration,
    send_timeout: Duration,
    settling: Settling,
    seal: batch::Seal,
    /// The text of `/openapi.json`.
    openapi: Bytes,
}

type State = Arc<ApiState>;

impl ApiState {
    /// What handlers share, for the CSPs that are configured. Callers need
    /// one of `keys`, may call at `rate`, and lose their connection when an
    /// answer takes longer than `send_timeout` to leave.
    pub fn new(
        config: &Config,
        keys: Keys,
        rate: Option<Rate>,
        send_timeout: Duration,
        queue: Arc<dyn Queue>,
        csps: BTreeMap<CspName, Offer>,
        clock: Clock,
    ) -> Self {
        let body_bytes_max = config.max_body_bytes;
        let body_timeout = Duration::from_millis(config.body_timeout_ms.get());
        let admission = Admission::new(keys, clock.clone(), rate, body_bytes_max, body_timeout);
        Self {
            queue,
            csps,
            clock,
            admission: Arc::new(admission),
            cost_accepted: config.cost_accepted(),
            body_bytes_max,
            body_timeout,
            send_timeout,
            settling: Settling::default(),
            seal: batch::Seal::default(),
            openapi: Bytes::new(),
        }
    }

    /// The same, with leased batches sealed by `key`.
    pub fn sealing_with(self, key: &[u8]) -> Self {
        Self { seal: batch::Seal::with(key), ..self }
    }

    /// What has left and is still to be deleted.
    pub fn settling(&self) -> Settling {
        self.settling.clone()
    }
}

/// Every route of the API, and its description, which is made of the same
/// handlers.
fn routes() -> OpenApiRouter<State> {
    OpenApiRouter::with_openapi(openapi::preface())
        .routes(routes!(provisioning_jobs::accept, provisioning_jobs::collect))
        .routes(routes!(provisioning_jobs::ack))
        .routes(routes!(provisioning_jobs::release))
        .routes(routes!(provisioning_jobs::redeliver))
        .routes(routes!(cost_jobs::accept, cost_jobs::collect))
        .routes(routes!(cost_jobs::ack))
        .routes(routes!(cost_jobs::release))
        .routes(routes!(cost_jobs::redeliver))
        .routes(routes!(openapi::read))
}

/// The API, ready to be served.
pub fn router(state: ApiState) -> Router {
    let (mut router, mut description) = routes().split_for_parts();
    openapi::describe_preflights(&mut description);
    let methods = Arc::new(openapi::methods(&description));
    for (path, _) in description.paths.paths.iter().filter(|(_, item)| item.options.is_some()) {
        let allow = methods[path].clone();
        router = router.route(path, options(async move || preflight(allow)));
    }
    let refuse = async move |uri: Uri| match methods.get(uri.path()) {
        Some(allow) => ApiError::MethodNotAllowed(allow.clone()),
        None => ApiError::NotFound,
    };
    // A GET takes what it returns: as a HEAD, which sends no body, it would
    // lose it.
    for (path, _) in description.paths.paths.iter().filter(|(_, item)| item.get.is_some()) {
        router = router.route(path, head(refuse.clone()));
    }
    let state = ApiState { openapi: openapi::text(&description), ..state };
    let door = middleware::from_fn_with_state(Arc::clone(&state.admission), let_in);
    router
        .route_layer(door)
        .fallback(async || ApiError::NotFound)
        .method_not_allowed_fallback(refuse)
        .layer(middleware::from_fn(unambiguous))
        .layer(middleware::map_response(common_headers))
        .with_state(Arc::new(state))
}

/// Lets callers in to what is there; what any other method gets is no secret.
async fn let_in(
    axum::extract::State(admission): axum::extract::State<Arc<Admission>>,
    request: Request,
    next: Next,
) -> Response {
    let Some(role) = role_for(request.method(), request.uri().path()) else {
        return next.run(request).await;
    };
    admit(axum::extract::State((admission, role)), request, next).await.into_response()
}

/// The role that a call takes; none for the preflight and the description of
/// the API.
fn role_for(method: &Method, path: &str) -> Option<Role> {
    let looks = path.ends_with("/ack") || path.ends_with("/release");
    match *method {
        Method::GET if path == "/openapi.json" => None,
        Method::GET => Some(Role::Read),
        Method::POST if looks => Some(Role::Read),
        Method::POST => Some(Role::Write),
        _ => None,
    }
}

const ALLOW_ORIGIN: (HeaderName, HeaderValue) =
    (header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));

/// What a page may send besides what every page may.
const ALLOW_HEADERS: HeaderValue = HeaderValue::from_static(
    "Authorization, Content-Type, X-Amz-Date, X-Amz-Security-Token, X-Amz-Content-Sha256",
);

/// What a page may read of an answer besides what every page may.
const EXPOSE_HEADERS: HeaderValue = HeaderValue::from_static("Allow, Hoth-Batch, Retry-After");

/// `OPTIONS`: what a browser asks before it sends (CORS, Fetch standard 3.2).
fn preflight(methods: HeaderValue) -> Response {
    let headers = [
        (header::ACCESS_CONTROL_ALLOW_METHODS, methods),
        (header::ACCESS_CONTROL_ALLOW_HEADERS, ALLOW_HEADERS),
    ];
    (StatusCode::OK, headers).into_response()
}

/// Outcomes are nobody's to keep, and any origin may ask: what lets a client in
/// is its key, never a cookie.
async fn common_headers(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(ALLOW_ORIGIN.0, ALLOW_ORIGIN.1);
    // A preflight has nothing to read.
    if !headers.contains_key(header::ACCESS_CONTROL_ALLOW_METHODS) {
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSE_HEADERS);
    }
    response
}
