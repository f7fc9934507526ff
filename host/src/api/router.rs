//! The routes of the API and the layers before its handlers.

use std::sync::Arc;

use axum::Router;
use axum::http::Method;
use axum::http::Uri;
use axum::middleware;
use axum::routing::head;
use axum::routing::options;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::cors;
use super::cost_jobs;
use super::openapi;
use super::provisioning_jobs;
use super::state::ApiState;
use super::state::State;
use crate::http::FrontError;
use crate::http::RequiredRole;
use crate::http::auth::Role;
use crate::http::authorize;
use crate::http::reject_ambiguous;

/// Returns every route of the API with its description, which is generated from
/// the same handlers.
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

/// Builds the API, ready to be served.
pub fn router(state: ApiState) -> Router {
    let (mut router, mut description) = routes().split_for_parts();
    openapi::describe_preflights(&mut description);
    let methods = Arc::new(openapi::methods(&description));
    for (path, _) in description.paths.paths.iter().filter(|(_, item)| item.options.is_some()) {
        let allow = methods[path].clone();
        router = router.route(path, options(async move || cors::preflight(allow)));
    }
    let refuse = async move |uri: Uri| match methods.get(uri.path()) {
        Some(allow) => FrontError::MethodNotAllowed(Some(allow.clone())),
        None => FrontError::NotFound,
    };
    // axum answers HEAD through the GET handler. That handler consumes the
    // outcomes that it returns, and a HEAD would lose them with the body.
    for (path, _) in description.paths.paths.iter().filter(|(_, item)| item.get.is_some()) {
        router = router.route(path, head(refuse.clone()));
    }
    let state = ApiState { openapi: openapi::text(&description), ..state };
    let authenticator = Arc::clone(&state.authenticator);
    let authorization =
        middleware::from_fn_with_state((authenticator, required_role as RequiredRole), authorize);
    router
        // A route layer: unknown paths and methods get their 404 or 405 without
        // a key.
        .route_layer(authorization)
        .fallback(async || FrontError::NotFound)
        .method_not_allowed_fallback(refuse)
        // Added after the routes, so it runs before authentication: an
        // ambiguous head proves nothing.
        .layer(middleware::from_fn(reject_ambiguous))
        .layer(middleware::map_response(cors::common_headers))
        .with_state(Arc::new(state))
}

/// Returns the role that a request needs. Returns `None` for preflights, the
/// API's description, and methods that no route takes.
fn required_role(method: &Method, path: &str) -> Option<Role> {
    // Both settle a lease that a reader took, so they need no more than reading.
    let settles_lease = path.ends_with("/ack") || path.ends_with("/release");
    match *method {
        Method::GET if path == "/openapi.json" => None,
        Method::GET => Some(Role::Read),
        Method::POST if settles_lease => Some(Role::Read),
        Method::POST => Some(Role::Write),
        _ => None,
    }
}
