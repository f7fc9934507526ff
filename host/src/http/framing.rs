//! Rejects requests that a proxy in front of HOTH might read differently.
//!
//! hyper checks lengths, names and line ends. This module checks the rest that
//! RFC 9112 leaves to servers. Of two conflicting values, a proxy could have
//! acted on the other one (request smuggling).

use axum::extract::Request;
use axum::http::HeaderMap;
use axum::http::HeaderName;
use axum::http::Version;
use axum::http::header;

use super::error::FrontError;

/// Checks that a request names its host once and at most one transfer coding.
///
/// See RFC 9112 sections 3.2 (before HTTP/1.1 the host may be missing) and 6.1.
///
/// # Errors
///
/// Returns [`FrontError::Ambiguous`].
pub fn check_framing(request: &Request) -> Result<(), FrontError> {
    let headers = request.headers();
    let hosts = count(headers, header::HOST);
    // A client must send `Host` from HTTP/1.1 on (RFC 9112 section 3.2). A second
    // `Transfer-Encoding` line extends the list of the first (RFC 9110 section
    // 5.3); a proxy that reads only one of them sees another framing.
    let hosts_needed = usize::from(request.version() >= Version::HTTP_11);
    if hosts > 1 || hosts < hosts_needed || count(headers, header::TRANSFER_ENCODING) > 1 {
        return Err(FrontError::Ambiguous);
    }
    Ok(())
}

fn count(headers: &HeaderMap, name: HeaderName) -> usize {
    headers.get_all(name).iter().count()
}
