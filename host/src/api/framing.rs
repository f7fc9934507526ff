//! What a head must say in one way alone, before anything else of it counts.
//!
//! The parser sees to lengths, names and lines. What it leaves to servers is
//! here: who stands before HOTH may have read the other one of two.

use axum::extract::Request;
use axum::http::HeaderMap;
use axum::http::HeaderName;
use axum::http::Version;
use axum::http::header;
use axum::middleware::Next;
use axum::response::Response;

use super::ApiError;

/// Lets a request through that names its host once (RFC 9112 section 3.2; HTTP
/// before 1.1 may leave it out), and at most one transfer coding (section 6.1).
///
/// # Errors
///
/// [`ApiError::Ambiguous`].
pub async fn unambiguous(request: Request, next: Next) -> Result<Response, ApiError> {
    let headers = request.headers();
    let hosts = count(headers, header::HOST);
    let hosts_needed = usize::from(request.version() >= Version::HTTP_11);
    if hosts > 1 || hosts < hosts_needed || count(headers, header::TRANSFER_ENCODING) > 1 {
        return Err(ApiError::Ambiguous);
    }
    Ok(next.run(request).await)
}

fn count(headers: &HeaderMap, name: HeaderName) -> usize {
    headers.get_all(name).iter().count()
}
