//! The embedded queue's receipts: which message, under which lease.

use crate::QueueError;
use crate::Receipt;

/// A parsed receipt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    pub seq: i64,
    pub lease: i64,
}

impl Held {
    pub fn to_receipt(self) -> Receipt {
        Receipt::new(format!("{}.{}", self.seq, self.lease))
    }

    /// # Errors
    ///
    /// [`QueueError::Refused`] for a text that no queue of this kind wrote.
    pub fn parse(receipt: &Receipt) -> Result<Self, QueueError> {
        let parts = receipt.as_str().split_once('.');
        let held = parts.and_then(|(seq, lease)| {
            Some(Self { seq: seq.parse().ok()?, lease: lease.parse().ok()? })
        });
        held.ok_or(QueueError::Refused("not a receipt of this queue"))
    }

    /// Parses many.
    pub fn parse_all(receipts: &[Receipt]) -> Result<Vec<Self>, QueueError> {
        receipts.iter().map(Self::parse).collect()
    }
}
