//! Leased batches: acknowledging and releasing them.

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::StatusCode;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

use super::ApiError;
use super::ApiState;
use super::Role;
use super::body;
use crate::domain::JobKind;
use crate::queue::BATCH_MAX;
use crate::queue::QueueError;
use crate::queue::QueueName;
use crate::queue::Receipt;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    batch: String,
}

/// The name of a batch: its receipts, in letters that fit a header and a URL.
pub fn name(receipts: &[&Receipt]) -> String {
    let texts: Vec<&str> = receipts.iter().map(|receipt| receipt.as_str()).collect();
    URL_SAFE_NO_PAD.encode(texts.join("\n"))
}

/// The receipts behind a name.
///
/// # Errors
///
/// For a name that HOTH never gave.
pub fn receipts(name: &str) -> Result<Vec<Receipt>, ApiError> {
    let bytes = URL_SAFE_NO_PAD.decode(name).map_err(|_| unknown())?;
    let text = String::from_utf8(bytes).map_err(|_| unknown())?;
    let receipts: Vec<Receipt> = text.split('\n').map(Receipt::new).collect();
    if receipts.len() > BATCH_MAX {
        return Err(unknown());
    }
    Ok(receipts)
}

/// `POST …/ack`: deletes a leased batch. Twice is as good as once.
pub async fn ack(
    State(api): State<Arc<ApiState>>,
    Extension(kind): Extension<JobKind>,
    headers: HeaderMap,
    body: Body,
) -> Result<StatusCode, ApiError> {
    let receipts = named(&api, &headers, body).await?;
    let deleted = api.queue.delete(&QueueName::outcomes(kind), &receipts).await;
    deleted.map_err(refused_is_bad)?;
    Ok(StatusCode::OK)
}

/// `POST …/release`: puts a leased batch back.
pub async fn release(
    State(api): State<Arc<ApiState>>,
    Extension(kind): Extension<JobKind>,
    headers: HeaderMap,
    body: Body,
) -> Result<StatusCode, ApiError> {
    let receipts = named(&api, &headers, body).await?;
    let queue = QueueName::outcomes(kind);
    let released = api.queue.change_lease(&queue, &receipts, Duration::ZERO).await;
    released.map_err(refused_is_bad)?;
    Ok(StatusCode::OK)
}

async fn named(api: &ApiState, headers: &HeaderMap, body: Body) -> Result<Vec<Receipt>, ApiError> {
    api.keys.authorize(headers, Role::Read)?;
    let body = body::json(api, headers, body).await?;
    let named: Named = serde_json::from_slice(&body)
        .map_err(|_| ApiError::BadRequest(r#"the body must be {"batch": "…"}"#.to_owned()))?;
    receipts(&named.batch)
}

/// A receipt that no queue wrote came from the caller.
fn refused_is_bad(error: QueueError) -> ApiError {
    if matches!(error, QueueError::Refused(_)) {
        return unknown();
    }
    error.into()
}

fn unknown() -> ApiError {
    ApiError::BadRequest("batch must be a Hoth-Batch that HOTH gave".to_owned())
}
