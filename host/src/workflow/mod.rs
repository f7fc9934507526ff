//! What happens next. Pure: no clock, no randomness, no async.

mod retry;

pub use retry::Attempt;
pub use retry::RetryPolicy;
