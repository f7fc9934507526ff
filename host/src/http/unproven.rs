//! A common bound on bodies whose senders are not authenticated yet.
//!
//! A signature without a declared digest can be verified only with the body.
//! Until then anyone who knows an access key id can make the host hold bytes.
//! When all such bodies together exceed the bound, the one that began first
//! ends: an honest client sends its body at once, and an attacker's bodies
//! cannot keep it out.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;

use tokio_util::sync::CancellationToken;

/// The largest total of unproven bodies in memory.
pub const UNPROVEN_BYTES_MAX: usize = 16 * 1_024 * 1_024;

/// The unproven bodies of one listener.
#[derive(Clone)]
pub struct UnprovenBodies {
    bytes_max: usize,
    bodies: Arc<Mutex<Bodies>>,
}

#[derive(Default)]
struct Bodies {
    /// The number of the next body.
    next: u64,
    /// The total of all bodies below.
    bytes: usize,
    /// The bodies in the order of their beginnings.
    reading: BTreeMap<u64, Reading>,
}

struct Reading {
    bytes: usize,
    /// Cancelled to end the body.
    evicted: CancellationToken,
}

/// The place of one body; dropping it gives its bytes back.
pub struct UnprovenBody {
    all: UnprovenBodies,
    number: u64,
    evicted: CancellationToken,
}

impl UnprovenBodies {
    /// Creates a bound of `bytes_max`.
    pub fn new(bytes_max: usize) -> Self {
        Self { bytes_max, bodies: Arc::default() }
    }

    /// Begins a body.
    pub fn begin(&self) -> UnprovenBody {
        let evicted = CancellationToken::new();
        let mut bodies = self.lock();
        let number = bodies.next;
        bodies.next += 1;
        bodies.reading.insert(number, Reading { bytes: 0, evicted: evicted.clone() });
        drop(bodies);
        UnprovenBody { all: self.clone(), number, evicted }
    }

    fn lock(&self) -> MutexGuard<'_, Bodies> {
        self.bodies.lock().expect("no code panics while it holds the bodies")
    }
}

impl UnprovenBody {
    /// Adds bytes that have arrived. Ends the oldest bodies while the total is
    /// too large; this one can be among them.
    pub fn add(&self, bytes: usize) {
        let mut bodies = self.all.lock();
        // An evicted body counts for nothing any more. Its reader is about to
        // drop what it has.
        let Some(reading) = bodies.reading.get_mut(&self.number) else { return };
        reading.bytes += bytes;
        bodies.bytes += bytes;
        while bodies.bytes > self.all.bytes_max {
            let Some((_, oldest)) = bodies.reading.pop_first() else { return };
            bodies.bytes -= oldest.bytes;
            oldest.evicted.cancel();
        }
    }

    /// Returns once the body has been ended in favor of later ones.
    pub async fn evicted(&self) {
        self.evicted.cancelled().await;
    }
}

impl Drop for UnprovenBody {
    fn drop(&mut self) {
        let mut bodies = self.all.lock();
        if let Some(reading) = bodies.reading.remove(&self.number) {
            bodies.bytes -= reading.bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_bodies_end_when_all_together_are_too_large() {
        let all = UnprovenBodies::new(10);
        let bodies = [all.begin(), all.begin(), all.begin()];
        let evicted = || bodies.each_ref().map(|body| body.evicted.is_cancelled());
        bodies[0].add(4);
        bodies[1].add(4);
        bodies[2].add(2);
        assert_eq!(evicted(), [false, false, false]);
        bodies[2].add(1);
        assert_eq!(evicted(), [true, false, false]);
        bodies[0].add(100);
        assert_eq!(evicted(), [true, false, false], "an evicted body counts no more");
        drop(bodies);
        assert_eq!(all.lock().bytes, 0);
        let alone = all.begin();
        alone.add(11);
        assert!(alone.evicted.is_cancelled());
    }
}
