//! `GET`: hands out outcomes, and lets go of them only when they have left.

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::Query;
use axum::extract::State;
use axum::extract::rejection::QueryRejection;
use axum::http::HeaderMap;
use axum::http::HeaderValue;
use axum::http::header;
use axum::response::IntoResponse;
use axum::response::Response;
use metrics::counter;
use serde::Deserialize;
use tracing::debug;
use tracing::info;
use tracing::warn;

use super::ApiError;
use super::ApiState;
use super::Role;
use super::auth::Principal;
use super::batch;
use crate::domain::JobKind;
use crate::domain::QueuedOutcome;
use crate::listener::Departure;
use crate::queue::BATCH_MAX;
use crate::queue::Delivery;
use crate::queue::Holder;
use crate::queue::LEASE_MAX;
use crate::queue::QueueName;
use crate::queue::Receipt;
use crate::queue::Receive;
use crate::queue::WAIT_MAX;

/// How long a response may take to leave before its messages go back. The
/// connection of a client that reads more slowly than this is as good as
/// broken.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(60);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wish {
    /// Seconds to wait for a first message.
    wait: Option<u64>,
    /// Seconds to lease the batch instead of consuming it.
    lease: Option<u64>,
    /// A leased batch to delete first.
    ack: Option<String>,
}

/// Returns up to ten outcomes, oldest first per portfolio.
pub async fn collect(
    State(api): State<Arc<ApiState>>,
    Extension(kind): Extension<JobKind>,
    headers: HeaderMap,
    wish: Result<Query<Wish>, QueryRejection>,
) -> Result<Response, ApiError> {
    let principal = api.keys.authorize(&headers, Role::Read)?;
    let Query(wish) = wish.map_err(|bad| ApiError::BadRequest(bad.body_text()))?;
    let receive = wish.receive()?;
    let queue = QueueName::outcomes(kind);
    if let Some(batch) = &wish.ack {
        api.queue.delete(&queue, &batch::receipts(batch)?).await?;
    }
    api.settling.settled(kind).await;
    let deliveries = api.queue.receive(&queue, receive).await?;
    let (messages, deliveries) = readable(&api, &queue, deliveries).await;
    let mut response = answer(&messages);
    if deliveries.is_empty() {
        return Ok(response);
    }
    let (departure, left) = Departure::new();
    response.extensions_mut().insert(departure);
    if wish.lease.is_some() {
        let receipts: Vec<&Receipt> = deliveries.iter().map(|d| d.lease.receipt()).collect();
        let name = batch::name(&receipts);
        let value = HeaderValue::from_str(&name).expect("a batch is named in URL-safe letters");
        response.headers_mut().insert("hoth-batch", value);
    }
    let leaving = api.settling.leaving(kind);
    let after = After { api, kind, queue, principal, leased: wish.lease.is_some() };
    tokio::spawn(async move {
        after.departure(left, deliveries).await;
        drop(leaving);
    });
    Ok(response)
}

impl Wish {
    fn receive(&self) -> Result<Receive, ApiError> {
        let wait = Duration::from_secs(self.wait.unwrap_or(0));
        if wait > WAIT_MAX {
            return Err(ApiError::BadRequest("wait must be 0 to 20 seconds".to_owned()));
        }
        if self.ack.is_some() && self.lease.is_none() {
            return Err(ApiError::BadRequest("ack goes with lease".to_owned()));
        }
        let (lease, holder) = match self.lease {
            None => (LEAVE_TIMEOUT, Holder::Process),
            Some(seconds) => (Duration::from_secs(seconds), Holder::Client),
        };
        if lease.is_zero() || lease > LEASE_MAX {
            return Err(ApiError::BadRequest("lease must be 1 to 43200 seconds".to_owned()));
        }
        Ok(Receive { max: BATCH_MAX, wait, lease, holder })
    }
}

/// Buries what cannot be read, so that it stands in nobody's way.
async fn readable(
    api: &ApiState,
    queue: &QueueName,
    deliveries: Vec<Delivery>,
) -> (Vec<QueuedOutcome>, Vec<Delivery>) {
    let (mut messages, mut good) = (Vec::new(), Vec::new());
    for delivery in deliveries {
        match QueuedOutcome::decode(&delivery.message.body) {
            Ok(message) => {
                messages.push(message);
                good.push(delivery);
            }
            Err(reason) => {
                warn!(%queue, key = %delivery.message.key, %reason, "An outcome became a dead letter");
                let buried = api
                    .queue
                    .bury(queue, delivery.lease.receipt(), &reason.to_string(), None)
                    .await;
                if let Err(error) = buried {
                    warn!(%queue, error = &error as &dyn std::error::Error, "It could not be buried, and comes back");
                }
            }
        }
    }
    (messages, good)
}

fn answer(messages: &[QueuedOutcome]) -> Response {
    let texts: Vec<&str> = messages.iter().map(|outcome| outcome.message.get()).collect();
    let body = format!("[{}]", texts.join(","));
    ([(header::CONTENT_TYPE, "application/json")], body).into_response()
}

/// What is to be done when a response has left, or has not.
struct After {
    api: Arc<ApiState>,
    kind: JobKind,
    queue: QueueName,
    principal: Principal,
    leased: bool,
}

impl After {
    async fn departure(self, left: tokio::sync::oneshot::Receiver<()>, deliveries: Vec<Delivery>) {
        if !matches!(tokio::time::timeout(LEAVE_TIMEOUT, left).await, Ok(Ok(()))) {
            debug!(queue = %self.queue, "A response did not leave; its messages go back");
            return;
        }
        let count = deliveries.len();
        if self.leased {
            deliveries.into_iter().for_each(|delivery| drop(delivery.lease.keep()));
            return;
        }
        let receipts: Vec<Receipt> =
            deliveries.iter().map(|delivery| delivery.lease.receipt().clone()).collect();
        match self.api.queue.delete(&self.queue, &receipts).await {
            Ok(()) => {
                for delivery in deliveries {
                    info!(job.id = %delivery.message.key, by = %self.principal, "Outcome collected");
                    delivery.lease.keep();
                }
                counter!("hoth_outcomes_collected_total", "kind" => self.kind.as_str())
                    .increment(count as u64);
            }
            Err(error) => {
                warn!(queue = %self.queue, error = &error as &dyn std::error::Error, "Collected outcomes could not be deleted, and come again");
            }
        }
    }
}
