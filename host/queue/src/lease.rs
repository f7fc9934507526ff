//! The hold that a receiver has on a message.

use std::fmt;
use std::sync::Arc;

use super::QueueName;

/// The name of one lease; opaque outside the backend that wrote it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Receipt(String);

impl Receipt {
    /// Wraps a backend's own text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The backend's own text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What a backend does when a lease is dropped.
pub trait Releases: Send + Sync {
    /// Gives a message back at once, as soon as the backend can; never blocks,
    /// and never fails (a lease that nobody gives back ends by itself).
    fn release(&self, queue: &QueueName, receipt: &Receipt);

    /// Takes note that the holder is done with the lease, and leaves the
    /// message as it is. A backend need not care.
    fn kept(&self, _: &Receipt) {}
}

/// A hold on one message. Dropping it gives the message back, so a panic, a
/// cancelled request and an early return all do.
pub struct Lease {
    queue: QueueName,
    receipt: Receipt,
    releases: Option<Arc<dyn Releases>>,
}

impl Lease {
    /// A lease that `releases` ends when this is dropped.
    pub fn new(queue: QueueName, receipt: Receipt, releases: Arc<dyn Releases>) -> Self {
        Self { queue, receipt, releases: Some(releases) }
    }

    /// The queue that the message is on.
    pub fn queue(&self) -> &QueueName {
        &self.queue
    }

    /// The name to settle, extend or delete by.
    pub fn receipt(&self) -> &Receipt {
        &self.receipt
    }

    /// Leaves the message leased until it is settled or the time runs out.
    pub fn keep(mut self) -> Receipt {
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
