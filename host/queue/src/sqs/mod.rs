//! Queues on Amazon SQS, which several hosts share.
//!
//! FIFO queues with a prefix, each with a queue of its own for dead letters;
//! [setup] makes them where that is permitted. What SQS has no word for stands
//! in message attributes (see [text]). This process remembers until when it
//! holds what it has received ([leases]), so that most settlements need two
//! calls and not three.

mod client;
mod dead;
mod entries;
mod error;
mod leases;
mod receive;
mod release;
mod setup;
#[cfg(test)]
mod tests;
mod text;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::QueueAttributeName;
use futures_util::StreamExt as _;
use futures_util::TryStreamExt as _;
use tokio_util::task::TaskTracker;

pub use self::error::OpenError;
use self::leases::Leases;
use self::leases::Standing;
use self::release::Release;
use super::BlockedGroup;
use super::DEAD_LETTERS_MAX;
use super::DeadLetter;
use super::Delivery;
use super::NewMessage;
use super::Queue;
use super::QueueError;
use super::QueueName;
use super::QueueStats;
use super::Receipt;
use super::Receive;
use super::Received;
use super::Redeliver;
use super::Sent;
use super::check_lease;
use crate::SqsConfig;
use hoth_platform::failpoint;
use hoth_platform::failpoint::FailPoint;

/// Queues that are looked at side by side at the start.
const OPENED_AT_ONCE: usize = 8;

/// A lease that ends later than this after a successor is sent is long enough
/// to send it and to delete its predecessor: the time that one call may take.
const SETTLE_MARGIN: Duration = client::CALL_TIMEOUT;

/// How long a stop waits for the polls that are under way, so that what they
/// bring goes back at once.
const CLOSE_GRACE: Duration = receive::POLL_MAX.saturating_add(Duration::from_secs(2));

/// One queue on SQS, and the one for its dead letters.
struct Place {
    name: QueueName,
    url: String,
    dead_url: String,
    /// Messages that are being given back.
    release: Release,
    /// Only one look at the dead letters at a time: a look hides them.
    looking: tokio::sync::Mutex<()>,
}

/// What tasks share with the queue.
struct Shared {
    client: Client,
    leases: Leases,
    tasks: TaskTracker,
    runtime: tokio::runtime::Handle,
}

/// Queues on SQS.
pub struct SqsQueue {
    shared: Arc<Shared>,
    places: BTreeMap<QueueName, Arc<Place>>,
}

impl fmt::Debug for SqsQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqsQueue").finish_non_exhaustive()
    }
}

impl SqsQueue {
    /// Finds `queues` on SQS, and makes those that are missing.
    ///
    /// # Errors
    ///
    /// [`OpenError`]; among others when a queue has other attributes than HOTH
    /// relies on.
    pub async fn open(config: &SqsConfig, queues: Vec<QueueName>) -> Result<Self, OpenError> {
        let client = client::connect(config).await?;
        let places = futures_util::stream::iter(queues)
            .map(|name| setup::place(&client, config, name))
            .buffer_unordered(OPENED_AT_ONCE)
            .map_ok(|place| (place.name.clone(), Arc::new(place)))
            .try_collect()
            .await?;
        let shared = Shared {
            client,
            leases: Leases::default(),
            tasks: TaskTracker::new(),
            runtime: tokio::runtime::Handle::current(),
        };
        Ok(Self { shared: Arc::new(shared), places })
    }

    /// Waits, for a moment, until what was received for nobody has gone back.
    pub async fn close(&self) {
        self.shared.tasks.close();
        // What does not end in time is received again when its lease has run
        // out.
        let _ = tokio::time::timeout(CLOSE_GRACE, self.shared.tasks.wait()).await;
    }

    fn place(&self, queue: &QueueName) -> Result<&Arc<Place>, QueueError> {
        self.places.get(queue).ok_or(QueueError::Refused("this host has not opened the queue"))
    }

