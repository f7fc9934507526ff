//! Hands out outcomes, and deletes them only after the response is flushed.

use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use axum::http::HeaderName;
use axum::http::HeaderValue;
use axum::http::header;
use axum::response::IntoResponse;
use axum::response::Response;
use tokio::sync::oneshot;
use tracing::debug;
use tracing::warn;

use super::authed_request::AuthedRequest;
use super::batch;
use super::collect_params::CollectParams;
use super::error::ApiError;
use super::state::ApiState;
use crate::http::audit;
use crate::http::auth::Principal;
use crate::http::listener::FlushNotice;
use crate::http::listener::Progress;
use crate::metrics::table;
use crate::traces::Collecting;
use hoth_core::domain::JobEventKind;
use hoth_core::domain::JobKind;
use hoth_core::domain::JobTrace;
use hoth_core::domain::QueuedOutcome;
use hoth_platform::failpoint;
use hoth_platform::failpoint::FailPoint;
use hoth_queue::Delivery;
use hoth_queue::Holder;
use hoth_queue::QueueError;
use hoth_queue::QueueName;
use hoth_queue::Receipt;
use hoth_queue::Receive;

/// Time added to the listener's send timeout before a batch is given up. A
/// response that is flushed at the last moment is then still seen as flushed.
const FLUSH_MARGIN: Duration = Duration::from_secs(5);

/// Time added on top for the lease of a batch that is to be consumed. A batch
/// that is flushed at the last moment can then still be deleted.
const DELETE_MARGIN: Duration = Duration::from_secs(30);

/// The number of wholly unreadable batches that one request dead-letters before
/// it answers with an empty list.
const UNREADABLE_BATCHES_MAX: usize = 10;

/// The response header with the name of a leased batch.
pub const BATCH_HEADER: HeaderName = HeaderName::from_static("hoth-batch");

/// The longest wait for the state of the queue while the host stops.
const STOP_CHECK_MAX: Duration = Duration::from_secs(1);

/// The pause before the second try of a deletion; doubled before each further
/// one, up to [`DELETE_PAUSE_MAX`].
const DELETE_PAUSE: Duration = Duration::from_millis(100);

/// The longest pause between two tries of a deletion.
const DELETE_PAUSE_MAX: Duration = Duration::from_secs(5);

/// A batch of outcomes to hand out.
struct Batch {
    /// Their messages, as a JSON list.
    list: String,
    /// Their deliveries, without bodies.
    deliveries: Vec<Delivery>,
    /// The ids and traces of the jobs that have a trace.
    traces: Vec<(String, JobTrace)>,
}

/// Handles `GET`: returns up to ten outcomes, oldest first in each portfolio.
pub async fn collect(authed: AuthedRequest, kind: JobKind) -> Result<Response, ApiError> {
    let principal = authed.principal.clone();
    let params = CollectParams::parse(authed.query())?;
    let (api, trace) = (authed.api, authed.trace);
    // Before the receive: an acknowledged batch no longer blocks its groups, so
    // this response can have their next outcomes. If the host crashes after it,
    // the client repeats both, and a repeated acknowledgement is harmless.
    if let Some(name) = &params.ack {
        batch::acknowledge(&api, &principal, kind, name, "ack").await?;
    }
    api.in_flight.wait_for(kind).await;
    let queue = QueueName::outcomes(kind);
    let receiving = trace.receive(&queue);
    let received = receive(&api, &queue, &params).await;
    receiving.end(received.as_ref().map(|batch| batch.deliveries.len()));
    let Batch { list, deliveries, traces } = received?;
    let collecting = trace.collect(&queue, traces);
    // The leases began before this moment, by less than a second on the
    // embedded queue.
    let received_at = Instant::now();
    let mut response = ([(header::CONTENT_TYPE, "application/json")], list).into_response();
    if deliveries.is_empty() {
        return Ok(response);
    }
    failpoint::reach(FailPoint::OutcomesReceived);
    // Counted before the response is returned, so that the client's next `GET`
    // finds the batch in flight.
    let progress = Progress::default();
    let in_flight_guard = api.in_flight.track(kind, progress.clone());
    let (notice, flushed) = FlushNotice::new(progress);
    response.extensions_mut().insert(notice);
    let leased = params.lease.map(|_| {
        let receipts: Vec<&Receipt> = deliveries.iter().map(|d| d.lease.receipt()).collect();
        api.batch_signer.sign(kind, &receipts)
    });
    if let Some(name) = &leased {
        let value = HeaderValue::from_str(name).expect("a batch is named in URL-safe letters");
        response.headers_mut().insert(BATCH_HEADER, value);
    }
    // In a task of its own, because the handler returns before its response is
    // sent, and hyper drops its future if the client hangs up. The guard lets a
    // drain wait for the task.
    let settlement =
        BatchSettlement { api, kind, queue, principal, leased, received_at, collecting };
    tokio::spawn(async move {
        settlement.settle(flushed, deliveries).await;
        drop(in_flight_guard);
    });
    Ok(response)
}

