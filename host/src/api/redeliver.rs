//! `POST …/redeliver`: puts consumed outcomes back on their queue.

use std::sync::Arc;

use axum::Extension;
use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use serde::Deserialize;
use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tracing::info;

use super::ApiError;
use super::ApiState;
use super::Role;
use super::body;
use crate::domain::JobKind;
use crate::domain::Timestamp;
use crate::queue::QueueName;
use crate::queue::Redeliver;

/// Ids that one call may name.
const IDS_MAX: usize = 1_000;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Which {
    job_ids: Option<Vec<String>>,
    request_ids: Option<Vec<String>>,
    since: Option<String>,
}

#[derive(Debug, Serialize)]
pub struct Redelivered {
    redelivered: u64,
}

/// Puts them back, and says how many there were.
pub async fn redeliver(
    State(api): State<Arc<ApiState>>,
    Extension(kind): Extension<JobKind>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Redelivered>, ApiError> {
    let principal = api.keys.authorize(&headers, Role::Write)?;
    let body = body::json(&api, &headers, body).await?;
    let which = which(kind, &body)?;
    api.settling.settled(kind).await;
    let redelivered = api.queue.redeliver(&QueueName::outcomes(kind), which).await?;
    info!(redelivered, kind = kind.as_str(), by = %principal, "Outcomes put back");
    Ok(Json(Redelivered { redelivered }))
}

fn which(kind: JobKind, body: &[u8]) -> Result<Redeliver, ApiError> {
    let ids = match kind {
        JobKind::Provisioning => "jobIds",
        JobKind::Cost => "requestIds",
    };
    let usage = || {
        let usage = format!(r#"the body must be {{"{ids}": ["…"]}} or {{"since": "<RFC 3339>"}}"#);
        ApiError::BadRequest(usage)
    };
    let which: Which = serde_json::from_slice(body).map_err(|_| usage())?;
    let keys = match (kind, which.job_ids, which.request_ids) {
        (JobKind::Provisioning, keys, None) | (JobKind::Cost, None, keys) => keys,
        (JobKind::Provisioning | JobKind::Cost, _, _) => return Err(usage()),
    };
    match (keys, which.since) {
        (Some(keys), None) if keys.len() <= IDS_MAX => Ok(Redeliver::Keys(keys)),
        (Some(_), None) => Err(ApiError::BadRequest(format!("{ids} may name {IDS_MAX} at once"))),
        (None, Some(since)) => {
            let since = OffsetDateTime::parse(&since, &Rfc3339).map_err(|_| usage())?;
            let millis = since.unix_timestamp_nanos() / 1_000_000;
            Ok(Redeliver::Since(Timestamp::from_millis(u64::try_from(millis).unwrap_or(0))))
        }
        (None, None) | (Some(_), Some(_)) => Err(usage()),
    }
}
