//! The replay gate: a candidate is tried on jobs that the host has seen.
//!
//! What adapters are told while a job runs is [taped](Tape), and when the job
//! is over the tape becomes a [journal](Journal) without secrets and without
//! personal data. Before another version of the adapter takes over, both
//! versions are given the same journals, and what they want is
//! [compared](mod@compare). Adapters do no I/O, so nothing is called, and nobody
//! but the two versions takes part.
//!
//! Nothing here is on a job's way: recording drops what it has no room for.

mod compare;
mod config;
mod difference;
mod gate;
mod journal;
mod recorder;
mod redact;
mod report;
mod store;
mod tape;
mod trial;
mod walk;
mod writer;

#[cfg(test)]
mod tests;

pub use compare::Asked;
pub use compare::compare;
pub use config::Config;
pub use config::Policy;
pub use config::RedactConfig;
pub use difference::Difference;
pub use gate::Gate;
pub use journal::Body;
pub use journal::Call;
pub use journal::Facts;
pub use journal::Journal;
pub use journal::Response;
pub use journal::Told;
pub use journal::Took;
pub use journal::UnreadableJournal;
pub use recorder::Recorder;
pub use redact::Rules;
pub use report::CallDifferences;
pub use report::Compared;
pub use report::Counts;
pub use report::Finding;
pub use report::FindingKind;
pub use report::Report;
pub use report::Timing;
pub use report::Verdict;
pub use store::Bounds;
pub use store::Store;
pub use tape::Tape;
pub use tape::Taped;
