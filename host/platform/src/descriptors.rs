//! File descriptors: what the system grants this process, shared out.
//!
//! Every connection takes one. If clients could take them all, the queue and
//! the way out would fail for want of them, so listeners get what is left over.

use rustix::process::Resource;
use rustix::process::Rlimit;
use rustix::process::getrlimit;
use rustix::process::setrlimit;

/// For the queue's files, adapters, logs and name resolution.
const RESERVE: u64 = 256;

/// The fewest connections that a listener gets, however little there is.
const CONNECTIONS_MIN: usize = 16;

/// Raises the limit as far as the system lets this process, and returns it.
pub fn raise_limit() -> u64 {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    // None stands for no limit.
    if current != maximum
        && setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).is_ok()
    {
        return maximum.unwrap_or(u64::MAX);
    }
    current.unwrap_or(u64::MAX)
}

/// How many of `wanted` connections a listener can have under `limit`, where
/// all else needs up to `elsewhere` descriptors.
pub fn connections(limit: u64, wanted: usize, elsewhere: usize) -> usize {
    let left = limit.saturating_sub(RESERVE).saturating_sub(elsewhere as u64);
    wanted.min(usize::try_from(left).unwrap_or(usize::MAX).max(CONNECTIONS_MIN))
}

#[cfg(test)]
mod tests {
    use super::connections;

    #[test]
    fn a_listener_gets_what_is_left_over() {
        assert_eq!(connections(20_000, 10_000, 1_000), 10_000);
        assert_eq!(connections(1_024, 10_000, 256), 512);
        assert_eq!(connections(256, 10_000, 256), 16);
        assert_eq!(connections(u64::MAX, 10_000, 256), 10_000);
    }
}
