//! `POST …/redeliver`: puts consumed outcomes back on their queue.

use axum::Json;
use tracing::info;

use super::ApiError;
use super::Role;
use super::call::Call;
use super::schema::Redelivered;
use crate::domain::JobKind;
use crate::domain::request;
use crate::domain::request::Redelivery;
use crate::queue::QueueName;
use crate::queue::Redeliver;

/// Puts them back, and says how many there were.
pub async fn redeliver(call: Call, kind: JobKind) -> Result<Json<Redelivered>, ApiError> {
    let principal = call.authorize(Role::Write)?;
    let api = call.api.clone();
    let which = match request::redelivery(kind, &call.json().await?)? {
        Redelivery::Ids(ids) => Redeliver::Keys(ids),
        Redelivery::Since(since) => Redeliver::Since(since),
    };
    api.settling.settled(kind).await;
    let redelivered = api.queue.redeliver(&QueueName::outcomes(kind), which).await?;
    info!(redelivered, kind = kind.as_str(), by = %principal, "Outcomes put back");
    Ok(Json(Redelivered { redelivered }))
}
