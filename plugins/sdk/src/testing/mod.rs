//! Drives an adapter by values: give it a job, read what it wants, give it an
//! answer.
//!
//! A run goes the whole way through the contract's types, so states are
//! written and read as in production. Every step is held to the contract, and
//! every call is made twice: an adapter that remembers something in a static
//! does not pass.

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
