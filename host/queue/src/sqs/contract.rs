//! The queue contract on SQS.

use std::collections::HashSet;
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_sqs::types::QueueAttributeName;
use hoth_platform::failpoint;
use hoth_platform::failpoint::FailPoint;

use super::backend::SqsQueue;
use super::dead_letters::SequenceNumber;
use super::encoding;
use super::receive;
use crate::contract::Queue;
use crate::contract::Receive;
use crate::contract::Redeliver;
use crate::contract::Redrive;
use crate::contract::Sent;
use crate::contract::Take;
use crate::contract::check_lease;
use crate::error::InvalidArgument;
use crate::error::QueueError;
use crate::lease::Delivery;
use crate::lease::Receipt;
use crate::limits::DEAD_LETTERS_MAX;
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

#[async_trait]
impl Queue for SqsQueue {
    async fn send(&self, queue: &QueueName, message: NewMessage) -> Result<Sent, QueueError> {
        message.check()?;
        let dedup_id = encoding::dedup_id_of(&message);
        self.send_to(self.pair(queue)?, &message, &dedup_id).await?;
        // Also for a repetition, which SQS does not report.
        Ok(Sent::Queued)
    }

    async fn receive(
        &self,
        queue: &QueueName,
        receive: Receive,
    ) -> Result<Vec<Delivery>, QueueError> {
        receive.check()?;
        receive::receive(&self.shared, self.pair(queue)?, receive).await
    }

    async fn take(&self, _: &QueueName, _: &MessageId, _: Duration) -> Result<Take, QueueError> {
        // SQS chooses the messages that a receive returns.
        Err(QueueError::NotOffered("taking one message"))
    }

    async fn delete(&self, queue: &QueueName, receipts: &[Receipt]) -> Result<(), QueueError> {
        self.shared.delete(self.pair(queue)?, receipts).await
    }

    async fn change_lease(
        &self,
        queue: &QueueName,
        receipts: &[Receipt],
        after: Duration,
    ) -> Result<(), QueueError> {
        check_lease(after)?;
        self.shared.change(self.pair(queue)?, receipts, after).await
    }

    async fn give_back(
        &self,
        queue: &QueueName,
        receipts: &[Receipt],
        after: Duration,
    ) -> Result<(), QueueError> {
        check_lease(after)?;
        self.shared.give_back(self.pair(queue)?, receipts, after).await
    }

    async fn settle(
        &self,
        queue: &QueueName,
        receipt: &Receipt,
        successor_queue: &QueueName,
        successor: NewMessage,
    ) -> Result<(), QueueError> {
        successor.check()?;
        let queue = self.pair(queue)?;
        self.hold(queue, receipt).await?;
        // Send before delete: a crash between the two repeats the successor,
        // which SQS drops by its key. The other order would lose the job.
        self.send_successor(receipt, successor_queue, &successor).await?;
        failpoint::reach(FailPoint::AfterSendBeforeDelete);
        self.shared.delete(queue, std::slice::from_ref(receipt)).await
    }

    async fn dead_letter(
        &self,
        queue: &QueueName,
        receipt: &Receipt,
        message: &Received,
        reason: &str,
        report: Option<(QueueName, NewMessage)>,
    ) -> Result<(), QueueError> {
        report.iter().try_for_each(|(_, message)| message.check())?;
        let queue = self.pair(queue)?;
        self.hold(queue, receipt).await?;
        // The report first: ServiceNow must hear of the job even if the rest
        // fails. The message is deleted last, as in `settle`. A crash in
        // between repeats both sends, and SQS drops the second ones by their
        // keys.
        if let Some((report_queue, report)) = &report {
            self.send_successor(receipt, report_queue, report).await?;
        }
        self.shared.send_dead_letter(queue, message, reason).await?;
        failpoint::reach(FailPoint::AfterSendBeforeDelete);
        self.shared.delete(queue, std::slice::from_ref(receipt)).await
    }

    async fn redeliver(&self, _: &QueueName, _: Redeliver) -> Result<u64, QueueError> {
        Err(QueueError::NotOffered("redelivery"))
    }

