//! Reading a request's body within bounds of size and time.

use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http_body_util::BodyExt as _;
use http_body_util::LengthLimitError;
use http_body_util::Limited;

use super::error::FrontError;

/// Reads a whole body of at most `bytes_max` within `timeout`.
///
/// # Errors
///
/// Returns [`FrontError::TooLarge`], [`FrontError::Slow`], or
/// [`FrontError::MissingBody`] for broken framing.
pub async fn read(body: Body, bytes_max: usize, timeout: Duration) -> Result<Bytes, FrontError> {
    let collected = Limited::new(body, bytes_max).collect();
    // One deadline for the whole body: a client that sends a byte now and then
    // gains no time.
    match tokio::time::timeout(timeout, collected).await {
        Err(_) => Err(FrontError::Slow),
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(FrontError::TooLarge(bytes_max)),
        // The connection broke or a chunk was malformed, so there is no whole
        // body to act on.
        Ok(Err(_)) => Err(FrontError::MissingBody),
    }
}
