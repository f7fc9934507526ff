//! The authenticated request that every handler takes.

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::FromRequest;
use axum::extract::Request;
use axum::http::HeaderMap;
use axum::http::header;
use axum::http::request::Parts;
use bytes::Bytes;
use http_body::Body as _;

use super::error::ApiError;
use super::state::ApiState;
use crate::http::FrontError;
use crate::http::auth::Principal;
use crate::http::body;

/// An authorized request, with the API's state.
pub struct AuthedRequest {
    pub api: Arc<ApiState>,
    /// The sender, for the audit trail.
    pub principal: Principal,
    parts: Parts,
    /// Unread, unless the request is signed: then it is in memory already.
    body: Body,
}

impl FromRequest<Arc<ApiState>> for AuthedRequest {
    type Rejection = Infallible;

    async fn from_request(request: Request, api: &Arc<ApiState>) -> Result<Self, Infallible> {
        let (mut parts, body) = request.into_parts();
        let principal =
            parts.extensions.remove().expect("every route is behind the authorize layer");
        Ok(Self { api: Arc::clone(api), principal, parts, body })
    }
}

impl AuthedRequest {
    /// Returns the query without its question mark; empty if there is none.
    pub fn query(&self) -> &str {
        self.parts.uri.query().unwrap_or_default()
    }

    /// Reads the body, which must be JSON.
    ///
    /// # Errors
    ///
    /// Returns an error if the content type is missing or not JSON, or if the
    /// body is missing, too large or too slow.
    pub async fn json(self) -> Result<Bytes, ApiError> {
        expect_json(&self.parts.headers, &self.body)?;
        Ok(body::read(self.body, self.api.body_bytes_max, self.api.body_timeout).await?)
    }
}

/// Checks that the request declares a JSON body.
fn expect_json(headers: &HeaderMap, body: &Body) -> Result<(), ApiError> {
    match headers.get(header::CONTENT_TYPE) {
        Some(content_type) if content_type.to_str().is_ok_and(is_json) => Ok(()),
        Some(_) => Err(ApiError::NotJsonContentType),
        // Without a body a missing type is not the client's mistake.
        None if body.is_end_stream() => Err(FrontError::MissingBody.into()),
        None => Err(ApiError::NoContentType),
    }
}

/// Returns `true` for `application/json` and `application/*+json`, with or
/// without parameters (RFC 6839 section 3.1).
fn is_json(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let subtype = essence.strip_prefix("application/");
    subtype.is_some_and(|subtype| subtype == "json" || subtype.ends_with("+json"))
}

#[cfg(test)]
mod tests {
    use super::is_json;

    #[test]
    fn json_content_types_are_recognized() {
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