    async fn dead_letters(
        &self,
        queue: &QueueName,
        after: Option<&DeadLetterId>,
        max: usize,
    ) -> Result<Vec<DeadLetter>, QueueError> {
        let after = after.map(SequenceNumber::parse).transpose()?;
        let behind = |number: &SequenceNumber| after.as_ref().is_none_or(|after| number > after);
        self.shared.dead_letters(self.pair(queue)?, behind, max.min(DEAD_LETTERS_MAX)).await
    }

    async fn find_dead_letters(
        &self,
        queue: &QueueName,
        ids: &[DeadLetterId],
    ) -> Result<Vec<DeadLetter>, QueueError> {
        if ids.len() > DEAD_LETTERS_MAX {
            return Err(InvalidArgument::DiscardIds.into());
        }
        let wanted: HashSet<SequenceNumber> =
            ids.iter().filter_map(|id| SequenceNumber::parse(id).ok()).collect();
        // One scan for all of them: SQS has no access by id.
        let is_wanted = |number: &SequenceNumber| wanted.contains(number);
        self.shared.dead_letters(self.pair(queue)?, is_wanted, wanted.len()).await
    }

    async fn redrive(
        &self,
        queue: &QueueName,
        id: &DeadLetterId,
        message: NewMessage,
    ) -> Result<Redrive, QueueError> {
        message.check()?;
        let (queue, number) = (self.pair(queue)?, SequenceNumber::parse(id)?);
        let mut scan = self.shared.scan(queue).await;
        let Some(handle) = scan.find(&[number]).await?.pop() else {
            return Ok(Redrive::NotFound);
        };
        // Send before delete, as in `settle`: a second try has the same key.
        self.send_to(queue, &message, message.dedup.key.as_str()).await?;
        scan.delete(vec![handle]).await?;
        Ok(Redrive::Sent)
    }

    async fn discard(&self, queue: &QueueName, ids: &[DeadLetterId]) -> Result<u64, QueueError> {
        if ids.len() > DEAD_LETTERS_MAX {
            return Err(InvalidArgument::DiscardIds.into());
        }
        let numbers = ids.iter().map(SequenceNumber::parse).collect::<Result<Vec<_>, _>>()?;
        let mut scan = self.shared.scan(self.pair(queue)?).await;
        let handles = scan.find(&numbers).await?;
        let count = handles.len() as u64;
        scan.delete(handles).await?;
        Ok(count)
    }

    async fn blocked(&self, _: &QueueName) -> Result<Vec<BlockedGroup>, QueueError> {
        Err(QueueError::NotOffered("a list of blocked groups"))
    }

    async fn check(&self) -> Result<(), QueueError> {
        // One queue stands for all: they share the endpoint and the
        // credentials.
        let Some(queue) = self.queues.values().next() else { return Ok(()) };
        let wanted = vec![QueueAttributeName::QueueArn];
        self.shared.attributes(&queue.url, wanted).await.map(drop)
    }

    async fn in_use(&self) -> Result<Vec<QueueName>, QueueError> {
        Err(QueueError::NotOffered("a list of queues in use"))
    }

    async fn stats(&self, queue: &QueueName) -> Result<QueueStats, QueueError> {
        let queue = self.pair(queue)?;
        let (messages, dead) =
            tokio::try_join!(self.shared.counts(&queue.url), self.shared.counts(&queue.dead_url))?;
        Ok(QueueStats {
            depth: messages.waiting,
            in_flight: messages.in_flight,
            // SQS reports ages to CloudWatch alone.
            oldest_age: None,
            oldest_claimable_age: None,
            // A scan of the dead letters hides them for a moment.
            dead_letters: dead.waiting + dead.in_flight,
        })
    }

    async fn locate(
        &self,
        _: JobKind,
        _: &str,
        _: Option<&PortfolioId>,
    ) -> Result<Location, QueueError> {
        Err(QueueError::NotOffered("finding the message of a job"))
    }
}
