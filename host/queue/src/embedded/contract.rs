//! The queue contract on the embedded backend: each act is one request to the
//! writer, or one read.

use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use async_trait::async_trait;
use tokio::sync::oneshot;
use tracing::warn;

use super::archive::REDELIVERED_AT_ONCE;
use super::archive::Selection;
use super::backend::EmbeddedQueue;
use super::command::Request;
use super::command::closed;
use super::inspect;
use super::locate::Sought;
use super::locate::locate;
use super::operations::ChangeLeases;
use super::operations::CheckStorage;
use super::operations::DeadLetterMessage;
use super::operations::DeleteMessages;
use super::operations::DiscardLetters;
use super::operations::GiveBackMessages;
use super::operations::RedeliverOutcomes;
use super::operations::RedriveLetter;
use super::operations::SendMessage;
use super::operations::SettleMessage;
use super::operations::TakeMessage;
use super::receipt::LeaseId;
use super::store::Leased;
use super::wait_queues::ReceiveResult;
use super::wait_queues::Waiter;
use crate::contract::Queue;
use crate::contract::Receive;
use crate::contract::Redeliver;
use crate::contract::Redrive;
use crate::contract::Sent;
use crate::contract::Take;
use crate::contract::check_lease;
use crate::contract::check_new_lease;
use crate::error::InvalidArgument;
use crate::error::QueueError;
use crate::lease::Delivery;
use crate::lease::Lease;
use crate::lease::Receipt;
use crate::lease::Releases;
use crate::limits::DEAD_LETTERS_MAX;
use crate::limits::REDELIVER_KEYS_MAX;
use crate::message::NewMessage;
use crate::message::Received;
use crate::name::QueueName;
use crate::state::BlockedGroup;
use crate::state::DeadLetter;
use crate::state::DeadLetterId;
use crate::state::Location;
use crate::state::MessageId;
use crate::state::QueueStats;
use hoth_core::domain::JobKind;
use hoth_core::domain::PortfolioId;

/// Parses a dead letter's id: in this backend, the number of its message.
fn letter_number(id: &DeadLetterId) -> Result<i64, InvalidArgument> {
    id.as_str().parse().map_err(|_| InvalidArgument::DeadLetterId)
}

#[async_trait]
impl Queue for EmbeddedQueue {
    async fn send(&self, queue: &QueueName, message: NewMessage) -> Result<Sent, QueueError> {
        message.check()?;
        self.apply(SendMessage { queue: queue.clone(), message }).await
    }

    async fn receive(
        &self,
        queue: &QueueName,
        receive: Receive,
    ) -> Result<Vec<Delivery>, QueueError> {
        receive.check()?;
        let (reply, answer) = oneshot::channel();
        let until = Instant::now() + receive.wait;
        // Receives take no permit: waiting receives would use up all permits,
        // and no send could end their wait.
        self.requests.send(Request::Receive(Waiter {
            queue: queue.clone(),
            receive,
            until,
            reply,
        }))?;
        let releases = Arc::clone(&self.requests) as Arc<dyn Releases>;
        PendingReceive { answer, queue, releases: &releases }.answered().await
    }

    async fn take(
        &self,
        queue: &QueueName,
        id: &MessageId,
        lease: Duration,
    ) -> Result<Take, QueueError> {
        check_new_lease(lease)?;
        let seq = id.as_str().parse().map_err(|_| InvalidArgument::MessageId)?;
        let releases = Arc::clone(&self.requests) as Arc<dyn Releases>;
        self.apply(TakeMessage { queue: queue.clone(), seq, lease, releases }).await
    }

    async fn delete(&self, queue: &QueueName, receipts: &[Receipt]) -> Result<(), QueueError> {
        let leases = LeaseId::parse_all(receipts)?;
        self.apply(DeleteMessages { queue: queue.clone(), leases }).await
    }

    async fn change_lease(
        &self,
        queue: &QueueName,
        receipts: &[Receipt],
        after: Duration,
    ) -> Result<(), QueueError> {
        check_lease(after)?;
        let leases = LeaseId::parse_all(receipts)?;
        self.apply(ChangeLeases { queue: queue.clone(), leases, after }).await
    }

    async fn give_back(
        &self,
        queue: &QueueName,
        receipts: &[Receipt],
        after: Duration,
    ) -> Result<(), QueueError> {
        check_lease(after)?;
        let leases = LeaseId::parse_all(receipts)?;
        self.apply(GiveBackMessages { queue: queue.clone(), leases, after }).await
    }

    async fn settle(
        &self,
        queue: &QueueName,
        receipt: &Receipt,
        successor_queue: &QueueName,
        successor: NewMessage,
    ) -> Result<(), QueueError> {
        successor.check()?;
        let lease = LeaseId::parse(receipt)?;
        let (queue, successor_queue) = (queue.clone(), successor_queue.clone());
        self.apply(SettleMessage { queue, lease, successor_queue, successor }).await
    }

    async fn dead_letter(
        &self,
        queue: &QueueName,
        receipt: &Receipt,
        // The stored row is moved; only SQS has to send the message again.
        _: &Received,
        reason: &str,
        report: Option<(QueueName, NewMessage)>,
    ) -> Result<(), QueueError> {
        report.iter().try_for_each(|(_, message)| message.check())?;
        let lease = LeaseId::parse(receipt)?;
        let (queue, reason) = (queue.clone(), reason.to_owned());
        self.apply(DeadLetterMessage { queue, lease, reason, report }).await
    }

