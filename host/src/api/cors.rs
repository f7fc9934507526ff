//! CORS: preflight responses, and the headers that every response has.

use axum::http::HeaderName;
use axum::http::HeaderValue;
use axum::http::StatusCode;
use axum::http::header;
use axum::response::IntoResponse as _;
use axum::response::Response;

const ALLOW_ORIGIN: (HeaderName, HeaderValue) =
    (header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));

/// The headers that a page may send beyond the safelisted ones.
const ALLOW_HEADERS: HeaderValue = HeaderValue::from_static(
    "Authorization, Content-Type, X-Amz-Date, X-Amz-Security-Token, X-Amz-Content-Sha256",
);

/// The headers that a page may read beyond the safelisted ones.
const EXPOSE_HEADERS: HeaderValue =
    HeaderValue::from_static("Accept-Encoding, Allow, Hoth-Batch, Hoth-Repeated, Retry-After");

/// Answers `OPTIONS`, which a browser sends before the actual request (Fetch
/// standard, section 3.2).
pub fn preflight(methods: HeaderValue) -> Response {
    let headers = [
        (header::ACCESS_CONTROL_ALLOW_METHODS, methods),
        (header::ACCESS_CONTROL_ALLOW_HEADERS, ALLOW_HEADERS),
    ];
    (StatusCode::OK, headers).into_response()
}

/// Adds the headers that every response has.
///
/// Outcomes must not be cached. Any origin is allowed, because a client is
/// authenticated by its key and never by a cookie.
pub fn add_common_headers(response: &mut Response) {
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(ALLOW_ORIGIN.0, ALLOW_ORIGIN.1);
    // The page never sees a preflight response, so there is nothing to expose
    // (Fetch standard, section 3.2).
    if !headers.contains_key(header::ACCESS_CONTROL_ALLOW_METHODS) {
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSE_HEADERS);
    }
}
