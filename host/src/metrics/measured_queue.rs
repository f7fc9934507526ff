//! A queue that counts the operations of its backend and measures their time.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use async_trait::async_trait;

use super::table;
use hoth_core::domain::JobKind;
use hoth_core::domain::PortfolioId;
use hoth_queue::BlockedGroup;
use hoth_queue::DeadLetter;
use hoth_queue::DeadLetterId;
use hoth_queue::Delivery;
use hoth_queue::Location;
use hoth_queue::MessageId;
use hoth_queue::NewMessage;
use hoth_queue::Queue;
use hoth_queue::QueueError;
use hoth_queue::QueueName;
use hoth_queue::QueueStats;
use hoth_queue::Receipt;
use hoth_queue::Receive;
use hoth_queue::Received;
use hoth_queue::Redeliver;
use hoth_queue::Redrive;
use hoth_queue::Sent;
use hoth_queue::Take;

/// An operation of the queue backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Op {
    Send,
    Receive,
    Delete,
    ChangeLease,
    GiveBack,
    Settle,
    DeadLetter,
    Redeliver,
    /// The acts of operators: dead letters, blocked groups, queues in use, the
    /// message of a job.
    Operate,
    Check,
    Stats,
}

impl Op {
    /// Every operation, in the order of declaration.
    const ALL: [Self; 11] = [
        Self::Send,
        Self::Receive,
        Self::Delete,
        Self::ChangeLease,
        Self::GiveBack,
        Self::Settle,
        Self::DeadLetter,
        Self::Redeliver,
        Self::Operate,
        Self::Check,
        Self::Stats,
    ];

    fn as_str(self) -> &'static str {
        match self {
            Self::Send => "send",
            Self::Receive => "receive",
            Self::Delete => "delete",
            Self::ChangeLease => "change-lease",
            Self::GiveBack => "give-back",
            Self::Settle => "settle",
            Self::DeadLetter => "dead-letter",
            Self::Redeliver => "redeliver",
            Self::Operate => "operate",
            Self::Check => "check",
            Self::Stats => "stats",
        }
    }
}

/// A reason for which the backend did not do an operation.
const REASONS: [&str; 3] = ["full", "unreachable", "refused"];

/// The handles of one operation.
struct OpMeter {
    seconds: metrics::Histogram,
    /// One for each of [`REASONS`].
    failures: [metrics::Counter; 3],
}

/// A queue whose operations are measured.
pub struct MeasuredQueue {
    queue: Arc<dyn Queue>,
    /// In the order of [`Op::ALL`].
    ops: [OpMeter; Op::ALL.len()],
}

impl MeasuredQueue {
    /// Measures the operations of `queue`.
    pub fn new(queue: Arc<dyn Queue>) -> Self {
        let meter = |op: Op| OpMeter {
            seconds: table::QUEUE_OPERATION.with(&[op.as_str()]),
            failures: REASONS
                .map(|reason| table::QUEUE_OPERATION_FAILURES.with(&[op.as_str(), reason])),
        };
        Self { queue, ops: Op::ALL.map(meter) }
    }

    async fn measure<T>(
        &self,
        op: Op,
        work: impl Future<Output = Result<T, QueueError>>,
    ) -> Result<T, QueueError> {
        let started_at = Instant::now();
        let result = work.await;
        self.ops[op as usize].seconds.record(started_at.elapsed());
        self.count_failure(op, result.as_ref().err());
        result
    }

    fn count_failure(&self, op: Op, error: Option<&QueueError>) {
        let [full, unreachable, refused] = &self.ops[op as usize].failures;
        match error {
            Some(QueueError::Full) => full.increment(1),
            Some(QueueError::Unreachable(_)) => unreachable.increment(1),
            Some(QueueError::Refused(_)) => refused.increment(1),
            // A lease that has ended and a missing feature are answers.
            Some(QueueError::LeaseEnded | QueueError::NotOffered(_)) | None => {}
        }
    }
}

#[async_trait]
impl Queue for MeasuredQueue {
    async fn send(&self, queue: &QueueName, message: NewMessage) -> Result<Sent, QueueError> {
        self.measure(Op::Send, self.queue.send(queue, message)).await
    }

