//! What callers ask of the writer, and how they are answered.

use std::time::Duration;
use std::time::Instant;

use tokio::sync::oneshot;

use super::receipt::Held;
use crate::NewMessage;
use crate::QueueError;
use crate::QueueName;
use crate::Receive;
use crate::Redeliver;
use crate::Sent;
use hoth_core::domain::Timestamp;

use super::store::Leased;

/// Where an answer goes.
pub type Reply<T> = oneshot::Sender<Result<T, QueueError>>;

/// What the writer is asked.
pub enum Ask {
    Do(Command),
    Receive(Waiter),
    /// The last thing that is asked.
    Close {
        reply: oneshot::Sender<()>,
    },
}

/// One thing to do to the tables, in the writer's next transaction.
pub enum Command {
    Send {
        queue: QueueName,
        message: NewMessage,
        reply: Reply<Sent>,
    },
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
    /// Whether the lease still held.
    Done(bool),
    Count(u64),
}

impl Ask {
    /// Tells the caller that nothing was done.
    pub fn refuse(self, error: QueueError) {
        match self {
            Self::Do(command) => command.answer(Err(error)),
            Self::Receive(waiter) => drop(waiter.answer(Err(error))),
            Self::Close { reply } => drop(reply.send(())),
        }
    }
}

impl Command {
    /// Whether it adds to what is stored, and takes nothing away.
    pub fn needs_room(&self) -> bool {
        match self {
            Self::Send { .. } | Self::Redeliver { .. } | Self::Revive { .. } => true,
            // It asks whether there is room.
            Self::Check { .. } => true,
            Self::Delete { .. }
            | Self::ChangeLease { .. }
            | Self::Settle { .. }
            | Self::Bury { .. }
            | Self::Discard { .. } => false,
        }
    }

    /// Tells the caller; one that is gone needs no answer.
    pub fn answer(self, outcome: Result<Outcome, QueueError>) {
        match self {
            Self::Send { reply, .. } => drop(reply.send(outcome.and_then(Outcome::sent))),
            Self::Redeliver { reply, .. }
            | Self::Revive { reply, .. }
            | Self::Discard { reply, .. } => drop(reply.send(outcome.and_then(Outcome::count))),
            Self::ChangeLease { reply: None, .. } => {}
            Self::Delete { reply, .. }
            | Self::ChangeLease { reply: Some(reply), .. }
            | Self::Settle { reply, .. }
            | Self::Bury { reply, .. }
            | Self::Check { reply } => drop(reply.send(outcome.and_then(Outcome::done))),
        }
    }
}

impl Waiter {
    /// Tells the receiver. One that is gone gets nothing, and what was leased
    /// for it is to be given back: that is the command.
    pub fn answer(self, leased: Result<Vec<Leased>, QueueError>) -> Option<Command> {
        let unsent = self.reply.send(leased).err()?.ok()?;
        (!unsent.is_empty()).then(|| Command::ChangeLease {
            queue: self.queue,
            held: unsent.iter().map(|one| one.held).collect(),
            after: Duration::ZERO,
            reply: None,
        })
    }
}

/// A command has the outcome of its kind; none of these is asked of another
/// kind.
impl Outcome {
    fn sent(self) -> Result<Sent, QueueError> {
        match self {
            Self::Sent(sent) => Ok(sent),
            Self::Done(_) | Self::Count(_) => mismatched(),
        }
    }

    fn done(self) -> Result<(), QueueError> {
        match self {
            Self::Done(true) => Ok(()),
            Self::Done(false) => Err(QueueError::LeaseEnded),
            Self::Sent(_) | Self::Count(_) => mismatched(),
        }
    }

    fn count(self) -> Result<u64, QueueError> {
        match self {
            Self::Count(count) => Ok(count),
            Self::Sent(_) | Self::Done(_) => mismatched(),
        }
    }
}

fn mismatched() -> ! {
    unreachable!("a command has the outcome of its kind")
}
