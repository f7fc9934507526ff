//! The bound on what one call may hold in memory.

use wasmtime::ResourceLimiter;

/// Counts all memories and tables of a store together. wasmtime's own limits
/// count each memory by itself, and a component may have several.
#[derive(Debug)]
pub(super) struct Limiter {
    limit: usize,
    left: usize,
    refused: bool,
}

/// What one element of a table takes on the host.
const TABLE_ELEMENT_BYTES: usize = size_of::<usize>();

impl Limiter {
    pub fn new(limit: usize) -> Self {
        Self { limit, left: limit, refused: false }
    }

    /// What is held, in bytes. Memories never shrink, so it is also the most
    /// that was.
    pub fn held(&self) -> usize {
        self.limit - self.left
    }

    /// Whether the guest has asked for more than there was. A guest that ends
    /// well in spite of that has found another way.
    pub fn has_refused(&self) -> bool {
        self.refused
    }

    fn grow(&mut self, more: usize, beyond_own_maximum: bool) -> bool {
        if more > self.left {
            self.refused = true;
            return false;
        }
        // The growth will fail for the guest's own reason, so nothing is
        // taken for it.
        if !beyond_own_maximum {
            self.left -= more;
        }
        !beyond_own_maximum
    }
}

impl ResourceLimiter for Limiter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let beyond = maximum.is_some_and(|maximum| desired > maximum);
        Ok(self.grow(desired.saturating_sub(current), beyond))
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let beyond = maximum.is_some_and(|maximum| desired > maximum);
        let more = desired.saturating_sub(current).saturating_mul(TABLE_ELEMENT_BYTES);
        Ok(self.grow(more, beyond))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memories_and_tables_are_counted_together() {
        let mut limiter = Limiter::new(1_000);
        assert!(limiter.memory_growing(0, 600, None).unwrap());
        assert!(limiter.memory_growing(0, 300, None).unwrap());
        assert!(limiter.table_growing(0, 10, None).unwrap());
        assert!(!limiter.has_refused());
        assert_eq!(limiter.held(), 600 + 300 + 10 * TABLE_ELEMENT_BYTES);
        assert!(!limiter.table_growing(10, 13, None).unwrap());
        assert!(limiter.has_refused());
    }

    #[test]
    fn growth_beyond_the_guests_own_maximum_takes_nothing() {
        let mut limiter = Limiter::new(1_000);
        assert!(!limiter.memory_growing(0, 600, Some(500)).unwrap());
        assert!(!limiter.has_refused());
        assert!(limiter.memory_growing(0, 1_000, Some(1_000)).unwrap());
    }
}
