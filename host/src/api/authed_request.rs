//! The authenticated request that every handler takes.

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::FromRequest;
use axum::extract::Request;
use axum::http::HeaderMap;
use axum::http::HeaderValue;
use axum::http::header;
use axum::http::request::Parts;
use bytes::Bytes;
use http_body::Body as _;

use super::error::ApiError;
use super::state::ApiState;
use crate::http::auth::Principal;
use crate::http::body;
use crate::traces::RequestTrace;

/// An authorized request, with the API's state.
pub struct AuthedRequest {
    pub api: Arc<ApiState>,
    /// The sender, for the audit trail.
    pub principal: Principal,
    /// The trace of the request.
    pub trace: RequestTrace,
    parts: Parts,
    /// Unread, unless the request is signed: then it is in memory already.
    body: Body,
}

impl FromRequest<Arc<ApiState>> for AuthedRequest {
    type Rejection = Infallible;

    async fn from_request(request: Request, api: &Arc<ApiState>) -> Result<Self, Infallible> {
        let (mut parts, body) = request.into_parts();
        let principal: Principal =
            parts.extensions.remove().expect("every route is behind the authorize layer");
        let trace: RequestTrace =
            parts.extensions.remove().expect("every route is behind the layer of traces");
        trace.authorize(principal.key.as_deref());
        Ok(Self { api: Arc::clone(api), principal, trace, parts, body })
    }
}

impl AuthedRequest {
    /// Returns the query without its question mark; empty if there is none.
    pub fn query(&self) -> &str {
        self.parts.uri.query().unwrap_or_default()
    }

    /// Reads the body, which must be JSON. A byte order mark is dropped.
    ///
    /// # Errors
    ///
    /// Returns an error if the content type is missing or not JSON, if the
    /// charset or the content coding is not supported, or if the body is
    /// missing, too large or too slow.
    pub async fn json(self) -> Result<Bytes, ApiError> {
        expect_json(&self.parts.headers, &self.body)?;
        let mut body =
            body::read(self.body, self.api.body_bytes_max, self.api.body_timeout).await?;
        // RFC 8259 section 8.1 permits to ignore it. Windows clients send it.
        if body.starts_with(BYTE_ORDER_MARK) {
            drop(body.split_to(BYTE_ORDER_MARK.len()));
        }
        Ok(body)
    }
}

/// The byte order mark of UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Checks that the request declares a JSON body in UTF-8 without a coding.
fn expect_json(headers: &HeaderMap, body: &Body) -> Result<(), ApiError> {
    let Some(content_type) = headers.get(header::CONTENT_TYPE) else {
        return Err(match body.is_end_stream() {
            // Without a body a missing type is not the client's mistake.
            true => ApiError::NotJson("is empty".to_owned()),
            false => ApiError::NoContentType,
        });
    };
    let Some(content_type) = content_type.to_str().ok().filter(|text| is_json(text)) else {
        return Err(ApiError::NotJsonContentType);
    };
    if !is_utf8(content_type) {
        return Err(ApiError::NotUtf8Charset);
    }
    let is_identity = |coding: &HeaderValue| coding.as_bytes().eq_ignore_ascii_case(b"identity");
    match headers.get_all(header::CONTENT_ENCODING).iter().all(is_identity) {
        true => Ok(()),
        false => Err(ApiError::Coded),
    }
}

/// Returns `true` if the content type names no charset other than UTF-8. (JSON
/// defines no such parameter, but clients send it.)
fn is_utf8(content_type: &str) -> bool {
    let charset = |parameter: &str| {
        let (name, value) = parameter.split_once('=')?;
        let is_charset = name.trim().eq_ignore_ascii_case("charset");
        is_charset.then(|| value.trim().trim_matches('"').to_ascii_lowercase())
    };
    let mut charsets = content_type.split(';').skip(1).filter_map(charset);
    // ASCII is a part of UTF-8.
    charsets.all(|charset| matches!(charset.as_str(), "utf-8" | "utf8" | "us-ascii"))
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
