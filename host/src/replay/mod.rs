//! The replay gate: a candidate is tried on jobs that the host has seen.
//!
//! What adapters are told while a job runs is [recorded](Recording), and when the job
//! is over the recording becomes a [journal](Journal) without secrets and without
//! personal data. Before another version of the adapter takes over, both
//! versions are given the same journals, and what they want is
//! [compared](mod@compare). Adapters do no I/O, so nothing is called, and nobody
//! but the two versions takes part.
//!
//! Nothing here is on a job's way: recording drops what it has no room for.

mod compare;
mod config;
mod difference;
mod journal;
mod journal_comparison;
mod recorder;
mod recording;
mod redact;
mod replay_calls;
mod replayer;
mod report;
mod store;
mod writer;

#[cfg(test)]
mod tests;

pub use compare::StepResult;
pub use compare::compare;
pub use config::Config;
pub use config::Policy;
pub use config::RedactConfig;
pub use difference::Difference;
pub use journal::Input;
pub use journal::Journal;
pub use journal::JournalBody;
pub use journal::JournalCall;
pub use journal::JournalJob;
pub use journal::JournalResponse;
pub use journal::StepKind;
pub use journal::UnreadableJournal;
pub use recorder::Recorder;
pub use recording::RecordedCall;
pub use recording::Recording;
pub use redact::RedactionRules;
pub use replayer::Replayer;
pub use report::CallDifferences;
pub use report::ComparedVersion;
pub use report::Finding;
pub use report::FindingKind;
pub use report::JobCounts;
pub use report::ReplayReport;
pub use report::Timing;
pub use report::Verdict;
pub use store::JournalLimits;
pub use store::JournalStore;
