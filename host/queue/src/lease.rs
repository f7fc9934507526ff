//! Leases: the temporary hold of a receiver on a message.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;

use crate::message::Received;
use crate::name::QueueName;

/// The name of one lease. Its text is opaque outside the backend that wrote it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Receipt(String);

impl Receipt {
    /// Wraps a backend's own text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Returns the backend's own text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The work on a message at the time at which its lease is dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dropped {
    /// The work had not begun. The message is given back, as
    /// [`Queue::give_back`](crate::Queue::give_back) does: the receive does not
    /// count.
    NotStarted,
    /// The work was cancelled. The message becomes available at once.
    Cancelled,
    /// The work panicked. The message becomes available after
    /// [`PANIC_PAUSE`](crate::limits::PANIC_PAUSE).
    Panicked,
}

/// The part of a backend that ends leases when they are dropped.
pub trait Releases: Send + Sync {
    /// Makes a message available again, as soon as the backend can. Never
    /// blocks, because it is called by `Drop`. Never fails: a lease that cannot
    /// be released runs out by itself.
    fn release(&self, queue: &QueueName, receipt: &Receipt, dropped: Dropped);

    /// Notes that the holder is done with the lease, and leaves the message as
    /// it is. A backend that remembers leases can forget this one.
    fn kept(&self, _: &Receipt) {}
}

/// The hold on one message. Dropping it releases the message, so a panic, a
/// cancelled request and an early return all do. Unless the work on the message
/// was [started](Lease::start), the receive then does not count.
pub struct Lease {
    queue: QueueName,
    receipt: Receipt,
    /// True if the receive counts, even if the lease is dropped.
    started: AtomicBool,
    /// `None` once the lease was kept: then dropping it does nothing.
    releases: Option<Arc<dyn Releases>>,
}

impl Lease {
    /// Makes a lease that `releases` ends when it is dropped.
    pub fn new(queue: QueueName, receipt: Receipt, releases: Arc<dyn Releases>) -> Self {
        Self { queue, receipt, started: AtomicBool::new(false), releases: Some(releases) }
    }

    /// Returns the queue that the message is on.
    pub fn queue(&self) -> &QueueName {
        &self.queue
    }

    /// Returns the name by which to settle, extend or delete.
    pub fn receipt(&self) -> &Receipt {
        &self.receipt
    }

    /// Notes that the work on the message begins: from now on the receive
    /// counts, even if the lease is dropped.
    pub fn start(&self) {
        self.started.store(true, Ordering::Relaxed);
    }

    /// Leaves the message leased until it is settled or the lease runs out.
    pub fn keep(mut self) -> Receipt {
        // Taken out, so that dropping this lease does nothing.
        if let Some(releases) = self.releases.take() {
            releases.kept(&self.receipt);
        }
        self.receipt.clone()
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let Some(releases) = self.releases.take() else { return };
        let dropped = match self.started.load(Ordering::Relaxed) {
            // First, and whether or not the work was started: released at once,
            // a message that panics every time would be received hundreds of
            // times in a second.
            _ if std::thread::panicking() => Dropped::Panicked,
            true => Dropped::Cancelled,
            false => Dropped::NotStarted,
        };
        releases.release(&self.queue, &self.receipt, dropped);
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease").field("queue", &self.queue).field("receipt", &self.receipt).finish()
    }
}

/// A received message and its lease. Dropping it releases the message.
#[derive(Debug)]
pub struct Delivery {
    pub message: Received,
    pub lease: Lease,
}
