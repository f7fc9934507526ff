//! Leases: the temporary hold of a receiver on a message.

use std::fmt;
use std::sync::Arc;

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

/// The part of a backend that ends leases when they are dropped.
pub trait Releases: Send + Sync {
    /// Makes a message available again, as soon as the backend can. Never
    /// blocks, because it is called by `Drop`. Never fails: a lease that cannot
    /// be released runs out by itself.
    fn release(&self, queue: &QueueName, receipt: &Receipt);

    /// Notes that the holder is done with the lease, and leaves the message as
    /// it is. A backend that remembers leases can forget this one.
    fn kept(&self, _: &Receipt) {}
}

/// The hold on one message. Dropping it releases the message, so a panic, a
/// cancelled request and an early return all do.
pub struct Lease {
    queue: QueueName,
    receipt: Receipt,
    /// `None` once the lease was kept: then dropping it does nothing.
    releases: Option<Arc<dyn Releases>>,
}

impl Lease {
    /// Makes a lease that `releases` ends when it is dropped.
    pub fn new(queue: QueueName, receipt: Receipt, releases: Arc<dyn Releases>) -> Self {
        Self { queue, receipt, releases: Some(releases) }
    }

    /// Returns the queue that the message is on.
    pub fn queue(&self) -> &QueueName {
        &self.queue
    }

    /// Returns the name by which to settle, extend or delete.
    pub fn receipt(&self) -> &Receipt {
        &self.receipt
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
        if let Some(releases) = self.releases.take() {
            releases.release(&self.queue, &self.receipt);
        }
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
