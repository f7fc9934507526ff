//! Tells where one job is. Consumes nothing, changes nothing.

use axum::Json;
use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use axum::http::HeaderValue;
use axum::http::header;
use axum::response::IntoResponse;
use axum::response::Response;

use super::authed_request::AuthedRequest;
use super::error::ApiError;
use crate::http::FrontError;
use hoth_core::domain::JobKind;

/// Handles `GET` of one job.
pub async fn read(
    id: Result<Path<String>, PathRejection>,
    authed: AuthedRequest,
    kind: JobKind,
) -> Result<Response, ApiError> {
    let Ok(Path(id)) = id else { return Err(FrontError::NotFound.into()) };
    let found = authed.api.status(kind, id).await?;
    let status = found.ok_or(FrontError::NotFound)?;
    // The next answer may be another one.
    let no_store = [(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))];
    Ok((no_store, Json(status)).into_response())
}
