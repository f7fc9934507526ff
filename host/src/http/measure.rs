//! The time of requests, by route.

use std::collections::HashMap;
use std::sync::OnceLock;
use std::sync::PoisonError;
use std::sync::RwLock;
use std::time::Instant;

use axum::extract::MatchedPath;
use axum::extract::Request;
use axum::http::Method;
use axum::http::StatusCode;
use metrics::Histogram;

use crate::metrics::table;

/// The route of requests whose path no route matches.
const NO_ROUTE: &str = "(none)";

/// The methods that have series of their own. Anyone may send any other word.
const METHODS: [Method; 6] =
    [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::DELETE, Method::OPTIONS];

/// The name of all other methods.
const OTHER_METHOD: &str = "other";

/// The classes of statuses, by their first digit.
const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// The handles of one route, found once for each method and class.
type RouteMeter = [[OnceLock<Histogram>; CLASSES.len()]; METHODS.len() + 1];

/// The handles of all routes. Their number is that of the routes, which are
/// templates.
static METERS: RwLock<Option<HashMap<String, RouteMeter>>> = RwLock::new(None);

/// The measurement of the time from a request to the head of its response.
#[derive(Debug)]
pub struct RequestTimer {
    started_at: Instant,
    route: Option<MatchedPath>,
    method: Method,
}

impl RequestTimer {
    /// Begins the time of a request.
    pub fn start(request: &Request) -> Self {
        let route = request.extensions().get::<MatchedPath>().cloned();
        Self { started_at: Instant::now(), route, method: request.method().clone() }
    }

    /// Records the time, by the status of the response.
    pub fn stop(self, status: StatusCode) {
        let route = self.route.as_ref().map_or(NO_ROUTE, MatchedPath::as_str);
        let took = self.started_at.elapsed();
        with_series(route, &self.method, status, |series| series.record(took));
    }
}

fn with_series(route: &str, method: &Method, status: StatusCode, record: impl FnOnce(&Histogram)) {
    let known = METERS.read().unwrap_or_else(PoisonError::into_inner);
    if let Some(meter) = known.as_ref().and_then(|meters| meters.get(route)) {
        return record(series(meter, route, method, status));
    }
    drop(known);
    let mut meters = METERS.write().unwrap_or_else(PoisonError::into_inner);
    let meter = meters.get_or_insert_default().entry(route.to_owned()).or_default();
    record(series(meter, route, method, status));
}

fn series<'a>(
    meter: &'a RouteMeter,
    route: &str,
    method: &Method,
    status: StatusCode,
) -> &'a Histogram {
    let known = METHODS.iter().position(|known| known == method);
    let class = usize::from(status.as_u16() / 100).clamp(1, CLASSES.len()) - 1;
    let name = known.map_or(OTHER_METHOD, |at| METHODS[at].as_str());
    meter[known.unwrap_or(METHODS.len())][class]
        .get_or_init(|| table::HTTP_REQUEST.with(&[route, name, CLASSES[class]]))
}
