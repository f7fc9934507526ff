//! Receiving by long polls that are never cancelled.
//!
//! SQS may have leased messages for a call that is cancelled, and these
//! messages would stay hidden until their leases run out. So a poll runs in a
//! task of its own to its end. If the receiver has gone away by then, the task
//! releases the messages. Polls are short, so that they do not hold up a stop.

use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use aws_sdk_sqs::types::Message;
use tokio::sync::oneshot;
use uuid::Uuid;

use super::client::POLL_MAX;
use super::encoding;
use super::encoding::Read;
use super::encoding::whole_seconds;
use super::error;
use super::leases::LeaseEnd;
use super::releaser::Releaser;
use super::shared::QueuePair;
use super::shared::Shared;
use crate::contract::Receive;
use crate::error::QueueError;
use crate::lease::Delivery;
use crate::lease::Lease;
use crate::lease::Receipt;
use crate::limits::RECEIVES_MAX;
use crate::message::Received;
use hoth_platform::failpoint;
use hoth_platform::failpoint::FailPoint;

/// The shortest wait of one poll. A poll without a wait asks only a subset of
/// SQS's servers, and may return nothing although there is a message (AWS
/// documentation, "Amazon SQS short and long polling").
const POLL_MIN: Duration = Duration::from_secs(1);

/// SQS's count of receives from which on all of them count.
const COUNTED_FROM: u32 = RECEIVES_MAX - 100;

/// Receives messages: polls until there is one, or until the wait is over.
pub async fn receive(
    shared: &Arc<Shared>,
    queue: &Arc<QueuePair>,
    receive: Receive,
) -> Result<Vec<Delivery>, QueueError> {
    // Messages that this process has released earlier must be available.
    queue.releases.settled().await;
    let (reply, answer) = oneshot::channel();
    let poll = Poll { shared: Arc::clone(shared), queue: Arc::clone(queue), receive };
    shared.tasks.spawn(async move {
        let received = poll.run(&reply).await;
        // If the receiver has gone away, `send` returns the deliveries, and
        // dropping them releases the messages.
        drop(reply.send(received));
    });
    answer.await.map_err(|_| QueueError::Unreachable("the queue was closed".into()))?
}

/// A receive in progress.
struct Poll {
    shared: Arc<Shared>,
    queue: Arc<QueuePair>,
    receive: Receive,
}

impl Poll {
    async fn run(
        &self,
        reply: &oneshot::Sender<Result<Vec<Delivery>, QueueError>>,
    ) -> Result<Vec<Delivery>, QueueError> {
        let until = Instant::now() + self.receive.wait;
        loop {
            failpoint::reach(FailPoint::QueuePoll);
            let left = until.saturating_duration_since(Instant::now());
            // At least one poll, even for a receive that does not wait, and
            // long enough to ask every server.
            let started = Instant::now();
            let messages = self.poll(left.clamp(POLL_MIN, POLL_MAX)).await?;
            // A receiver that has gone away ends the loop, so that no further
            // message is leased for it.
            if !messages.is_empty() || Instant::now() >= until || reply.is_closed() {
                return Ok(self.deliveries(&messages, started));
            }
        }
    }

    async fn poll(&self, wait: Duration) -> Result<Vec<Message>, QueueError> {
        let call = self
            .shared
            .client
            .receive_message()
            .queue_url(&self.queue.url)
            .max_number_of_messages(i32::try_from(self.receive.max).unwrap_or(i32::MAX))
            .wait_time_seconds(whole_seconds(wait))
            .visibility_timeout(whole_seconds(self.receive.lease))
            .set_message_system_attribute_names(Some(encoding::SYSTEM.to_vec()))
            .message_attribute_names("All")
            // A retry by the SDK, after a lost answer, brings the same messages
            // and not the next ones.
            .receive_request_attempt_id(Uuid::new_v4().to_string());
        let got = call.send().await.map_err(error::of_call)?;
        Ok(got.messages.unwrap_or_default())
    }

    /// Makes the deliveries of a poll that began at `started`.
    fn deliveries(&self, messages: &[Message], started: Instant) -> Vec<Delivery> {
        let receipts: Vec<Receipt> = messages
            .iter()
            .map(|message| Receipt::new(message.receipt_handle().unwrap_or_default()))
            .collect();
        let ids = messages.iter().map(|message| message.message_id().unwrap_or_default());
        // Before the deliveries exist: a lease that is kept is forgotten, and
        // must not be noted after that.
        self.shared.leases.hold(
            receipts.iter().cloned().zip(ids.map(str::to_owned)),
            LeaseEnd::of_call(started, self.receive.lease),
        );
        let releases = Releaser::new(&self.shared, &self.queue);
        let deliver = |(message, receipt): (&Message, Receipt)| Delivery {
            message: self.received(message),
            lease: Lease::new(self.queue.name.clone(), receipt, Arc::clone(&releases) as _),
        };
        messages.iter().zip(receipts).map(deliver).collect()
    }

    /// Reads a message, without the receives that do not count.
    fn received(&self, message: &Message) -> Received {
        let received = Read(message).received();
        // SQS counts every receive, and takes the message away at its limit,
        // without a report. Before that the worker must end the job.
        if received.receive_count >= COUNTED_FROM {
            return received;
        }
        let held_back = self.shared.given_back.count(message.message_id().unwrap_or_default());
        let receive_count = received.receive_count.saturating_sub(held_back).max(1);
        Received { receive_count, ..received }
    }
}
