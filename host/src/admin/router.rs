//! The routes of the admin API and the layers before its handlers.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::DefaultBodyLimit;
use axum::extract::Request;
use axum::http::Method;
use axum::http::header;
use axum::middleware;
use axum::middleware::Next;
use axum::response::IntoResponse as _;
use axum::response::Response;
use axum::routing::get;
use axum::routing::post;

use super::adapters;
use super::csp_details;
use super::csps;
use super::dead_letters;
use super::host;
use super::job_acts;
use super::jobs;
use super::journals;
use super::queues;
use super::scrape;
use super::state::AdminState;
use crate::http;
use crate::http::Authenticator;
use crate::http::FrontError;
use crate::http::RequestTimer;
use crate::http::RequiredAccess;
use crate::http::auth::Access;
use crate::http::body;
use crate::http::check_framing;

/// The longest time for an operator to send a component.
const BODY_TIMEOUT: Duration = Duration::from_secs(60);

/// Builds the admin API, ready to be served.
pub fn router(state: &Arc<AdminState>) -> Router {
    // Operators have no rate limit: they may have to act while clients of the
    // API send too many requests.
    let authenticator = Authenticator::new(
        state.keys.clone(),
        state.clock.clone(),
        None,
        adapters::COMPONENT_BYTES_MAX,
        BODY_TIMEOUT,
    );
    let state = Arc::clone(state);
    let guarded = Router::new()
        .route("/metrics", get(scrape::metrics))
        .route("/adapters", get(adapters::list))
        .route("/adapters/{name}", get(adapters::show).put(adapters::put))
        .route("/adapters/{name}/rollback", post(adapters::post_rollback))
        .route("/adapters/{name}/replay", post(adapters::post_replay))
        .route("/adapters/{name}/journals", get(journals::get_list))
        .route("/adapters/{name}/journals/{file}", get(journals::get_one))
        .route("/csps", get(csps::list))
        .route("/csps/{name}", get(csp_details::show))
        .route("/csps/{name}/pause", post(csps::post_pause))
        .route("/csps/{name}/resume", post(csps::post_resume))
        .route("/csps/{name}/reset-breaker", post(csps::post_reset_breaker))
        .route("/jobs", get(jobs::list))
        .route("/jobs/{id}", get(jobs::show))
        .route("/jobs/{id}/journal", get(journals::get_of_job))
        .route("/jobs/{id}/look-now", post(job_acts::post_look_now))
        .route("/jobs/{id}/cancel", post(job_acts::post_cancel))
        .route("/jobs/{id}/settle", post(job_acts::post_settle))
        .route("/audit", get(jobs::audit))
        .route("/host", get(host::show))
        .route("/host/drain", post(host::post_drain))
        .route("/host/resume", post(host::post_resume))
        .route("/queues", get(queues::list))
        .route("/queues/{name}/explain", get(queues::explain))
        .route("/queues/{name}/dead-letters", get(dead_letters::list))
        .route("/queues/{name}/dead-letters/{id}", get(dead_letters::show))
        .route("/queues/{name}/redrive", post(dead_letters::post_redrive))
        .route("/queues/{name}/purge", post(dead_letters::post_purge))
        // Layers run in reverse order: authorization, then the bounded body,
        // then the handler. axum's own limit of 2 MB would refuse components.
        .layer(DefaultBodyLimit::max(adapters::COMPONENT_BYTES_MAX))
        .route_layer(middleware::from_fn(buffer_body))
        .route_layer(middleware::from_fn_with_state(
            (Arc::new(authenticator), required_access as RequiredAccess),
            http::authorize,
        ));
    state
        .health
        .clone()
        .routes()
        .merge(guarded)
        .fallback(async || FrontError::NotFound)
        .method_not_allowed_fallback(async || FrontError::MethodNotAllowed(None))
        // Before authentication, and on every path: a page must not learn which
        // paths exist either.
        .layer(middleware::from_fn(front))
        .with_state(state)
}

/// Returns the access that a guarded route needs.
fn required_access(method: &Method, path: &str) -> Option<Access> {
    let is_act_of_operators =
        ["/csps/", "/queues/", "/host/", "/jobs/"].iter().any(|prefix| path.starts_with(prefix));
    Some(match *method {
        Method::GET | Method::HEAD if is_journal(path) => Access::Operate,
        Method::GET | Method::HEAD => Access::View,
        Method::POST if is_act_of_operators => Access::Operate,
        _ => Access::Administer,
    })
}

/// Returns true for the path of a journal's content.
fn is_journal(path: &str) -> bool {
    let segments: Vec<&str> = path.split('/').collect();
    matches!(segments[..], ["", "jobs", _, "journal"] | ["", "adapters", _, "journals", _])
}

/// Measures the request, refusals included, and refuses one that is ambiguous or
/// of a web page.
async fn front(request: Request, next: Next) -> Response {
    let timer = RequestTimer::start(&request);
    let response = match check_framing(&request).and_then(|()| check_sender(&request)) {
        Ok(()) => next.run(request).await,
        Err(refused) => refused.into_response(),
    };
    timer.stop(response.status());
    response
}

/// Rejects requests of web pages, which browsers mark with `Origin` (Fetch
/// standard, section 3.2).
///
/// On an operator's machine with a host without keys, any web page could
/// otherwise act as the operator.
fn check_sender(request: &Request) -> Result<(), FrontError> {
    match request.headers().contains_key(header::ORIGIN) {
        true => Err(FrontError::Forbidden),
        false => Ok(()),
    }
}

/// Reads the body before the handler runs, within bounds of size and time.
async fn buffer_body(request: Request, next: Next) -> Result<Response, FrontError> {
    // After the authorization, so only operators can fill this memory. (The body
    // of a signed request has been read already; this read is then immediate.)
    let (head, body) = request.into_parts();
    let body = body::read(body, adapters::COMPONENT_BYTES_MAX, BODY_TIMEOUT).await?;
    Ok(next.run(Request::from_parts(head, Body::from(body))).await)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_are_for_viewers_and_the_content_of_journals_for_operators() {
        for (method, path, expected) in [
            (Method::GET, "/jobs", Access::View),
            (Method::GET, "/jobs/journal", Access::View),
            (Method::GET, "/jobs/a/journal", Access::Operate),
            (Method::HEAD, "/jobs/a/journal", Access::Operate),
            (Method::GET, "/adapters/atat/journals", Access::View),
            (Method::GET, "/adapters/atat/journals/1.a.b.c", Access::Operate),
            (Method::POST, "/csps/CSP_A/pause", Access::Operate),
            (Method::PUT, "/adapters/atat", Access::Administer),
        ] {
            assert_eq!(required_access(&method, path), Some(expected), "{method} {path}");
        }
    }
}
