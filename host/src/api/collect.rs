//! `GET`: hands out outcomes, and lets go of them only when they have left.

use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use axum::http::HeaderName;
use axum::http::HeaderValue;
use axum::http::header;
use axum::response::IntoResponse;
use axum::response::Response;
use metrics::counter;
use tokio::sync::oneshot;
use tracing::debug;
use tracing::warn;

use super::ApiError;
use super::ApiState;
use super::batch;
use super::call::Call;
use super::wish::Wish;
use crate::http::audit;
use crate::http::auth::Principal;
use crate::http::listener::Departure;
use hoth_core::domain::JobKind;
use hoth_core::domain::QueuedOutcome;
use hoth_platform::failpoint;
use hoth_platform::failpoint::FailPoint;
use hoth_queue::BATCH_MAX;
use hoth_queue::Delivery;
use hoth_queue::Holder;
use hoth_queue::QueueError;
use hoth_queue::QueueName;
use hoth_queue::Receipt;
use hoth_queue::Receive;

/// How much later than the connection is cut off its messages go back: a
/// response that leaves in the last moment is still known to have left.
const LEAVE_MARGIN: Duration = Duration::from_secs(5);

/// How much longer than that the lease of a batch is that is to be consumed, so
/// that what left at the last moment can still be deleted.
const DELETE_MARGIN: Duration = Duration::from_secs(30);

/// Batches without one readable outcome that a call buries before it answers
/// that there is nothing.
const UNREADABLE_BATCHES_MAX: usize = 10;

/// The header that names a leased batch.
pub const BATCH_HEADER: HeaderName = HeaderName::from_static("hoth-batch");

/// Returns up to ten outcomes, oldest first per portfolio.
pub async fn collect(call: Call, kind: JobKind) -> Result<Response, ApiError> {
    let principal = call.principal.clone();
    let wish = Wish::parse(call.query())?;
    let api = call.api;
    if let Some(name) = &wish.ack {
        batch::acknowledge(&api, &principal, kind, name, "ack").await?;
    }
    api.settling.settled(kind).await;
    let queue = QueueName::outcomes(kind);
    let (messages, deliveries) = receive(&api, &queue, &wish).await?;
    let mut response = answer(&messages);
    if deliveries.is_empty() {
        return Ok(response);
    }
    failpoint::reach(FailPoint::OutcomesReceived);
    let (departure, left) = Departure::new();
    response.extensions_mut().insert(departure);
    let leased = wish.lease.map(|_| {
        let receipts: Vec<&Receipt> = deliveries.iter().map(|d| d.lease.receipt()).collect();
        api.seal.name(kind, &receipts)
    });
    if let Some(name) = &leased {
        let value = HeaderValue::from_str(name).expect("a batch is named in URL-safe letters");
        response.headers_mut().insert(BATCH_HEADER, value);
    }
    let leaving = api.settling.leaving(kind);
    let after = After { api, kind, queue, principal, leased };
    tokio::spawn(async move {
        after.departure(left, deliveries).await;
        drop(leaving);
    });
    Ok(response)
}

impl ApiState {
    /// How long a response may take to leave before its messages go back.
    fn leave_timeout(&self) -> Duration {
        self.send_timeout + LEAVE_MARGIN
    }
}

/// Receives until there is something that can be read, or the wait is over.
/// What cannot be read is no reason to say that there is nothing.
async fn receive(
    api: &ApiState,
    queue: &QueueName,
    wish: &Wish,
) -> Result<(Vec<QueuedOutcome>, Vec<Delivery>), QueueError> {
    let (lease, holder) = match wish.lease {
        None => (api.leave_timeout() + DELETE_MARGIN, Holder::Process),
        Some(lease) => (lease, Holder::Client),
    };
    let mut receive = Receive { max: BATCH_MAX, wait: wish.wait, lease, holder };
    let until = Instant::now() + wish.wait;
    for _ in 0..UNREADABLE_BATCHES_MAX {
        let deliveries = api.queue.receive(queue, receive).await?;
        let nothing = deliveries.is_empty();
        let readable = readable(api, queue, deliveries).await;
        if nothing || !readable.1.is_empty() {
            return Ok(readable);
        }
        receive.wait = until.saturating_duration_since(Instant::now());
    }
    Ok((Vec::new(), Vec::new()))
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
                    .bury(
                        queue,
                        delivery.lease.receipt(),
                        &delivery.message,
                        &reason.to_string(),
                        None,
                    )
                    .await;
                if let Err(error) = buried {
                    warn!(%queue, error = &error as &dyn std::error::Error, "It could not be buried, and comes back");
                }
            }
        }
    }
    (messages, good)
}

/// At most ten messages of 1 MiB, in one piece.
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
    /// The batch's name, where the client leased it.
    leased: Option<String>,
}

impl After {
    async fn departure(self, left: oneshot::Receiver<()>, deliveries: Vec<Delivery>) {
        if !has_left(left, self.api.leave_timeout()).await {
            debug!(queue = %self.queue, "A response did not leave; its messages go back");
            return;
        }
        failpoint::reach(FailPoint::OutcomesLeft);
        let count = deliveries.len();
        if let Some(batch) = &self.leased {
            for delivery in deliveries {
                audit::leased(&self.principal, self.kind, &delivery.message.key, batch);
                delivery.lease.keep();
            }
            return;
        }
        let receipts: Vec<Receipt> =
            deliveries.iter().map(|delivery| delivery.lease.receipt().clone()).collect();
        match self.api.queue.delete(&self.queue, &receipts).await {
            Ok(()) => {
                failpoint::reach(FailPoint::OutcomesDeleted);
                for delivery in deliveries {
                    audit::collected(&self.principal, self.kind, &delivery.message.key);
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

/// Whether the kernel took the whole response in time. From the moment that
/// this says no, the listener lets no further byte of it leave.
async fn has_left(mut left: oneshot::Receiver<()>, within: Duration) -> bool {
    match tokio::time::timeout(within, &mut left).await {
        Ok(told) => told.is_ok(),
        Err(_) => {
            left.close();
            left.try_recv().is_ok()
        }
    }
}