    async fn send_to(
        &self,
        url: &str,
        message: &NewMessage,
        dedup: String,
    ) -> Result<(), QueueError> {
        let mut call = self
            .shared
            .client
            .send_message()
            .queue_url(url)
            .message_group_id(&message.group)
            .message_deduplication_id(dedup);
        let body = text::to_body(&message.body);
        if body.escaped {
            call = call.message_attributes(text::ESCAPED, text::flag());
        }
        call.message_body(body.text)
            .message_attributes(text::KEY, text::binary(text::cut(&message.key)))
            .send()
            .await
            .map_err(error::of_call)?;
        Ok(())
    }

    /// Makes sure that the lease holds until a successor has been sent and the
    /// message deleted.
    async fn hold(&self, place: &Place, receipt: &Receipt) -> Result<(), QueueError> {
        match self.shared.leases.standing(receipt, SETTLE_MARGIN) {
            Standing::Held => Ok(()),
            Standing::Ended => Err(QueueError::LeaseEnded),
            Standing::Unsure => {
                self.shared.change(place, std::slice::from_ref(receipt), SETTLE_MARGIN * 2).await
            }
        }
    }

    /// Sends a successor, unless it is known to have been sent under this
    /// lease: SQS forgets it after five minutes, and a deletion may be tried
    /// for longer.
    async fn succeed(
        &self,
        receipt: &Receipt,
        queue: &QueueName,
        message: &NewMessage,
    ) -> Result<(), QueueError> {
        let place = self.place(queue)?;
        if self.shared.leases.has_sent(receipt, &message.dedup.key) {
            return Ok(());
        }
        // By the key alone: the same job may come to another text when it is
        // run again after a crash, and still has one outcome.
        self.send_to(&place.url, message, message.dedup.key.clone()).await?;
        self.shared.leases.note_sent(receipt, &message.dedup.key);
        Ok(())
    }
}

#[async_trait]
impl Queue for SqsQueue {
    async fn send(&self, queue: &QueueName, message: NewMessage) -> Result<Sent, QueueError> {
        message.check()?;
        let dedup = text::dedup_of(&message);
        self.send_to(&self.place(queue)?.url, &message, dedup).await?;
        // Also where nothing was queued: SQS does not tell.
        Ok(Sent::Queued)
    }

    async fn receive(
        &self,
        queue: &QueueName,
        receive: Receive,
    ) -> Result<Vec<Delivery>, QueueError> {
        receive.check()?;
        receive::receive(&self.shared, self.place(queue)?, receive).await
    }

    async fn delete(&self, queue: &QueueName, receipts: &[Receipt]) -> Result<(), QueueError> {
        self.shared.delete(self.place(queue)?, receipts).await
    }

    async fn change_lease(
        &self,
        queue: &QueueName,
        receipts: &[Receipt],
        after: Duration,
    ) -> Result<(), QueueError> {
        check_lease(after)?;
        self.shared.change(self.place(queue)?, receipts, after).await
    }

    async fn settle(
        &self,
        queue: &QueueName,
        receipt: &Receipt,
        successor_queue: &QueueName,
        successor: NewMessage,
    ) -> Result<(), QueueError> {
        successor.check()?;
        let place = self.place(queue)?;
        self.hold(place, receipt).await?;
        self.succeed(receipt, successor_queue, &successor).await?;
        failpoint::reach(FailPoint::AfterSendBeforeDelete);
        self.shared.delete(place, std::slice::from_ref(receipt)).await
    }

    async fn bury(
        &self,
        queue: &QueueName,
        receipt: &Receipt,
        message: &Received,
        reason: &str,
        report: Option<(QueueName, NewMessage)>,
    ) -> Result<(), QueueError> {
        report.iter().try_for_each(|(_, message)| message.check())?;
        let place = self.place(queue)?;
        self.hold(place, receipt).await?;
        if let Some((report_queue, report)) = &report {
            self.succeed(receipt, report_queue, report).await?;
        }
        self.shared.bury(place, message, reason).await?;
        failpoint::reach(FailPoint::AfterSendBeforeDelete);
        self.shared.delete(place, std::slice::from_ref(receipt)).await
    }

