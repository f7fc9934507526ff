//! The one place that asks the machine for the time.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;
use std::time::SystemTime;
use std::time::UNIX_EPOCH;

use hoth_core::domain::Timestamp;

/// Tells the time; cheap to clone.
///
/// The system clock reads the wall once, when it is made, and goes on with the
/// monotonic clock. So a wall clock that is set forward or back while the host
/// runs neither ends a lease nor prolongs one. What is kept over a restart can
/// have it go on over that, too, by [`Clock::set`] and the [`Uptime`]; a machine
/// that has been started anew takes the new time.
#[derive(Debug, Clone)]
pub struct Clock(Source);

#[derive(Debug, Clone)]
enum Source {
    /// What this clock shows at the anchor, in milliseconds.
    System {
        shows: Arc<AtomicU64>,
        anchor: Instant,
    },
    Manual(Arc<AtomicU64>),
}

/// How long the machine has been up, and which time it is that it is: a clock
/// that nobody can set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uptime {
    /// Another one after each start of the machine.
    pub boot: String,
    pub since: Duration,
}

impl Uptime {
    /// Asks the machine; none where it does not say (Linux does).
    fn read() -> Option<Self> {
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
        let uptime = std::fs::read_to_string("/proc/uptime").ok()?;
        let seconds: f64 = uptime.split_whitespace().next()?.parse().ok()?;
        let since = Duration::try_from_secs_f64(seconds).ok()?;
        Some(Self { boot: boot.trim().to_owned(), since })
    }
}

impl Clock {
    /// The machine's clock.
    #[expect(clippy::disallowed_methods, reason = "this is the one clock")]
    pub fn system() -> Self {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let shows = Arc::new(AtomicU64::new(Timestamp::from_unix(wall).as_millis()));
        Self(Source::System { shows, anchor: Instant::now() })
    }

    /// A clock that stands until [`Clock::advance`] moves it. For tests.
    pub fn manual(start: Timestamp) -> Self {
        Self(Source::Manual(Arc::new(AtomicU64::new(start.as_millis()))))
    }

    /// The time now.
    pub fn now(&self) -> Timestamp {
        match &self.0 {
            Source::System { shows, anchor } => {
                Timestamp::from_millis(shows.load(Ordering::SeqCst)) + anchor.elapsed()
            }
            Source::Manual(millis) => Timestamp::from_millis(millis.load(Ordering::SeqCst)),
        }
    }

    /// What the wall clock shows now, set forward or back or not: for
    /// comparing with what the clocks of others show.
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

    /// Has this clock and all its clones show `now`, and go on from there.
    pub fn set(&self, now: Timestamp) {
        match &self.0 {
            Source::System { shows, anchor } => {
                let passed = u64::try_from(anchor.elapsed().as_millis()).unwrap_or(u64::MAX);
                shows.store(now.as_millis().saturating_sub(passed), Ordering::SeqCst);
            }
            Source::Manual(millis) => millis.store(now.as_millis(), Ordering::SeqCst),
        }
    }

    /// How long the machine has been up; none for a manual clock, whose time
    /// has nothing to do with it.
    pub fn uptime(&self) -> Option<Uptime> {
        match &self.0 {
            Source::System { .. } => Uptime::read(),
            Source::Manual(_) => None,
        }
    }

    /// When that was by this clock which the wall clock calls `shown`.
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

    /// How long it is until `when`; zero when that has passed.
    pub fn until(&self, when: Timestamp) -> Duration {
        when.since(self.now())
    }

    /// Moves a manual clock and all its clones.
    ///
    /// # Panics
    ///
    /// When this is the system clock.
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
    fn a_clock_that_was_set_goes_on_from_there_in_all_its_clones() {
        let clock = Clock::system();
        let clone = clock.clone();
        let later = clock.wall() + HOUR;
        clock.set(later);
        assert!(clone.now() >= later && clone.now().since(later) < HOUR / 2);
        assert!(clone.wall() < later, "the wall shows what it shows");
    }

    #[test]
    fn what_the_wall_calls_a_time_is_told_by_how_long_ago_it_is() {
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
    fn a_machine_is_up_for_longer_and_longer() {
        let clock = Clock::system();
        let (one, other) = (clock.uptime().expect("Linux says"), clock.uptime().expect("it does"));
        assert_eq!(one.boot, other.boot);
        assert!(other.since >= one.since);
        assert_eq!(Clock::manual(Timestamp::from_millis(0)).uptime(), None);
    }
}
