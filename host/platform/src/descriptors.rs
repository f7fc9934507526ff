//! The limits on file descriptors and on the size of files, and the division of
//! the first among their users.
//!
//! Every connection takes a descriptor. If clients could take all of them, the
//! queue and the requests to CSPs would fail, so listeners get the rest.

use rustix::process::Resource;
use rustix::process::Rlimit;
use rustix::process::Signal;
use rustix::process::getrlimit;
use rustix::process::setrlimit;

/// The descriptors for the queue's files, adapters, logs and name resolution.
const RESERVE: u64 = 256;

/// The signal for a write beyond the limit on the size of a file (RLIMIT_FSIZE).
/// It ends a process that has no handler for it; with a handler, the write
/// fails with EFBIG (setrlimit(2)).
pub const FILE_SIZE_SIGNAL: i32 = Signal::XFSZ.as_raw();

/// The fewest connections of a listener, even under a small limit.
const CONNECTIONS_MIN: usize = 16;

/// Raises the soft limit to the hard limit if that is permitted, and returns
/// the limit that holds.
pub fn raise_limit() -> u64 {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    // `None` means that there is no limit. A process may raise its soft limit
    // without a privilege (setrlimit(2)); if a sandbox forbids it, the soft
    // limit holds.
    if current != maximum
        && setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).is_ok()
    {
        return maximum.unwrap_or(u64::MAX);
    }
    current.unwrap_or(u64::MAX)
}

/// Returns the number of connections that a listener can have under `limit`, up
/// to `wanted`. Its other users need up to `elsewhere` descriptors.
pub fn connections(limit: u64, wanted: usize, elsewhere: usize) -> usize {
    let left = limit.saturating_sub(RESERVE).saturating_sub(elsewhere as u64);
    // The minimum wins over the reserve: a listener without connections could
    // not even answer the operator who looks for the reason.
    wanted.min(usize::try_from(left).unwrap_or(usize::MAX).max(CONNECTIONS_MIN))
}

#[cfg(test)]
mod tests {
    use super::connections;

    #[test]
    fn a_listener_gets_the_remaining_descriptors() {
        assert_eq!(connections(20_000, 10_000, 1_000), 10_000);
        assert_eq!(connections(1_024, 10_000, 256), 512);
        assert_eq!(connections(256, 10_000, 256), 16);
        assert_eq!(connections(u64::MAX, 10_000, 256), 10_000);
    }
}
