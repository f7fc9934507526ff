//! The JSON bodies of acts.

use axum::http::HeaderMap;
use axum::http::header;
use serde::de::DeserializeOwned;

use super::error::AdminError;

/// Returns the JSON in a body; `what` names it, and `missing` says what it must
/// have.
///
/// # Errors
///
/// Returns an error for any other body, and for none: an act whose body is
/// missing or not understood must not happen.
pub fn parse<T: DeserializeOwned>(
    headers: &HeaderMap,
    body: &[u8],
    what: &str,
    missing: &str,
) -> Result<T, AdminError> {
    let Some(content_type) = headers.get(header::CONTENT_TYPE) else {
        let problem = format!("{what} in JSON with its Content-Type is required; {missing}");
        return Err(AdminError::BadRequest(problem));
    };
    let essence = content_type.to_str().unwrap_or_default().split(';').next().unwrap_or_default();
    if !essence.trim().eq_ignore_ascii_case("application/json") {
        return Err(AdminError::MediaType(format!("{what} must be application/json")));
    }
    serde_json::from_slice(body)
        .map_err(|error| AdminError::BadRequest(format!("the body is invalid: {error}")))
}
