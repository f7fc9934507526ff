//! The routes of the API: each has its handler and its entry in the
//! description.
//!
//! Both resources have the same six routes, made from [`JobKind`].

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use axum::handler::Handler;
use axum::http::HeaderValue;
use axum::http::Method;
use axum::routing::MethodFilter;
use axum::routing::MethodRouter;
use axum::routing::get;
use axum::routing::on;
use axum::routing::post;
use serde_json::Value;

use super::accept;
use super::authed_request::AuthedRequest;
use super::batch;
use super::collect;
use super::cors;
use super::openapi;
use super::openapi::operations;
use super::redeliver;
use super::state::State;
use super::status;
use hoth_core::domain::JobKind;

/// One method of one path.
pub struct Route {
    pub path: String,
    /// Kept beside the handler, because axum does not tell the methods of a
    /// `MethodRouter`: the description and the `Allow` headers need them.
    pub method: Method,
    pub handler: MethodRouter<State>,
    /// The OpenAPI operation. `None` for the preflight requests of browsers,
    /// which are no operations for clients.
    pub operation: Option<Value>,
}

impl Route {
    fn get<H: Handler<T, State>, T: 'static>(path: &str, handler: H, operation: Value) -> Self {
        let operation = Some(operation);
        Self { path: path.to_owned(), method: Method::GET, handler: get(handler), operation }
    }

    fn post<H: Handler<T, State>, T: 'static>(path: &str, handler: H, operation: Value) -> Self {
        let operation = Some(operation);
        Self { path: path.to_owned(), method: Method::POST, handler: post(handler), operation }
    }

    /// Returns the path, the method and the operation. Returns `None` for a
    /// route that is not described.
    pub fn described(&self) -> Option<(&str, &Method, &Value)> {
        Some((&self.path, &self.method, self.operation.as_ref()?))
    }
}

/// Returns all routes of the API.
pub fn all() -> Vec<Route> {
    let mut routes = Vec::from(resource(JobKind::Provisioning));
    routes.extend(resource(JobKind::Cost));
    routes.extend(preflights(&routes));
    // After the preflights, because it needs none: a plain `GET` without further
    // headers causes no preflight (Fetch standard, section 3.2).
    let description = operations::read_description();
    routes.push(Route::get("/openapi.json", openapi::read, description));
    routes
}

fn resource(kind: JobKind) -> [Route; 6] {
    let (path, id) = match kind {
        JobKind::Provisioning => ("/provisioning-jobs", "jobId"),
        JobKind::Cost => ("/cost-jobs", "requestId"),
    };
    [
        Route::post(
            path,
            move |authed: AuthedRequest| accept::accept(authed, kind),
            operations::accept(kind),
        ),
        Route::get(
            path,
            move |authed: AuthedRequest| collect::collect(authed, kind),
            operations::collect(kind),
        ),
        Route::get(
            &format!("{path}/{{{id}}}"),
            move |id: Result<Path<String>, PathRejection>, authed: AuthedRequest| {
                status::read(id, authed, kind)
            },
            operations::read_status(kind),
        ),
        Route::post(
            &format!("{path}/ack"),
            move |authed: AuthedRequest| batch::ack(authed, kind),
            operations::ack(kind),
        ),
        Route::post(
            &format!("{path}/release"),
            move |authed: AuthedRequest| batch::release(authed, kind),
            operations::release(kind),
        ),
        Route::post(
            &format!("{path}/redeliver"),
            move |authed: AuthedRequest| redeliver::redeliver(authed, kind),
            operations::redeliver(kind),
        ),
    ]
}

/// Returns `OPTIONS` for every path that a page may post to.
fn preflights(routes: &[Route]) -> Vec<Route> {
    let posts = routes.iter().filter(|route| route.method == Method::POST);
    let preflight = |route: &Route| {
        let methods = methods_of(routes, &route.path);
        // `OPTIONS` itself is not among the routes yet.
        let allow = header_value(methods.into_iter().chain([Method::OPTIONS]));
        Route {
            path: route.path.clone(),
            method: Method::OPTIONS,
            handler: on(MethodFilter::OPTIONS, async move || cors::preflight(allow)),
            operation: None,
        }
    };
    posts.map(preflight).collect()
}

/// Returns the `Allow` header of each path.
pub fn allowed(routes: &[Route]) -> BTreeMap<String, HeaderValue> {
    let paths: BTreeSet<&String> = routes.iter().map(|route| &route.path).collect();
    let allow = |path: &String| (path.clone(), header_value(methods_of(routes, path)));
    paths.into_iter().map(allow).collect()
}

fn methods_of(routes: &[Route], path: &str) -> Vec<Method> {
    // In a fixed order, so that the `Allow` header of a path never changes.
    let has = |method: &Method| routes.iter().any(|r| r.path == path && r.method == *method);
    [Method::GET, Method::POST, Method::OPTIONS].into_iter().filter(has).collect()
}

fn header_value(methods: impl IntoIterator<Item = Method>) -> HeaderValue {
    let names: Vec<String> = methods.into_iter().map(|method| method.to_string()).collect();
    HeaderValue::try_from(names.join(", ")).expect("methods are plain letters")
}
