//! What callers ask of the writer, and how they are answered.

use std::time::Duration;
use std::time::Instant;

use tokio::sync::oneshot;

use super::receipt::Held;
use crate::domain::Timestamp;
use crate::queue::NewMessage;
use crate::queue::QueueError;
use crate::queue::QueueName;
use crate::queue::Receive;
use crate::queue::Redeliver;
use crate::queue::Sent;

use super::store::Leased;

/// Where an answer goes.
pub type Reply<T> = oneshot::Sender<Result<T, QueueError>>;

/// One thing to do to the tables, in the writer's next transaction.
pub enum Command {
    Send {
        queue: QueueName,
        message: NewMessage,
        reply: Reply<Sent>,
    },
    Receive(Waiter),
    Delete {
        queue: QueueName,
        held: Vec<Held>,
        reply: Reply<()>,
    },
    ChangeLease {
        queue: QueueName,
        held: Vec<Held>,
        after: Duration,
        reply: Option<Reply<()>>,
    },
    Settle {
        queue: QueueName,
        held: Held,
        to: QueueName,
        successor: NewMessage,
        reply: Reply<()>,
    },
    Bury {
        queue: QueueName,
        held: Held,
        reason: String,
        report: Option<(QueueName, NewMessage)>,
        reply: Reply<()>,
    },
    /// Some of the messages, consumed no later than `until`.
    Redeliver {
        queue: QueueName,
        which: Redeliver,
        until: Timestamp,
        reply: Reply<u64>,
    },
    Revive {
        queue: QueueName,
        id: i64,
        message: NewMessage,
        reply: Reply<u64>,
    },
    Discard {
        queue: QueueName,
        ids: Vec<i64>,
        reply: Reply<u64>,
    },
    /// Nothing; answered after a commit.
    Check {
        reply: Reply<()>,
    },
    /// The last command.
    Close {
        reply: oneshot::Sender<()>,
    },
}

/// A receive, perhaps waiting for a message.
pub struct Waiter {
    pub queue: QueueName,
    pub receive: Receive,
    pub until: Instant,
    pub reply: Reply<Vec<Leased>>,
}

/// What a command came to, until the transaction is committed.
pub enum Outcome {
    Sent(Sent),
    Received(Vec<Leased>),
    Done(bool),
    Count(u64),
    /// A receive that found nothing and may wait.
    Parked,
    Failed(QueueError),
}

/// What is left to do when the caller has been told.
pub enum Remainder {
    Nothing,
    /// A receive waits for a message.
    Waits(Waiter),
    /// The receiver is gone, and its messages go back.
    GiveBack(QueueName, Vec<Held>),
}

impl Command {
    /// Tells the caller; one that is gone needs no answer.
    pub fn answer(self, outcome: Outcome) -> Remainder {
        match self {
            Self::Send { reply, .. } => {
                let _ = reply.send(outcome.sent());
            }
            Self::Receive(waiter) if matches!(outcome, Outcome::Parked) => {
                return Remainder::Waits(waiter);
            }
            Self::Receive(waiter) => return waiter.answer(outcome),
            Self::Redeliver { reply, .. }
            | Self::Revive { reply, .. }
            | Self::Discard { reply, .. } => {
                let _ = reply.send(outcome.count());
            }
            Self::ChangeLease { reply: None, .. } => {}
            Self::Delete { reply, .. }
            | Self::ChangeLease { reply: Some(reply), .. }
            | Self::Settle { reply, .. }
            | Self::Bury { reply, .. }
            | Self::Check { reply } => {
                let _ = reply.send(outcome.done());
            }
            Self::Close { reply } => {
                let _ = reply.send(());
            }
        }
        Remainder::Nothing
    }
}

impl Waiter {
    /// Tells the receiver.
    pub fn answer(self, outcome: Outcome) -> Remainder {
        match self.reply.send(outcome.received()) {
            Err(Ok(leased)) if !leased.is_empty() => {
                Remainder::GiveBack(self.queue, leased.iter().map(|one| one.held).collect())
            }
            Ok(()) | Err(_) => Remainder::Nothing,
        }
    }
}

/// A command has the outcome of its kind, or failed; none of these is asked of
/// another kind.
impl Outcome {
    fn sent(self) -> Result<Sent, QueueError> {
        match self {
            Self::Sent(sent) => Ok(sent),
            Self::Failed(error) => Err(error),
            Self::Received(_) | Self::Done(_) | Self::Count(_) | Self::Parked => mismatched(),
        }
    }

    fn received(self) -> Result<Vec<Leased>, QueueError> {
        match self {
            Self::Received(leased) => Ok(leased),
            Self::Failed(error) => Err(error),
            Self::Sent(_) | Self::Done(_) | Self::Count(_) | Self::Parked => mismatched(),
        }
    }

    fn done(self) -> Result<(), QueueError> {
        match self {
            Self::Done(true) => Ok(()),
            Self::Done(false) => Err(QueueError::LeaseEnded),
            Self::Failed(error) => Err(error),
            Self::Sent(_) | Self::Received(_) | Self::Count(_) | Self::Parked => mismatched(),
        }
    }

    fn count(self) -> Result<u64, QueueError> {
        match self {
            Self::Count(count) => Ok(count),
            Self::Failed(error) => Err(error),
            Self::Sent(_) | Self::Received(_) | Self::Done(_) | Self::Parked => mismatched(),
        }
    }
}

fn mismatched() -> ! {
    unreachable!("a command has the outcome of its kind")
}
