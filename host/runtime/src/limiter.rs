//! Memory limits of one call, and of all calls together.

use std::sync::Arc;

use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::Semaphore;
use wasmtime::ResourceLimiterAsync;

use super::pace::Stopwatch;

/// The memory that a call may hold without a share of the pool, in bytes. The
/// `atat` adapter takes 2 to 3 MiB, of which one is its stack.
const SMALL_BYTES: usize = 4 << 20;

/// The size of the pool, in bytes, for calls that hold more than
/// [`SMALL_BYTES`]. Each counts with its limit: eight of them at the default of
/// 64 MiB. A call whose limit exceeds the pool runs alone.
const LARGE_BYTES_MAX: usize = 512 << 20;

/// The unit of the pool, in bytes.
const MIB: usize = 1 << 20;

/// The bytes of one table element on the host.
const TABLE_ELEMENT_BYTES: usize = size_of::<usize>();

/// Memory for calls that hold much, shared by all adapters. A call waits for
/// capacity; the wait is bounded because holders end at their deadline.
#[derive(Debug, Clone)]
pub(super) struct MemoryPool(Arc<Semaphore>);

impl MemoryPool {
    pub fn new() -> Self {
        Self(Arc::new(Semaphore::new(LARGE_BYTES_MAX / MIB)))
    }

    async fn take(&self, bytes: usize) -> OwnedSemaphorePermit {
        let mib = bytes.min(LARGE_BYTES_MAX).div_ceil(MIB);
        let mib = u32::try_from(mib).expect("the bound fits");
        let taken = Arc::clone(&self.0).acquire_many_owned(mib).await;
        taken.expect("the semaphore is never closed")
    }
}

/// A limiter that counts all memories and tables of a store together. The
/// limits of wasmtime count each memory by itself, and a component may have
/// several.
#[derive(Debug)]
pub(super) struct Limiter {
    limit: usize,
    /// The bytes of all memories and tables. Never more than `limit`.
    held: usize,
    /// True once the guest was refused memory, to explain a trap that follows.
    refused: bool,
    pool: MemoryPool,
    /// The share of the pool, from the moment the call holds more than
    /// [`SMALL_BYTES`] to its end.
    large: Option<OwnedSemaphorePermit>,
    /// The call's stopwatch, paused while the call waits for the pool.
    stopwatch: Stopwatch,
}

impl Limiter {
    /// Makes the limiter of one call. `stopwatch` is paused while the call
    /// waits for the pool.
    pub fn new(limit: usize, pool: MemoryPool, stopwatch: Stopwatch) -> Self {
        Self { limit, held: 0, refused: false, pool, large: None, stopwatch }
    }

    /// Returns the bytes held. Memories never shrink, so this is also the peak.
    pub fn held(&self) -> usize {
        self.held
    }

    /// Returns true if the guest was refused memory. A guest may handle that
    /// and still succeed.
    pub fn has_refused(&self) -> bool {
        self.refused
    }

    async fn grow(&mut self, more: usize, beyond_own_maximum: bool) -> bool {
        if more > self.limit - self.held {
            self.refused = true;
            return false;
        }
        // wasmtime will refuse this growth because of the memory's declared
        // maximum, so nothing is charged for it.
        if beyond_own_maximum {
            return false;
        }
        self.held += more;
        if self.held > SMALL_BYTES && self.large.is_none() {
            // The whole limit at once: two calls that took their shares bit by
            // bit could wait for each other.
            let _paused = self.stopwatch.pause();
            self.large = Some(self.pool.take(self.limit).await);
        }
        true
    }
}

#[async_trait::async_trait]
impl ResourceLimiterAsync for Limiter {
    async fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let beyond = maximum.is_some_and(|maximum| desired > maximum);
        Ok(self.grow(desired.saturating_sub(current), beyond).await)
    }

    async fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let beyond = maximum.is_some_and(|maximum| desired > maximum);
        let more = desired.saturating_sub(current).saturating_mul(TABLE_ELEMENT_BYTES);
        Ok(self.grow(more, beyond).await)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    fn limiter(limit: usize) -> Limiter {
        Limiter::new(limit, MemoryPool::new(), Stopwatch::start())
    }

    #[tokio::test]
    async fn memories_and_tables_are_counted_together() {
        let mut limiter = limiter(1_000);
        assert!(limiter.memory_growing(0, 600, None).await.unwrap());
        assert!(limiter.memory_growing(0, 300, None).await.unwrap());
        assert!(limiter.table_growing(0, 10, None).await.unwrap());
        assert!(!limiter.has_refused());
        assert_eq!(limiter.held(), 600 + 300 + 10 * TABLE_ELEMENT_BYTES);
        assert!(!limiter.table_growing(10, 13, None).await.unwrap());
        assert!(limiter.has_refused());
    }

    #[tokio::test]
    async fn growth_beyond_the_guests_own_maximum_takes_nothing() {
        let mut limiter = limiter(1_000);
        assert!(!limiter.memory_growing(0, 600, Some(500)).await.unwrap());
        assert!(!limiter.has_refused());
        assert!(limiter.memory_growing(0, 1_000, Some(1_000)).await.unwrap());
    }

    #[tokio::test]
    async fn calls_that_hold_much_wait_for_memory_and_small_ones_do_not() {
        let pool = MemoryPool::new();
        let new = |limit| Limiter::new(limit, pool.clone(), Stopwatch::start());
        let grow = |limiter: &mut Limiter, bytes| {
            limiter.memory_growing(0, bytes, None).now_or_never().map(Result::unwrap)
        };
        let mut large: Vec<_> = (0..8).map(|_| new(64 * MIB)).collect();
        for limiter in &mut large {
            assert_eq!(grow(limiter, SMALL_BYTES), Some(true));
            assert_eq!(grow(limiter, 1), Some(true));
            assert_eq!(grow(limiter, SMALL_BYTES), Some(true), "it has its share already");
        }
        assert_eq!(grow(&mut new(64 * MIB), SMALL_BYTES + 1), None, "the pool is used up");
        assert_eq!(grow(&mut new(64 * MIB), SMALL_BYTES), Some(true));
        large.pop();
        assert_eq!(grow(&mut new(64 * MIB), SMALL_BYTES + 1), Some(true));
        large.clear();
        // A call with a limit above the pool gets the whole pool.
        assert_eq!(grow(&mut new(4_096 * MIB), 2_048 * MIB), Some(true));
    }
}
