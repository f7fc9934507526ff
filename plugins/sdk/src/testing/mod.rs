//! A test kit that drives an adapter with values: pass a job, read the step,
//! pass a response.
//!
//! A run uses the contract's types throughout, so states are written and read
//! as in production. Every step is checked against the contract, and every call
//! is made twice: an adapter that keeps data in a static fails.

mod contract;
mod job;
mod run;

pub use job::JobBuilder;
pub use job::job;
pub use run::Ended;
pub use run::Failed;
pub use run::Run;
pub use run::Sent;
pub use run::Waiting;
pub use run::begin;
pub use run::resume;
