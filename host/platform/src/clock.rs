//! The host's clock: the one place that reads the machine's time.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;
use std::time::SystemTime;
use std::time::UNIX_EPOCH;

use rustix::time::ClockId;
use rustix::time::clock_gettime;

use hoth_core::domain::Timestamp;

/// A clock, cheap to clone. Clones share one time.
///
/// The system clock reads the wall clock once, when it is made, and continues
/// with the monotonic clock. So a wall clock that is set while the host runs
/// neither ends a lease nor prolongs one. A store can continue the time over a
/// restart of the host with [`Clock::set`] and the [`Uptime`]. After a reboot
/// the clock takes the wall clock's new time.
#[derive(Debug, Clone)]
pub struct Clock(Source);

#[derive(Debug, Clone)]
enum Source {
    /// The machine's clocks.
    System {
        /// The time at the anchor, in milliseconds. [`Clock::set`] changes it
        /// for all clones.
        shows: Arc<AtomicU64>,
        /// The moment from which the monotonic clock counts.
        anchor: Instant,
    },
    /// A time in milliseconds that only tests move.
    Manual(Arc<AtomicU64>),
}

/// Boot id and uptime: a clock that cannot be set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uptime {
    /// The id of this boot. Each boot of the machine has a new one.
    pub boot: String,
    /// The time since the boot.
    pub since: Duration,
}

impl Uptime {
    /// Reads the kernel's boot id and the time since that boot. Returns `None`
    /// on a system without boot ids; Linux has them.
    fn read() -> Option<Self> {
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
        // Not `/proc/uptime`, which a container may see as its own age (lxcfs):
        // that starts anew with the container, under the same boot id. This
        // clock includes time in suspend, unlike the monotonic one: a lease must
        // not outlast its end by a sleep of the machine.
        let since = clock_gettime(ClockId::Boottime);
        let (seconds, nanos) =
            (u64::try_from(since.tv_sec).ok()?, u32::try_from(since.tv_nsec).ok()?);
        // Named, because files of earlier releases hold the uptime of
        // `/proc/uptime` under the boot id alone.
        let boot = format!("{} boottime", boot.trim());
        Some(Self { boot, since: Duration::new(seconds, nanos) })
    }
}

impl Clock {
    /// Makes a clock from the machine's time.
    #[expect(clippy::disallowed_methods, reason = "this is the one clock")]
    pub fn system() -> Self {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let shows = Arc::new(AtomicU64::new(Timestamp::from_unix(wall).as_millis()));
        Self(Source::System { shows, anchor: Instant::now() })
    }

    /// Makes a clock for tests, which stands still until [`Clock::advance`]
    /// moves it.
    pub fn manual(start: Timestamp) -> Self {
        Self(Source::Manual(Arc::new(AtomicU64::new(start.as_millis()))))
    }

    /// Returns the current time.
    pub fn now(&self) -> Timestamp {
        match &self.0 {
            Source::System { shows, anchor } => {
                Timestamp::from_millis(shows.load(Ordering::SeqCst)) + anchor.elapsed()
            }
            Source::Manual(millis) => Timestamp::from_millis(millis.load(Ordering::SeqCst)),
        }
    }

    /// Returns the wall clock's time, which an operator may have set. It is for
    /// comparison with the clocks of other machines.
    #[expect(clippy::disallowed_methods, reason = "this is the one clock")]
    pub fn wall(&self) -> Timestamp {
        match &self.0 {
            Source::System { .. } => {
                let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                Timestamp::from_unix(wall)
            }
            Source::Manual(_) => self.now(),
        }
    }

    /// Sets this clock and all its clones to `now`. They continue from there.
    pub fn set(&self, now: Timestamp) {
        match &self.0 {
            Source::System { shows, anchor } => {
                // Stored as the time at the anchor: `now` adds the elapsed time
                // again.
                let passed = u64::try_from(anchor.elapsed().as_millis()).unwrap_or(u64::MAX);
                shows.store(now.as_millis().saturating_sub(passed), Ordering::SeqCst);
            }
            Source::Manual(millis) => millis.store(now.as_millis(), Ordering::SeqCst),
        }
    }

    /// Returns the boot id and uptime, or `None` for a manual clock, whose time
    /// does not depend on the machine.
    pub fn uptime(&self) -> Option<Uptime> {
        match &self.0 {
            Source::System { .. } => Uptime::read(),
            Source::Manual(_) => None,
        }
    }

    /// Converts a time of the wall clock to this clock: as long ago, or as far
    /// ahead, as it is by the wall clock.
    pub fn of_wall(&self, shown: Timestamp) -> Timestamp {
        let (now, wall) = (self.now(), self.wall());
        match shown > wall {
            true => now + shown.since(wall),
            false => {
                let ago = u64::try_from(wall.since(shown).as_millis()).unwrap_or(u64::MAX);
                Timestamp::from_millis(now.as_millis().saturating_sub(ago))
            }
        }
    }

    /// Returns the time left until `when`, or zero if it has passed.
    pub fn until(&self, when: Timestamp) -> Duration {
        when.since(self.now())
    }

    /// Moves a manual clock and all its clones.
    ///
    /// # Panics
    ///
    /// Panics if this is the system clock.
    pub fn advance(&self, by: Duration) {
        match &self.0 {
            Source::System { .. } => unreachable!("only a manual clock can be moved"),
            Source::Manual(millis) => {
                millis.fetch_add(by.as_millis() as u64, Ordering::SeqCst);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(60 * 60);

    #[test]
    fn a_clock_that_was_set_continues_in_all_its_clones() {
        let clock = Clock::system();
        let clone = clock.clone();
        let later = clock.wall() + HOUR;
        clock.set(later);
        assert!(clone.now() >= later && clone.now().since(later) < HOUR / 2);
        assert!(clone.wall() < later, "the wall clock is not set");
    }

    #[test]
    fn a_time_of_the_wall_clock_is_converted_by_its_distance_from_now() {
        let clock = Clock::system();
        clock.set(clock.wall() + HOUR);
        let near = |one: Timestamp, other: Timestamp| {
            one.since(other).max(other.since(one)) < Duration::from_secs(60)
        };
        let wall = clock.wall();
        assert!(near(clock.of_wall(wall), clock.now()));
        assert!(near(clock.of_wall(wall + HOUR), clock.now() + HOUR));
        let ago = Timestamp::from_millis(wall.as_millis() - HOUR.as_millis() as u64);
        assert!(near(clock.of_wall(ago) + HOUR, clock.now()));
    }

    #[test]
    fn uptime_grows_within_one_boot() {
        let clock = Clock::system();
        let (one, other) =
            (clock.uptime().expect("Linux has it"), clock.uptime().expect("Linux has it"));
        assert_eq!(one.boot, other.boot);
        assert!(other.since >= one.since);
        assert_eq!(Clock::manual(Timestamp::from_millis(0)).uptime(), None);
    }
}