    async fn receive(
        &self,
        queue: &QueueName,
        receive: Receive,
    ) -> Result<Vec<Delivery>, QueueError> {
        if receive.wait.is_zero() {
            return self.measure(Op::Receive, self.queue.receive(queue, receive)).await;
        }
        // The time would be that until a message arrives.
        let received = self.queue.receive(queue, receive).await;
        self.count_failure(Op::Receive, received.as_ref().err());
        received
    }

    async fn take(
        &self,
        queue: &QueueName,
        id: &MessageId,
        lease: Duration,
    ) -> Result<Take, QueueError> {
        self.measure(Op::Operate, self.queue.take(queue, id, lease)).await
    }

    async fn delete(&self, queue: &QueueName, receipts: &[Receipt]) -> Result<(), QueueError> {
        self.measure(Op::Delete, self.queue.delete(queue, receipts)).await
    }

    async fn change_lease(
        &self,
        queue: &QueueName,
        receipts: &[Receipt],
        after: Duration,
    ) -> Result<(), QueueError> {
        self.measure(Op::ChangeLease, self.queue.change_lease(queue, receipts, after)).await
    }

    async fn give_back(
        &self,
        queue: &QueueName,
        receipts: &[Receipt],
        after: Duration,
    ) -> Result<(), QueueError> {
        self.measure(Op::GiveBack, self.queue.give_back(queue, receipts, after)).await
    }

    async fn settle(
        &self,
        queue: &QueueName,
        receipt: &Receipt,
        successor_queue: &QueueName,
        successor: NewMessage,
    ) -> Result<(), QueueError> {
        let settle = self.queue.settle(queue, receipt, successor_queue, successor);
        self.measure(Op::Settle, settle).await
    }

    async fn dead_letter(
        &self,
        queue: &QueueName,
        receipt: &Receipt,
        message: &Received,
        reason: &str,
        report: Option<(QueueName, NewMessage)>,
    ) -> Result<(), QueueError> {
        let move_it = self.queue.dead_letter(queue, receipt, message, reason, report);
        self.measure(Op::DeadLetter, move_it).await
    }

    async fn redeliver(&self, queue: &QueueName, which: Redeliver) -> Result<u64, QueueError> {
        self.measure(Op::Redeliver, self.queue.redeliver(queue, which)).await
    }

    async fn dead_letters(
        &self,
        queue: &QueueName,
        after: Option<&DeadLetterId>,
        max: usize,
    ) -> Result<Vec<DeadLetter>, QueueError> {
        self.measure(Op::Operate, self.queue.dead_letters(queue, after, max)).await
    }

    async fn find_dead_letters(
        &self,
        queue: &QueueName,
        ids: &[DeadLetterId],
    ) -> Result<Vec<DeadLetter>, QueueError> {
        self.measure(Op::Operate, self.queue.find_dead_letters(queue, ids)).await
    }

    async fn redrive(
        &self,
        queue: &QueueName,
        id: &DeadLetterId,
        message: NewMessage,
    ) -> Result<Redrive, QueueError> {
        self.measure(Op::Operate, self.queue.redrive(queue, id, message)).await
    }

    async fn discard(&self, queue: &QueueName, ids: &[DeadLetterId]) -> Result<u64, QueueError> {
        self.measure(Op::Operate, self.queue.discard(queue, ids)).await
    }

    async fn blocked(&self, queue: &QueueName) -> Result<Vec<BlockedGroup>, QueueError> {
        self.measure(Op::Operate, self.queue.blocked(queue)).await
    }

    async fn check(&self) -> Result<(), QueueError> {
        self.measure(Op::Check, self.queue.check()).await
    }

    async fn in_use(&self) -> Result<Vec<QueueName>, QueueError> {
        self.measure(Op::Operate, self.queue.in_use()).await
    }

    async fn stats(&self, queue: &QueueName) -> Result<QueueStats, QueueError> {
        self.measure(Op::Stats, self.queue.stats(queue)).await
    }

    async fn locate(
        &self,
        kind: JobKind,
        id: &str,
        portfolio: Option<&PortfolioId>,
    ) -> Result<Location, QueueError> {
        self.measure(Op::Operate, self.queue.locate(kind, id, portfolio)).await
    }
}
