//! The watchdog: a thread of its own that notices a part which is stuck.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use super::Supervisor;

/// Looks within the shortest bound. The watchdog counts looks and not time: a
/// process that was suspended, with its machine or by a signal, misses no more
/// than one look, however long it slept.
const LOOKS: u32 = 20;

/// A watched part, as the watchdog and its [`Beat`] share it.
#[derive(Debug)]
struct Part {
    name: String,
    /// Counts up while the part makes progress.
    beats: AtomicU64,
    /// Set when the part has ended.
    has_ended: AtomicBool,
}

/// The sign of life of one part. Dropping it ends the watch.
#[derive(Debug)]
pub struct Beat(Arc<Part>);

impl Beat {
    /// Records that the part has made progress.
    pub fn beat(&self) {
        self.0.beats.fetch_add(1, Ordering::Relaxed);
    }
}

impl Drop for Beat {
    fn drop(&mut self) {
        self.0.has_ended.store(true, Ordering::Relaxed);
    }
}

/// The watched parts, before the thread starts.
#[derive(Debug)]
pub struct Watchdog {
    /// The time between two looks.
    interval: Duration,
    watched: Vec<Watched>,
}

/// A part, and what the watchdog has seen of it.
#[derive(Debug)]
struct Watched {
    part: Arc<Part>,
    seen: u64,
    /// Looks in a row without a new beat.
    missed: u32,
    missed_max: u32,
}

impl Watched {
    /// Looks at the part. Returns `true` if it is stuck.
    fn look(&mut self) -> bool {
        let beats = self.part.beats.load(Ordering::Relaxed);
        if beats == self.seen {
            self.missed += 1;
        } else {
            (self.seen, self.missed) = (beats, 0);
        }
        self.missed >= self.missed_max && !self.part.has_ended.load(Ordering::Relaxed)
    }
}

impl Watchdog {
    /// Creates a watchdog without parts. `shortest` is the shortest bound of
    /// any part.
    pub fn new(shortest: Duration) -> Self {
        Self { interval: shortest / LOOKS, watched: Vec::new() }
    }

    /// Returns the time between two looks, which is also a good time between
    /// two beats.
    pub fn interval(&self) -> Duration {
        self.interval
    }

    /// Adds a part, which is stuck if it does not beat for `bound`.
    pub fn watch(&mut self, name: &str, bound: Duration) -> Beat {
        let part = Arc::new(Part {
            name: name.to_owned(),
            beats: AtomicU64::new(0),
            has_ended: AtomicBool::new(false),
        });
        let looks = bound.as_nanos().div_ceil(self.interval.as_nanos().max(1));
        let missed_max = u32::try_from(looks).unwrap_or(u32::MAX);
        self.watched.push(Watched { part: Arc::clone(&part), seen: 0, missed: 0, missed_max });
        Beat(part)
    }

    /// Starts the thread, which calls `stuck` with the name of the first part
    /// that is stuck, and the time without a beat. The thread is one of the
    /// system's, because the async runtime may be the part that is stuck. A
    /// panic in it is reported to `supervisor`.
    ///
    /// # Errors
    ///
    /// Returns the system's error if the thread cannot be started.
    pub fn start(
        mut self,
        supervisor: &Supervisor,
        stuck: impl FnOnce(&str, Duration) + Send + 'static,
    ) -> io::Result<()> {
        let look = move || {
            loop {
                thread::sleep(self.interval);
                if let Some(found) = self.watched.iter_mut().find_map(|watched| {
                    watched.look().then(|| (watched.part.name.clone(), watched.missed_max))
                }) {
                    return stuck(&found.0, self.interval * found.1);
                }
            }
        };
        supervisor.thread("the watchdog", look)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_stuck_after_several_looks_in_a_row_without_a_beat() {
        let mut watchdog = Watchdog::new(Duration::from_secs(20));
        let beat = watchdog.watch("the writer", Duration::from_secs(20));
        let look = |watchdog: &mut Watchdog| watchdog.watched[0].look();
        // However much time passed between two looks, each counts once.
        for _ in 1..LOOKS {
            assert!(!look(&mut watchdog));
        }
        beat.beat();
        for _ in 0..LOOKS {
            assert!(!look(&mut watchdog));
        }
        assert!(look(&mut watchdog));
        drop(beat);
        assert!(!look(&mut watchdog), "a part that has ended is not watched any more");
    }
}
