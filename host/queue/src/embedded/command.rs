//! Requests to the writer: commands with their callers, and receives.
//!
//! An [`Operation`] is one change to the tables, with the type of its result. A
//! [`Call`] joins an operation to its caller, and holds the result until the
//! transaction is committed. To the writer every call is a [`Command`].

use std::sync::mpsc;

use tokio::sync::oneshot;

use super::transaction::Transaction;
use super::wait_queues::Waiter;
use crate::error::QueueError;

/// The caller's end of a command: it receives the result.
pub type Reply<T> = oneshot::Sender<Result<T, QueueError>>;

/// The channel to the writer.
pub struct Requests(pub mpsc::Sender<Request>);

impl Requests {
    /// Sends a request.
    ///
    /// # Errors
    ///
    /// [`closed`], if the writer has ended.
    pub fn send(&self, request: Request) -> Result<(), QueueError> {
        self.0.send(request).map_err(|_| closed())
    }
}

/// Returns the error of a call after the end of the writer.
pub fn closed() -> QueueError {
    QueueError::Unreachable("the queue was closed".into())
}

/// A request to the writer.
pub enum Request {
    Apply(Box<dyn Command>),
    Receive(Waiter),
    /// Asks for nothing: the writer has another reason to look.
    Wake,
    /// Ends the writer. Requests behind it are refused.
    Close {
        reply: oneshot::Sender<()>,
    },
}

impl Request {
    /// Returns the bytes of messages that the request stores.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Apply(command) => command.bytes(),
            Self::Receive(_) | Self::Wake | Self::Close { .. } => 0,
        }
    }

    /// Answers the caller with an error, without doing anything.
    pub fn refuse(self, error: QueueError) {
        match self {
            Self::Apply(command) => command.answer(Err(error)),
            Self::Receive(waiter) => drop(waiter.answer(Err(error))),
            Self::Wake => {}
            Self::Close { reply } => drop(reply.send(())),
        }
    }
}

/// One change to the tables.
pub trait Operation: Send + 'static {
    /// The result that the caller gets.
    type Output: Send;

    /// True for operations that add to the tables, false for operations that
    /// delete from them or leave their size as it is. The former are refused
    /// while the disk is full.
    const NEEDS_ROOM: bool;

    /// Returns the bytes of messages that the operation stores.
    fn bytes(&self) -> usize {
        0
    }

    /// Applies the change inside the writer's transaction.
    ///
    /// # Errors
    ///
    /// The inner error is the answer to the caller; the transaction goes on. It
    /// must leave the tables unchanged where the answer says so. The outer
    /// error rolls back the whole transaction.
    fn apply(
        &self,
        transaction: &mut Transaction<'_, '_>,
    ) -> rusqlite::Result<Result<Self::Output, QueueError>>;
}

/// An operation that is applied in the writer's next transaction.
pub trait Command: Send {
    /// Returns [`Operation::NEEDS_ROOM`].
    fn needs_room(&self) -> bool;

    /// Returns [`Operation::bytes`].
    fn bytes(&self) -> usize;

    /// Applies the operation, and keeps its result for [`Command::answer`].
    ///
    /// # Errors
    ///
    /// An error that rolls back the transaction. The command may be applied
    /// again, in another transaction.
    fn apply(&mut self, transaction: &mut Transaction<'_, '_>) -> rusqlite::Result<()>;

    /// Answers the caller: with the result if the transaction was committed,
    /// else with the error. A caller that has gone away needs no answer.
    fn answer(self: Box<Self>, committed: Result<(), QueueError>);
}

/// An operation and its caller.
pub struct Call<O: Operation> {
    operation: O,
    /// `None` if no caller waits for the result: the release of a lease that
    /// was dropped, or that could not be handed over.
    reply: Option<Reply<O::Output>>,
    /// The result, from `apply` until the commit is known. A second `apply`,
    /// after a rollback, replaces it.
    pending: Option<Result<O::Output, QueueError>>,
}

impl<O: Operation> Call<O> {
    /// Makes a command whose result goes to `reply`.
    pub fn with_caller(operation: O, reply: Reply<O::Output>) -> Box<dyn Command> {
        Box::new(Self { operation, reply: Some(reply), pending: None })
    }

    /// Makes a command whose result is dropped.
    pub fn without_caller(operation: O) -> Box<dyn Command> {
        Box::new(Self { operation, reply: None, pending: None })
    }
}

impl<O: Operation> Command for Call<O> {
    fn needs_room(&self) -> bool {
        O::NEEDS_ROOM
    }

    fn bytes(&self) -> usize {
        self.operation.bytes()
    }

    fn apply(&mut self, transaction: &mut Transaction<'_, '_>) -> rusqlite::Result<()> {
        self.pending = Some(self.operation.apply(transaction)?);
        Ok(())
    }

    fn answer(self: Box<Self>, committed: Result<(), QueueError>) {
        let Self { reply, pending, .. } = *self;
        let Some(reply) = reply else { return };
        let result = committed.and_then(|()| {
            pending.expect("a transaction is committed after all of its commands were applied")
        });
        let _ = reply.send(result);
    }
}
