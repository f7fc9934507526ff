//! The replay gate: replays recorded jobs on a candidate before or after its
//! activation.
//!
//! While a job runs, the inputs of its adapter are [recorded](Recording). When
//! it is finished, the recording becomes a [journal](Journal) without secrets
//! and without personal data. Before another version of the adapter takes over,
//! both versions get the inputs of the same journals, and their steps are
//! [compared](mod@compare). Adapters do no I/O, so a replay calls no CSP.
//!
//! Recording never delays a job: it drops recordings that exceed its limits.

mod compare;
mod config;
mod difference;
mod journal;
mod journal_comparison;
mod journal_name;
mod journal_store;
mod journal_test;
mod recorder;
mod recording;
mod redact;
mod replay_calls;
mod replayer;
mod report;
mod run_input;
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
pub use journal_name::JournalName;
pub use journal_store::JournalLimits;
pub use journal_store::JournalStore;
pub use journal_test::JournalTest;
pub use journal_test::test_journal;
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
pub use run_input::Moment;
pub use run_input::NotRunnable;
pub use run_input::RunInput;
pub use writer::register_metrics;