impl ApiState {
    /// Returns the longest wait for a flush; then the batch goes back.
    fn flush_timeout(&self) -> Duration {
        self.send_timeout + FLUSH_MARGIN
    }
}

/// Receives until a batch has a readable outcome or the wait is over.
///
/// An unreadable batch must not end the wait: readable outcomes may follow it.
async fn receive(
    api: &ApiState,
    queue: &QueueName,
    params: &CollectParams,
) -> Result<Batch, QueueError> {
    // A consumed batch is leased to this process: if the host crashes before it
    // deletes the batch, the lease ends with the process, and the outcomes are
    // delivered again. A batch that a client leased stays with its client.
    let (lease, holder) = match params.lease {
        None => (api.flush_timeout() + DELETE_MARGIN, Holder::Process),
        Some(lease) => (lease, Holder::Client),
    };
    let mut receive = Receive { max: params.max, wait: params.wait, lease, holder };
    let until = Instant::now() + params.wait;
    for _ in 0..UNREADABLE_BATCHES_MAX {
        let received = api.queue.receive(queue, receive);
        // A wait of 20 s would outlast the time that a stop has. A receive that
        // is dropped leaves no lease.
        let received = api.closing.run_until_cancelled(received).await;
        let deliveries = match received {
            Some(received) => received?,
            // An empty list says that the client has everything so far, which is
            // not so if the queue has failed: then the previous batch of this
            // client could not be deleted.
            None => works(api).await.map(|()| Vec::new())?,
        };
        let is_empty = deliveries.is_empty();
        let deliveries = within(api.batch_bytes_max, deliveries);
        let batch = read_or_dead_letter(api, queue, deliveries).await;
        if is_empty || !batch.deliveries.is_empty() {
            return Ok(batch);
        }
        // The next receive has only the rest of the time: dead-lettering must not
        // extend the wait that the client asked for.
        receive.wait = until.saturating_duration_since(Instant::now());
    }
    Ok(read_or_dead_letter(api, queue, Vec::new()).await)
}

/// Returns an error if the queue has failed, or does not answer. A full disk is
/// no failure: messages are delivered and deleted all the same.
async fn works(api: &ApiState) -> Result<(), QueueError> {
    match tokio::time::timeout(STOP_CHECK_MAX, api.queue.check()).await {
        Ok(Ok(()) | Err(QueueError::Full)) => Ok(()),
        Ok(Err(error)) => Err(error),
        Err(_) => Err(QueueError::Unreachable("it does not answer".into())),
    }
}

/// Returns the first deliveries whose messages together have at most
/// `bytes_max`, but always one. The others return to their queue, in order.
fn within(bytes_max: usize, deliveries: Vec<Delivery>) -> Vec<Delivery> {
    let mut bytes = 0;
    let mut kept = Vec::new();
    for delivery in deliveries {
        // The body holds the outcome and a little more, so the response is not
        // larger than this sum.
        bytes += delivery.message.body.len();
        // After the first one that does not fit, later ones stay out as well:
        // a group must not be overtaken. Dropping them releases their leases.
        if kept.is_empty() || bytes <= bytes_max {
            kept.push(delivery);
        }
    }
    kept
}

/// Reads a batch. Unreadable messages become dead letters, so that they do not
/// block their group.
async fn read_or_dead_letter(
    api: &ApiState,
    queue: &QueueName,
    deliveries: Vec<Delivery>,
) -> Batch {
    let bytes = deliveries.iter().map(|delivery| delivery.message.body.len()).sum();
    let mut list = String::with_capacity(bytes);
    let mut traces = Vec::new();
    let mut readable = Vec::with_capacity(deliveries.len());
    list.push('[');
    for mut delivery in deliveries {
        match QueuedOutcome::message_of(&delivery.message.body) {
            Ok((message, trace)) => {
                traces.extend(trace.map(|trace| (delivery.message.key.clone(), trace)));
                if !readable.is_empty() {
                    list.push(',');
                }
                list.push_str(message);
                // Ten megabytes for a batch, which would wait for a client that
                // reads slowly.
                delivery.message.body = String::new();
                readable.push(delivery);
            }
            Err(reason) => {
                warn!(%queue, key = %delivery.message.key, %reason, "An unreadable outcome becomes a dead letter");
                let dead_lettered = api
                    .queue
                    .dead_letter(
                        queue,
                        delivery.lease.receipt(),
                        &delivery.message,
                        &reason.to_string(),
                        // No report: the outcome itself was the report.
                        None,
                    )
                    .await;
                if let Err(error) = dead_lettered {
                    warn!(%queue, error = &error as &dyn std::error::Error, "Dead-lettering failed; the outcome is delivered again later");
                }
            }
        }
    }
    list.push(']');
    Batch { list, deliveries: readable, traces }
}

