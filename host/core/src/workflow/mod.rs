//! What happens next. Pure: no clock, no randomness, no async.
//!
//! [`RetryPolicy`] decides about one call to a CSP, [`decide()`] about one run
//! of a job, and [`Report`] says what ServiceNow gets to read.

mod allowance;
mod decide;
mod report;
mod retry;

pub use allowance::Allowance;
pub use decide::Course;
pub use decide::Decision;
pub use decide::NO_VERSION_PAUSE;
pub use decide::PollPolicy;
pub use decide::RunEnd;
pub use decide::decide;
pub use decide::go_on_waiting;
pub use decide::postpone;
pub use report::Report;
pub use report::Trouble;
pub use retry::Attempt;
pub use retry::RetryPolicy;
