//! The bounds on the size of the file, of its log and of a transaction, which
//! follow from the bound on both files.

/// The size of a page of the file, in bytes.
pub(crate) const PAGE_BYTES: u64 = 4_096;

/// The size of the log, in bytes, at which SQLite copies it to the file: a
/// sixteenth of both, within these bounds. A longer log copies a page once for
/// more of its changes.
const LOG_BYTES: (u64, u64) = (4 << 20, 16 << 20);

/// The events of one transaction for each MiB of the log: a third of a MB of
/// ordinary ones, and no more than a MiB of the largest ones. A transaction
/// changes a page of the index for nearly every job, and a large one changes
/// each page for several jobs.
const EVENTS_PER_LOG_MIB: u64 = 1_250;

/// Returns the size of the log at which it is copied.
pub(crate) fn log_bytes(max_bytes: u64) -> u64 {
    let (min, max) = LOG_BYTES;
    (max_bytes / 16).clamp(min, max)
}

/// Returns the most pages of the file. The rest is for its log, which is copied
/// after a transaction that may be as large as the log was.
pub(crate) fn pages(max_bytes: u64) -> u64 {
    max_bytes.saturating_sub(2 * log_bytes(max_bytes)) / PAGE_BYTES
}

/// Returns the most events of one transaction.
pub(crate) fn events(max_bytes: u64) -> usize {
    let events = (log_bytes(max_bytes) >> 20) * EVENTS_PER_LOG_MIB;
    usize::try_from(events).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_log_and_transaction_fit_into_the_bound() {
        const MIB: u64 = 1 << 20;
        for (max_bytes, file, log, expected) in [
            (16 * MIB, 8 * MIB, 4 * MIB, 5_000),
            (256 * MIB, 224 * MIB, 16 * MIB, 20_000),
            (64 << 30, (64 << 30) - 32 * MIB, 16 * MIB, 20_000),
        ] {
            assert_eq!(pages(max_bytes) * PAGE_BYTES, file);
            assert_eq!((log_bytes(max_bytes), events(max_bytes)), (log, expected));
        }
    }
}
