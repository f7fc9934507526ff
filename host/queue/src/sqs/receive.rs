//! Receiving: a long poll that goes on when whoever waited for it has gone,
//! and gives back what it then brings.
//!
//! A call that is broken off may already have leased messages, whose lease
//! would have to run out. So a poll is never broken off; it is short instead.

use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use aws_sdk_sqs::types::Message;
use tokio::sync::oneshot;
use uuid::Uuid;

use super::Place;
use super::Shared;
use super::error;
use super::release::Releaser;
use super::text;
use super::text::Read;
use crate::Delivery;
use crate::Lease;
use crate::QueueError;
use crate::Receipt;
use crate::Receive;

/// How long one poll waits. SQS allows 20 s; a stop has to wait for this long,
/// and a receiver that goes away leaves a poll behind for no longer.
pub const POLL_MAX: Duration = Duration::from_secs(5);

/// The shortest poll. One without a wait asks some of SQS's servers only, and
/// may say that there is nothing where there is something (AWS documentation,
/// "Amazon SQS short and long polling").
const POLL_MIN: Duration = Duration::from_secs(1);

/// Receives, polling until there is something or the wait is over.
pub async fn receive(
    shared: &Arc<Shared>,
    place: &Arc<Place>,
    receive: Receive,
) -> Result<Vec<Delivery>, QueueError> {
    // What this process gave back before it asked is there to be had.
    place.release.settled().await;
    let (reply, answer) = oneshot::channel();
    let poll = Poll { shared: Arc::clone(shared), place: Arc::clone(place), receive };
    shared.tasks.spawn(async move {
        let mut reply = reply;
        let got = poll.until_there_is_something(&mut reply).await;
        // Deliveries that nobody takes give themselves back.
        drop(reply.send(got));
    });
    answer.await.map_err(|_| QueueError::Unreachable("the queue was closed".into()))?
}

struct Poll {
    shared: Arc<Shared>,
    place: Arc<Place>,
    receive: Receive,
}

impl Poll {
    async fn until_there_is_something(
        &self,
        reply: &mut oneshot::Sender<Result<Vec<Delivery>, QueueError>>,
    ) -> Result<Vec<Delivery>, QueueError> {
        let until = Instant::now() + self.receive.wait;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let messages = self.poll(left.clamp(POLL_MIN, POLL_MAX)).await?;
            if !messages.is_empty() || Instant::now() >= until || reply.is_closed() {
                return Ok(self.deliveries(&messages));
            }
        }
    }

    async fn poll(&self, wait: Duration) -> Result<Vec<Message>, QueueError> {
        let call = self
            .shared
            .client
            .receive_message()
            .queue_url(&self.place.url)
            .max_number_of_messages(i32::try_from(self.receive.max).unwrap_or(i32::MAX))
            .wait_time_seconds(whole_seconds(wait))
            .visibility_timeout(whole_seconds(self.receive.lease))
            .set_message_system_attribute_names(Some(text::SYSTEM.to_vec()))
            .message_attribute_names("All")
            // A second try of the same call brings the same messages.
            .receive_request_attempt_id(Uuid::new_v4().to_string());
        let got = call.send().await.map_err(error::of_call)?;
        Ok(got.messages.unwrap_or_default())
    }

    fn deliveries(&self, messages: &[Message]) -> Vec<Delivery> {
        let receipts: Vec<Receipt> = messages
            .iter()
            .map(|message| Receipt::new(message.receipt_handle().unwrap_or_default()))
            .collect();
        self.shared.leases.hold(&receipts, Instant::now() + self.receive.lease);
        let releases = Releaser::of(&self.shared, &self.place);
        let deliver = |(message, receipt)| Delivery {
            message: Read(message).received(),
            lease: Lease::new(self.place.name.clone(), receipt, Arc::clone(&releases) as _),
        };
        messages.iter().zip(receipts).map(deliver).collect()
    }
}

/// SQS counts in seconds; a lease or a wait is rather too long than too short.
pub fn whole_seconds(duration: Duration) -> i32 {
    let seconds = duration.as_secs() + u64::from(duration.subsec_nanos() > 0);
    i32::try_from(seconds).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_rounded_up() {
        for (millis, seconds) in [(0, 0), (1, 1), (1_000, 1), (1_001, 2), (43_200_000, 43_200)] {
            assert_eq!(whole_seconds(Duration::from_millis(millis)), seconds);
        }
    }
}
