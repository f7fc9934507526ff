//! The gate of the console: the origin of acts, the session, the headers.

use std::sync::Arc;

use axum::extract::Request;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::HeaderValue;
use axum::http::Method;
use axum::http::StatusCode;
use axum::http::header;
use axum::middleware::Next;
use axum::response::IntoResponse as _;
use axum::response::Redirect;
use axum::response::Response;
use percent_encoding::NON_ALPHANUMERIC;
use percent_encoding::utf8_percent_encode;

use super::ConsoleState;
use super::layout;
use super::session;
use crate::http;
use crate::http::auth::Principal;

/// Only what this host serves, and nothing inline. Forms go to this host, and
/// no page may frame the console.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
     img-src 'self' data:; connect-src 'self'; form-action 'self'; frame-ancestors 'none'; \
     base-uri 'none'";

/// The header by which the script asks for fresh content. Such a request shows
/// no person, and keeps no session alive.
pub const REFRESH: &str = "hoth-refresh";

/// Adds the headers that protect a page to every response.
pub async fn protect(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (header::HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (header::HeaderName::from_static("x-robots-tag"), "noindex"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// Refuses acts that another site has started.
pub async fn same_origin(request: Request, next: Next) -> Response {
    let is_safe = matches!(*request.method(), Method::GET | Method::HEAD);
    if is_safe || is_same_origin(request.headers()) {
        return next.run(request).await;
    }
    let message = "This form was not sent from a page of this console.";
    layout::error(StatusCode::FORBIDDEN, message)
}

/// Returns `true` if the browser says that a page of this host sent the
/// request.
///
/// Browsers send `Sec-Fetch-Site` to https and to loopback (Fetch Metadata
/// Request Headers, section 2.4), and `Origin` with every POST (Fetch standard,
/// section 3.2).
fn is_same_origin(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    if let Some(site) = text("sec-fetch-site") {
        return site == "same-origin";
    }
    let origin = text("origin").and_then(|origin| origin.split_once("://"));
    match (origin, text("host")) {
        (Some((_, origin)), Some(host)) => origin.eq_ignore_ascii_case(host),
        (None, _) | (_, None) => false,
    }
}

/// Passes a request on if a person is logged in, or if the host has no keys.
/// Others are sent to the login.
pub async fn authenticate(
    State(state): State<Arc<ConsoleState>>,
    request: Request,
    next: Next,
) -> Response {
    let (head, body) = request.into_parts();
    if state.sessions.is_open() {
        if let Err(error) = http::check_loopback(&head) {
            return error.into_response();
        }
        return proceed(Principal::anyone(), Request::from_parts(head, body), next).await;
    }
    let now = state.admin.clock.now();
    let cookies =
        head.headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let session =
        cookies.filter_map(session::cookie).find_map(|cookie| state.sessions.resume(cookie, now));
    let Some(session) = session else {
        return log_in(&head.method, &head.uri, head.headers.contains_key(REFRESH));
    };
    let is_refresh = head.headers.contains_key(REFRESH);
    let mut response =
        proceed(session.principal.clone(), Request::from_parts(head, body), next).await;
    // Unless the response has ended the session.
    if !is_refresh
        && !response.headers().contains_key(header::SET_COOKIE)
        && let Some(cookie) = state.sessions.set_cookie(&session, now)
        && let Ok(cookie) = HeaderValue::from_str(&cookie)
    {
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    response
}

async fn proceed(principal: Principal, mut request: Request, next: Next) -> Response {
    if let Err(error) = http::activate(request.extensions()) {
        return error.into_response();
    }
    request.extensions_mut().insert(principal);
    next.run(request).await
}

/// Sends a person to the login, and back to the same page afterwards.
fn log_in(method: &Method, uri: &axum::http::Uri, is_refresh: bool) -> Response {
    if is_refresh {
        // The script then loads the whole page, which is the login.
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let target = uri.path_and_query().map_or("", |target| target.as_str());
    match *method {
        // The path is that of the nested router, without the prefix.
        Method::GET if !target.is_empty() && target != "/" => {
            let next = utf8_percent_encode(target, NON_ALPHANUMERIC);
            Redirect::to(&format!("/console/login?next={next}")).into_response()
        }
        _ => Redirect::to("/console/login").into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_act_must_come_from_a_page_of_this_host() {
        for (site, origin, host, expected) in [
            (Some("same-origin"), None, Some("h"), true),
            (Some("same-site"), Some("https://h"), Some("h"), false),
            (Some("cross-site"), Some("https://h"), Some("h"), false),
            (Some("none"), None, Some("h"), false),
            (None, Some("https://hoth.example:8081"), Some("hoth.example:8081"), true),
            (None, Some("https://evil.example"), Some("hoth.example:8081"), false),
            (None, Some("null"), Some("null"), false),
            (None, None, Some("hoth.example"), false),
            (None, Some("https://h"), None, false),
        ] {
            let mut headers = HeaderMap::new();
            for (name, value) in [("sec-fetch-site", site), ("origin", origin), ("host", host)] {
                if let Some(value) = value {
                    headers.insert(name, HeaderValue::from_static(value));
                }
            }
            assert_eq!(is_same_origin(&headers), expected, "{site:?} {origin:?} {host:?}");
        }
    }
}
