//! The one place that asks the machine for the time.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;
use std::time::SystemTime;
use std::time::UNIX_EPOCH;

use crate::domain::Timestamp;

/// Tells the time; cheap to clone.
///
/// The system clock reads the wall once, when it is made, and goes on with the
/// monotonic clock. So a wall clock that is set forward or back while the host
/// runs neither ends a lease nor prolongs one; a restart takes the new time.
#[derive(Debug, Clone)]
pub struct Clock(Source);

#[derive(Debug, Clone)]
enum Source {
    System { wall: Timestamp, anchor: Instant },
    Manual(Arc<AtomicU64>),
}

impl Clock {
    /// The machine's clock.
    #[expect(clippy::disallowed_methods, reason = "this is the one clock")]
    pub fn system() -> Self {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self(Source::System { wall: Timestamp::from_unix(wall), anchor: Instant::now() })
    }

    /// A clock that stands until [`Clock::advance`] moves it. For tests.
    pub fn manual(start: Timestamp) -> Self {
        Self(Source::Manual(Arc::new(AtomicU64::new(start.as_millis()))))
    }

    /// The time now.
    pub fn now(&self) -> Timestamp {
        match &self.0 {
            Source::System { wall, anchor } => *wall + anchor.elapsed(),
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
