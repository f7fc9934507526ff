//! Receipts of the embedded queue: the message's number and the lease's.

use crate::error::InvalidArgument;
use crate::lease::Receipt;

/// One lease on one message: a parsed receipt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeaseId {
    /// The number of the message in its table.
    pub seq: i64,
    /// The number of the lease, which no earlier lease had.
    pub lease: i64,
}

impl LeaseId {
    /// Writes the lease as a receipt.
    pub fn to_receipt(self) -> Receipt {
        Receipt::new(format!("{}.{}", self.seq, self.lease))
    }

    /// Parses a receipt.
    ///
    /// # Errors
    ///
    /// [`InvalidArgument::Receipt`] if this backend did not write it.
    pub fn parse(receipt: &Receipt) -> Result<Self, InvalidArgument> {
        let parts = receipt.as_str().split_once('.');
        let parsed = parts.and_then(|(seq, lease)| {
            Some(Self { seq: seq.parse().ok()?, lease: lease.parse().ok()? })
        });
        parsed.ok_or(InvalidArgument::Receipt)
    }

    /// Parses receipts, or returns the error of the first that is refused.
    pub fn parse_all(receipts: &[Receipt]) -> Result<Vec<Self>, InvalidArgument> {
        receipts.iter().map(Self::parse).collect()
    }
}
