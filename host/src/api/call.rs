//! One request, as every handler takes it.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::FromRequest;
use axum::extract::Request;
use axum::http::HeaderMap;
use axum::http::header;
use axum::http::request::Parts;
use bytes::Bytes;
use http_body::Body as _;
use http_body_util::BodyExt as _;
use http_body_util::LengthLimitError;
use http_body_util::Limited;

use super::ApiError;
use super::ApiState;
use crate::http::auth::Principal;

/// A request that was let in, and what it can reach.
pub struct Call {
    pub api: Arc<ApiState>,
    /// Who sent it.
    pub principal: Principal,
    parts: Parts,
    body: Body,
}

impl FromRequest<Arc<ApiState>> for Call {
    type Rejection = Infallible;

    async fn from_request(request: Request, api: &Arc<ApiState>) -> Result<Self, Infallible> {
        let (mut parts, body) = request.into_parts();
        let principal = parts.extensions.remove().expect("every route lets its callers in first");
        Ok(Self { api: Arc::clone(api), principal, parts, body })
    }
}

impl Call {
    /// The query, without its question mark; empty where there is none.
    pub fn query(&self) -> &str {
        self.parts.uri.query().unwrap_or_default()
    }

    /// Reads the body, which must be JSON.
    ///
    /// # Errors
    ///
    /// For a content type that is missing or not JSON, and a body that is too
    /// large or too slow.
    pub async fn json(self) -> Result<Bytes, ApiError> {
        expect_json(&self.parts.headers, &self.body)?;
        read(self.body, self.api.body_bytes_max, self.api.body_timeout).await
    }
}

fn expect_json(headers: &HeaderMap, body: &Body) -> Result<(), ApiError> {
    match headers.get(header::CONTENT_TYPE) {
        Some(content_type) if content_type.to_str().is_ok_and(is_json) => Ok(()),
        Some(_) => Err(ApiError::NotJsonContentType),
        // Who sends nothing has no type to tell.
        None if body.is_end_stream() => Err(ApiError::NoBody),
        None => Err(ApiError::NoContentType),
    }
}

/// Reads a body.
///
/// # Errors
///
/// For one that is too large, too slow or broken.
pub async fn read(body: Body, bytes_max: usize, timeout: Duration) -> Result<Bytes, ApiError> {
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
