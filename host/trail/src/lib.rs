//! The trail: what happened to each job, and who did what, for a bounded time.
//!
//! The trail answers "where is my job?" and "what changed?". It never delays a
//! job: [`Trail::observe`] puts a record into a bounded [buffer], and a
//! [writer](Writer) on a thread of its own stores what has gathered, once a
//! second, in one transaction. Records are dropped and counted if the buffer is
//! full. A trail that cannot be written stops nothing.
//!
//! It is lossy by design: nothing that HOTH does depends on it, and a crash
//! loses its last second. The queues hold the state of the jobs.
//!
//! - [`apply`]: the state of a job, as its events say.
//! - [`store`]: the file and its tables; [`rows`]: jobs; [`batches`]: their events;
//!   [`bounds`] and [`prune`]: its size.
//! - [`read`]: the queries.

mod act;
mod apply;
mod batches;
mod bounds;
mod buffer;
mod config;
mod failure;
mod job_writer;
mod minutes;
mod prune;
mod read;
mod rows;
mod state;
mod store;
#[cfg(test)]
mod tests;
mod trail;
mod waiting;
mod writer;

pub use act::Act;
pub use act::ActFilter;
pub use batches::TimelineEvent;
pub use config::Config;
pub use failure::TrailError;
pub use minutes::Minute;
pub use read::FailedReason;
pub use read::JobFilter;
pub use read::JobPage;
pub use read::JobTimeline;
pub use state::JobRow;
pub use state::JobState;
pub use trail::Trail;
pub use waiting::WAITING_COUNT_MAX;
pub use writer::Writer;
