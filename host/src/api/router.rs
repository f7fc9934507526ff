//! The router of the API: its routes, and the layers before its handlers.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::extract::State;
use axum::handler::Handler as _;
use axum::http::HeaderValue;
use axum::http::Method;
use axum::http::Uri;
use axum::middleware;
use axum::middleware::Next;
use axum::response::IntoResponse as _;
use axum::response::Response;
use axum::routing::head;

use super::cors;
use super::openapi;
use super::routes;
use super::routes::Route;
use super::state::ApiState;
use super::traced;
use crate::http::Authenticator;
use crate::http::FrontError;
use crate::http::HEALTH_PATHS;
use crate::http::Health;
use crate::http::RequestTimer;
use crate::http::auth::Access;
use crate::http::check_framing;
use crate::traces::Tracer;

/// Builds the API, ready to be served.
pub fn router(state: ApiState) -> Router {
    let routes = routes::all();
    let operations = routes.iter().filter_map(Route::described);
    let state = ApiState { openapi: openapi::document(operations), ..state };
    let front_alone = middleware::from_fn(front_alone);
    let health = state.health.clone().map_or_else(Router::new, Health::routes);
    let methods = Arc::new(routes::allowed(&routes));
    let refuse = async move |uri: Uri| match allow_of(&methods, uri.path()) {
        Some(allow) => FrontError::MethodNotAllowed(Some(allow.clone())),
        // A fallback is called for these paths only if they have routes.
        None if HEALTH_PATHS.contains(&uri.path()) => {
            FrontError::MethodNotAllowed(Some(HeaderValue::from_static("GET, HEAD")))
        }
        None => FrontError::NotFound,
    };
    // `refuse` names the methods itself, because axum's own `Allow` would list
    // `HEAD` beside `GET`.
    let mut router = Router::new();
    for route in routes {
        // axum answers HEAD through the GET handler. That handler consumes the
        // outcomes that it returns, and a HEAD would lose them with the body.
        if route.method == Method::GET {
            router = router.route(&route.path, head(refuse.clone()));
        }
        router = router.route(&route.path, route.handler);
    }
    let guard =
        Guard { tracer: state.tracer.clone(), authenticator: Arc::clone(&state.authenticator) };
    router
        // A route layer: unknown paths and methods get their 404 or 405 without
        // a key.
        .route_layer(middleware::from_fn_with_state(guard, Guard::admit))
        // Without that layer: a load balancer has no key.
        .merge(health.layer(front_alone.clone()))
        .fallback((async || FrontError::NotFound).layer(front_alone.clone()))
        .method_not_allowed_fallback(refuse.layer(front_alone))
        .with_state(Arc::new(state))
}

/// Measures the request, refusals included, refuses an ambiguous one, and adds
/// the headers of every response.
///
/// It is no layer of its own but part of [`Guard`]: for every request, axum
/// boxes the future of each layer, and clones all layers below it.
async fn front(request: Request, handle: impl AsyncFnOnce(Request) -> Response) -> Response {
    let timer = RequestTimer::start(&request);
    // Before the authentication: an ambiguous head proves nothing.
    let mut response = match check_framing(&request) {
        Ok(()) => handle(request).await,
        Err(refused) => refused.into_response(),
    };
    // A page must be able to read errors, too.
    cors::add_common_headers(&mut response);
    timer.stop(response.status());
    response
}

/// The layer of responses that need no authentication.
async fn front_alone(request: Request, next: Next) -> Response {
    front(request, async |request| next.run(request).await).await
}

/// Admits requests to the handlers, within their spans.
#[derive(Clone)]
struct Guard {
    tracer: Tracer,
    authenticator: Arc<Authenticator>,
}

impl Guard {
    async fn admit(State(guard): State<Self>, request: Request, next: Next) -> Response {
        // Around the authorization, whose time belongs to the span.
        let handle = async |request| match guard.authenticator.admit(required_access, request).await
        {
            Ok(request) => next.run(request).await,
            Err(refused) => refused.into_response(),
        };
        front(request, async |request| traced::trace(&guard.tracer, request, handle).await).await
    }
}

/// Returns the `Allow` header of a path: its own, or that of the path of one
/// job.
fn allow_of<'a>(methods: &'a BTreeMap<String, HeaderValue>, path: &str) -> Option<&'a HeaderValue> {
    let of_job = || {
        let (resource, id) = path.rsplit_once('/')?;
        let is_job = |known: &str| {
            let parent = known.strip_suffix('}').and_then(|known| known.rsplit_once("/{"));
            parent.is_some_and(|(parent, _)| parent == resource)
        };
        let found = methods.iter().find(|(known, _)| is_job(known.as_str()));
        found.filter(|_| !id.is_empty()).map(|(_, allow)| allow)
    };
    methods.get(path).or_else(of_job)
}

/// Returns the access that a request needs. Returns `None` for preflights, the
/// API's description, and methods that no route takes.
fn required_access(method: &Method, path: &str) -> Option<Access> {
    // Both settle a lease that a reader took, so they need no more than reading.
    let settles_lease = path.ends_with("/ack") || path.ends_with("/release");
    match *method {
        Method::GET if path == "/openapi.json" => None,
        Method::GET => Some(Access::Collect),
        Method::POST if settles_lease => Some(Access::Collect),
        Method::POST => Some(Access::Submit),
        _ => None,
    }
}