/// The settlement of a batch after its response was flushed, or was not.
struct BatchSettlement {
    api: Arc<ApiState>,
    kind: JobKind,
    queue: QueueName,
    principal: Principal,
    /// The batch's name if the client leased it; `None` if it is consumed.
    leased: Option<String>,
    received_at: Instant,
    /// The spans in the traces of the jobs.
    collecting: Collecting,
}

impl BatchSettlement {
    /// Waits for the flush; then deletes a consumed batch, or leaves a leased one
    /// to its client.
    async fn settle(self, flushed: oneshot::Receiver<()>, deliveries: Vec<Delivery>) {
        if !was_flushed(flushed, self.api.flush_timeout()).await {
            debug!(queue = %self.queue, "The response was not flushed; its outcomes return to the queue");
            // Dropping the deliveries releases their leases.
            return;
        }
        // A crash from here to the deletion delivers the outcomes a second time.
        // The other order could lose them.
        failpoint::reach(FailPoint::OutcomesLeft);
        let (waits, now) = (table::OUTCOME_WAIT.with(&[self.kind.as_str()]), self.api.clock.now());
        for delivery in &deliveries {
            waits.record(now.since(delivery.message.sent_at));
        }
        let count = deliveries.len();
        if let Some(batch) = &self.leased {
            let mut keys = Vec::with_capacity(deliveries.len());
            for delivery in deliveries {
                audit::leased(&self.principal, self.kind, &delivery.message.key, batch);
                let by = Some(self.principal.name().into());
                let what = JobEventKind::Leased { by };
                self.api.observe(self.kind, &delivery.message.key, what);
                keys.push(delivery.message.key);
                delivery.lease.keep();
            }
            self.api.leased.keep(batch, keys);
            self.collecting.end(true);
            return;
        }
        let receipts: Vec<Receipt> =
            deliveries.iter().map(|delivery| delivery.lease.receipt().clone()).collect();
        // Whether the messages are gone or not, their leases must not be released:
        // the client has them, and would get them again at once.
        let keys: Vec<String> =
            deliveries.iter().map(|delivery| delivery.message.key.clone()).collect();
        for delivery in deliveries {
            delivery.lease.keep();
        }
        match self.delete(&receipts).await {
            Ok(()) => {
                failpoint::reach(FailPoint::OutcomesDeleted);
                for key in keys {
                    audit::collected(&self.principal, self.kind, &key);
                    let by = Some(self.principal.name().into());
                    self.api.observe(self.kind, &key, JobEventKind::Collected { by });
                }
                table::OUTCOMES_COLLECTED.with(&[self.kind.as_str()]).increment(count as u64);
                self.collecting.end(false);
            }
            Err(error) => {
                warn!(queue = %self.queue, error = &error as &dyn std::error::Error, "Deleting collected outcomes failed until their lease ended; they will be delivered again");
            }
        }
    }

    /// Deletes a flushed batch. Tries again while the lease lasts, because the
    /// client has the outcomes, and a queue that is unreachable now may be
    /// reachable in a moment.
    async fn delete(&self, receipts: &[Receipt]) -> Result<(), QueueError> {
        // The flush took at most the rest of the lease, so this is at least
        // `DELETE_MARGIN` away.
        let until = self.received_at + self.api.flush_timeout() + DELETE_MARGIN;
        let mut pause = DELETE_PAUSE;
        loop {
            let error = match self.api.queue.delete(&self.queue, receipts).await {
                Ok(()) => return Ok(()),
                // No further try can change these.
                Err(error @ (QueueError::LeaseEnded | QueueError::Refused(_))) => {
                    return Err(error);
                }
                Err(error) => error,
            };
            if Instant::now() + pause >= until {
                return Err(error);
            }
            debug!(queue = %self.queue, error = &error as &dyn std::error::Error, "Deleting collected outcomes failed; the next try follows in {pause:?}");
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(DELETE_PAUSE_MAX);
        }
    }
}

/// Returns `true` if the kernel took the whole response in time.
///
/// Once this returns `false`, the listener writes no further byte of the
/// response.
async fn was_flushed(mut flushed: oneshot::Receiver<()>, within: Duration) -> bool {
    match tokio::time::timeout(within, &mut flushed).await {
        Ok(notice) => notice.is_ok(),
        Err(_) => {
            // Closing first: the flush either happened before it and is seen by
            // `try_recv`, or finds the channel closed and fails the connection.
            flushed.close();
            flushed.try_recv().is_ok()
        }
    }
}