    async fn redeliver(&self, _: &QueueName, _: Redeliver) -> Result<u64, QueueError> {
        Err(QueueError::NotOffered("redelivery"))
    }

    async fn dead_letters(
        &self,
        queue: &QueueName,
        after: Option<&str>,
        max: usize,
    ) -> Result<Vec<DeadLetter>, QueueError> {
        let after = after.map(dead::Id::parse).transpose()?;
        let page = dead::Page { after, max: max.min(DEAD_LETTERS_MAX) };
        self.shared.dead_letters(self.place(queue)?, page).await
    }

    async fn revive(
        &self,
        queue: &QueueName,
        id: &str,
        message: NewMessage,
    ) -> Result<bool, QueueError> {
        message.check()?;
        let (place, id) = (self.place(queue)?, dead::Id::parse(id)?);
        let mut look = self.shared.look(place).await;
        let Some(handle) = look.find(&[id]).await?.pop() else { return Ok(false) };
        self.send_to(&place.url, &message, message.dedup.key.clone()).await?;
        look.forget(vec![handle]).await?;
        Ok(true)
    }

    async fn discard(&self, queue: &QueueName, ids: &[String]) -> Result<u64, QueueError> {
        if ids.len() > DEAD_LETTERS_MAX {
            return Err(QueueError::Refused("1000 dead letters may be discarded at once"));
        }
        let ids = ids.iter().map(|id| dead::Id::parse(id)).collect::<Result<Vec<_>, _>>()?;
        let mut look = self.shared.look(self.place(queue)?).await;
        let handles = look.find(&ids).await?;
        let count = handles.len() as u64;
        look.forget(handles).await?;
        Ok(count)
    }

    async fn blocked(&self, _: &QueueName) -> Result<Vec<BlockedGroup>, QueueError> {
        Err(QueueError::NotOffered("a list of blocked groups"))
    }

    async fn check(&self) -> Result<(), QueueError> {
        let Some(place) = self.places.values().next() else { return Ok(()) };
        let wanted = vec![QueueAttributeName::QueueArn];
        self.shared.attributes(&place.url, wanted).await.map(drop)
    }

    async fn in_use(&self) -> Result<Vec<QueueName>, QueueError> {
        Err(QueueError::NotOffered("a list of queues in use"))
    }

    async fn stats(&self, queue: &QueueName) -> Result<QueueStats, QueueError> {
        let place = self.place(queue)?;
        let (messages, dead) =
            tokio::try_join!(self.shared.counts(&place.url), self.shared.counts(&place.dead_url))?;
        Ok(QueueStats {
            depth: messages.waiting,
            in_flight: messages.in_flight,
            // SQS tells ages to CloudWatch alone.
            oldest_age: None,
            oldest_claimable_age: None,
            dead_letters: dead.waiting + dead.in_flight,
        })
    }
}

/// How many messages SQS counts, approximately.
struct Counts {
    waiting: u64,
    in_flight: u64,
}

impl Shared {
    async fn attributes(
        &self,
        url: &str,
        wanted: Vec<QueueAttributeName>,
    ) -> Result<std::collections::HashMap<QueueAttributeName, String>, QueueError> {
        let call = self.client.get_queue_attributes().queue_url(url);
        let got = call.set_attribute_names(Some(wanted)).send().await.map_err(error::of_call)?;
        Ok(got.attributes.unwrap_or_default())
    }

    async fn counts(&self, url: &str) -> Result<Counts, QueueError> {
        const VISIBLE: QueueAttributeName = QueueAttributeName::ApproximateNumberOfMessages;
        const DELAYED: QueueAttributeName = QueueAttributeName::ApproximateNumberOfMessagesDelayed;
        const HELD: QueueAttributeName = QueueAttributeName::ApproximateNumberOfMessagesNotVisible;
        let counted = self.attributes(url, vec![VISIBLE, DELAYED, HELD]).await?;
        let count = |name| counted.get(&name).and_then(|n: &String| n.parse().ok()).unwrap_or(0);
        Ok(Counts { waiting: count(VISIBLE) + count(DELAYED), in_flight: count(HELD) })
    }
}
