//! Decisions about the next move of a job. They are pure functions: no clock,
//! no randomness, no async.
//!
//! [`RetryPolicy`] decides about one call to a CSP, [`decide()`] about one run
//! of a job, and [`Report`] is the outcome that ServiceNow reads.

mod budget;
mod decide;
mod finding;
mod job_error;
mod report;
mod retry;

pub use budget::RunBudget;
pub use decide::Decision;
pub use decide::NO_VERSION_PAUSE;
pub use decide::PollPolicy;
pub use decide::RunContext;
pub use decide::RunEnd;
pub use decide::RunTotals;
pub use decide::decide;
pub use decide::look_now;
pub use decide::postpone;
pub use decide::replace_early_delivery;
pub use finding::Finding;
pub use job_error::JobError;
pub use job_error::OPERATOR_CLASSES;
pub use report::Failed;
pub use report::Report;
pub use report::request_about;
pub use retry::Attempt;
pub use retry::RetryPolicy;
