//! Reading a request's body, within bounds.

use std::time::Duration;

use axum::body::Body;
use axum::http::HeaderMap;
use axum::http::header;
use bytes::Bytes;
use http_body_util::BodyExt as _;
use http_body_util::LengthLimitError;
use http_body_util::Limited;

use super::ApiError;
use super::ApiState;

/// Reads a body that must be JSON.
///
/// # Errors
///
/// For a content type that is missing or not JSON, and a body that is too
/// large or too slow.
pub async fn json(state: &ApiState, headers: &HeaderMap, body: Body) -> Result<Bytes, ApiError> {
    let content_type = headers.get(header::CONTENT_TYPE).ok_or(ApiError::NoContentType)?;
    if !content_type.to_str().is_ok_and(is_json) {
        return Err(ApiError::NotJsonContentType);
    }
    read(body, state.body_bytes_max, state.body_timeout).await
}

async fn read(body: Body, bytes_max: usize, timeout: Duration) -> Result<Bytes, ApiError> {
    let collected = Limited::new(body, bytes_max).collect();
    match tokio::time::timeout(timeout, collected).await {
        Err(_) => Err(ApiError::Slow),
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(ApiError::TooLarge(bytes_max)),
        // Broken framing: there is no body that could be read.
        Ok(Err(_)) => Err(ApiError::NoBody),
    }
}

/// `application/json` or `application/*+json`, with or without parameters
/// (RFC 6839 section 3.1).
fn is_json(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let subtype = essence.strip_prefix("application/");
    subtype.is_some_and(|subtype| subtype == "json" || subtype.ends_with("+json"))
}

#[cfg(test)]
mod tests {
    use super::is_json;

    #[test]
    fn json_goes_by_several_names() {
        for (content_type, expected) in [
            ("application/json", true),
            ("Application/JSON; charset=utf-8", true),
            ("application/problem+json", true),
            ("application/vnd.api+json;v=1", true),
            ("text/json", false),
            ("text/plain", false),
            ("application/jsonp", false),
            ("application/x-www-form-urlencoded", false),
            ("", false),
        ] {
            assert_eq!(is_json(content_type), expected, "{content_type}");
        }
    }
}
