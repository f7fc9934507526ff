//! The state of queues and calls at the time of one page, read once.

use super::ConsoleState;
use super::chart;
use crate::admin::StatsError;
use hoth_core::domain::Timestamp;
use hoth_queue::QueueName;
use hoth_queue::QueueStats;
use hoth_trail::Minute;
use hoth_trail::TrailError;

/// The state of one queue, or the reason why it is not known.
pub type Reading<'a> = (&'a QueueName, Result<QueueStats, StatsError>);

/// The state of all queues, and the counts of the last 24 hours.
pub struct Snapshot<'a> {
    pub now: Timestamp,
    pub queues: Vec<Reading<'a>>,
    /// Empty if the trail is off.
    pub minutes: Vec<Minute>,
    /// The reason why the trail cannot be read, though it is on.
    pub trail_error: Option<TrailError>,
}

impl<'a> Snapshot<'a> {
    /// Reads the state, with the bounds in time of queues and trail.
    pub async fn read(console: &'a ConsoleState) -> Self {
        let (admin, now) = (&console.admin, console.admin.clock.now());
        let queues = admin.stats.read_all();
        let (queues, minutes) = tokio::join!(queues, admin.trail.minutes(now - chart::SPAN));
        let (minutes, trail_error) = match minutes {
            Ok(minutes) => (minutes, None),
            Err(TrailError::Off) => (Vec::new(), None),
            Err(error) => (Vec::new(), Some(error)),
        };
        Self { now, queues, minutes, trail_error }
    }
}
