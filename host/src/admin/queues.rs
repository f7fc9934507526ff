//! The state of the queues.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;

use super::AdminState;
use super::error::AdminError;

#[derive(Debug, Serialize)]
pub struct Queues {
    queues: Vec<Row>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    csp: Option<String>,
    depth: u64,
    in_flight: u64,
    /// Seconds; null where there is no message.
    oldest_age_seconds: Option<f64>,
    oldest_claimable_age_seconds: Option<f64>,
    dead_letters: u64,
}

/// `GET /queues`.
pub async fn list(State(state): State<Arc<AdminState>>) -> Result<Json<Queues>, AdminError> {
    let mut queues = Vec::with_capacity(state.queues.len());
    for name in &state.queues {
        let stats = state.queue.stats(name).await?;
        queues.push(Row {
            name: name.to_string(),
            csp: name.csp().map(ToString::to_string),
            depth: stats.depth,
            in_flight: stats.in_flight,
            oldest_age_seconds: stats.oldest_age.map(|age| age.as_secs_f64()),
            oldest_claimable_age_seconds: stats.oldest_claimable_age.map(|age| age.as_secs_f64()),
            dead_letters: stats.dead_letters,
        });
    }
    Ok(Json(Queues { queues }))
}