    async fn redeliver(&self, queue: &QueueName, which: Redeliver) -> Result<u64, QueueError> {
        if matches!(&which, Redeliver::Keys(keys) if keys.len() > REDELIVER_KEYS_MAX) {
            return Err(InvalidArgument::RedeliverKeys.into());
        }
        // Outcomes that are consumed while this runs, perhaps after an earlier
        // part put them back, are not put back again.
        let until = self.clock.now();
        // One transaction for each part, so that other callers get their turns.
        let part = async |which| {
            let queue = queue.clone();
            self.apply(RedeliverOutcomes { queue, which, until }).await
        };
        let mut count = 0;
        match which {
            Redeliver::Since(since) => loop {
                let put_back = part(Selection::Since(since)).await?;
                count += put_back;
                if put_back < REDELIVERED_AT_ONCE as u64 {
                    return Ok(count);
                }
            },
            Redeliver::Keys(keys) => {
                let numbers = self.read_queue(queue, move |queue| queue.consumed(&keys)).await?;
                for numbers in numbers.chunks(REDELIVERED_AT_ONCE) {
                    count += part(Selection::Numbers(numbers.to_vec())).await?;
                }
                Ok(count)
            }
        }
    }

    async fn check(&self) -> Result<(), QueueError> {
        self.apply(CheckStorage).await
    }

    async fn dead_letters(
        &self,
        queue: &QueueName,
        after: Option<&DeadLetterId>,
        max: usize,
    ) -> Result<Vec<DeadLetter>, QueueError> {
        // Numbers start at 1, so 0 lists from the beginning.
        let after = after.map_or(Ok(0), letter_number)?;
        let max = max.min(DEAD_LETTERS_MAX);
        self.read_queue(queue, move |queue| queue.dead_letters(after, max)).await
    }

    async fn redrive(
        &self,
        queue: &QueueName,
        id: &DeadLetterId,
        message: NewMessage,
    ) -> Result<Redrive, QueueError> {
        message.check()?;
        let (queue, id) = (queue.clone(), letter_number(id)?);
        self.apply(RedriveLetter { queue, id, message }).await
    }

    async fn find_dead_letters(
        &self,
        queue: &QueueName,
        ids: &[DeadLetterId],
    ) -> Result<Vec<DeadLetter>, QueueError> {
        if ids.len() > DEAD_LETTERS_MAX {
            return Err(InvalidArgument::DiscardIds.into());
        }
        let mut numbers: Vec<i64> = ids.iter().filter_map(|id| letter_number(id).ok()).collect();
        numbers.sort_unstable();
        numbers.dedup();
        self.read_queue(queue, move |queue| queue.find_dead_letters(&numbers)).await
    }

    async fn discard(&self, queue: &QueueName, ids: &[DeadLetterId]) -> Result<u64, QueueError> {
        if ids.len() > DEAD_LETTERS_MAX {
            return Err(InvalidArgument::DiscardIds.into());
        }
        let ids = ids.iter().map(letter_number).collect::<Result<_, _>>()?;
        self.apply(DiscardLetters { queue: queue.clone(), ids }).await
    }

    async fn blocked(&self, queue: &QueueName) -> Result<Vec<BlockedGroup>, QueueError> {
        self.read_queue(queue, |queue| queue.blocked()).await
    }

    async fn in_use(&self) -> Result<Vec<QueueName>, QueueError> {
        let names = self.read(inspect::names_in_use).await?;
        let parse = |name: &String| {
            let parsed = name.parse();
            // Another release may have had other queues.
            parsed.inspect_err(|_| warn!("The queue file has an unknown queue `{name}`"))
        };
        Ok(names.iter().filter_map(|name| parse(name).ok()).collect())
    }

    async fn stats(&self, queue: &QueueName) -> Result<QueueStats, QueueError> {
        self.read_queue(queue, |queue| queue.stats()).await
    }

    async fn locate(
        &self,
        kind: JobKind,
        id: &str,
        portfolio: Option<&PortfolioId>,
    ) -> Result<Location, QueueError> {
        let sought = Sought { kind, id: id.to_owned(), portfolio: portfolio.cloned() };
        let now = self.clock.now();
        self.read(move |sql| locate(sql, &sought, now)).await
    }
}

/// A receive that the writer has been asked for. Dropping it releases the
/// messages that have been leased for it meanwhile.
struct PendingReceive<'a> {
    answer: oneshot::Receiver<ReceiveResult>,
    queue: &'a QueueName,
    releases: &'a Arc<dyn Releases>,
}

impl PendingReceive<'_> {
    async fn answered(mut self) -> Result<Vec<Delivery>, QueueError> {
        let leased = (&mut self.answer).await.map_err(|_| closed())??;
        Ok(self.deliveries(leased))
    }

    fn deliveries(&self, leased: Vec<Leased>) -> Vec<Delivery> {
        let delivery = |Leased { lease, message }| Delivery {
            lease: Lease::new(self.queue.clone(), lease.to_receipt(), Arc::clone(self.releases)),
            message,
        };
        leased.into_iter().map(delivery).collect()
    }
}

impl Drop for PendingReceive<'_> {
    fn drop(&mut self) {
        // The order matters. After `close`, the writer finds that it cannot
        // hand over messages, and releases them itself. An answer that was sent
        // before `close` is still in the channel, and is released here.
        self.answer.close();
        if let Ok(Ok(leased)) = self.answer.try_recv() {
            drop(self.deliveries(leased));
        }
    }
}
