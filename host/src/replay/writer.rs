//! The writer of journals: a thread that redacts finished recordings and writes
//! them to files.

use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

use tracing::warn;

use super::JournalStore;
use super::Recording;
use super::RedactionRules;
use crate::metrics::table;
use crate::supervisor::Supervisor;
use hoth_core::domain::Digest;
use hoth_core::domain::Timestamp;
use hoth_platform::clock::Clock;

/// Time after which journals that are too old are deleted if none is written.
/// Writing a journal deletes them for its own adapter only.
const PRUNE_EVERY: Duration = Duration::from_secs(10 * 60);

/// The recording of a finished job.
#[derive(Debug)]
pub(super) struct FinishedRecording {
    pub recording: Recording,
    /// The version that ended the job.
    pub version: Digest,
    pub at: Timestamp,
}

/// Starts the thread. It ends when all senders are dropped.
pub(super) fn start(
    arrivals: Receiver<FinishedRecording>,
    rules: RedactionRules,
    store: Arc<JournalStore>,
    clock: Clock,
    supervisor: &Supervisor,
) -> std::io::Result<()> {
    let write = move || {
        loop {
            match arrivals.recv_timeout(PRUNE_EVERY) {
                Ok(finished) => write_journal(finished, &rules, &store),
                Err(RecvTimeoutError::Timeout) => store.prune_all(clock.now()),
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    };
    supervisor.thread("journal-writer", write)
}

/// Redacts a recording and writes its journal. A journal that cannot be written
/// is dropped and counted: recording never fails a job.
fn write_journal(finished: FinishedRecording, rules: &RedactionRules, store: &JournalStore) {
    let adapter = finished.recording.adapter.clone();
    let job = finished.recording.job.id.clone();
    // Consumes the recording: no copy of the unredacted data outlives this
    // call.
    let Some(journal) = rules.redact(finished.recording, finished.version, finished.at) else {
        return count_dropped(&adapter, "not-redactable");
    };
    match store.write(&job, &journal) {
        Ok(()) => table::JOURNALS_WRITTEN.with(&[&adapter]).increment(1),
        Err(error) => {
            count_dropped(&adapter, "not-written");
            warn!(
                adapter,
                error = &error as &dyn std::error::Error,
                "Cannot write a journal to {}",
                store.directory().display(),
            );
        }
    }
}

/// The reasons for which a recording leaves no journal.
const DROP_REASONS: [&str; 5] = ["busy", "no-room", "too-long", "not-redactable", "not-written"];

/// Registers the metrics of journals of these adapters, so that the first
/// dropped recording is an increase.
pub fn register_metrics<'a>(adapters: impl IntoIterator<Item = &'a str>) {
    for adapter in adapters {
        for reason in DROP_REASONS {
            table::JOURNALS_DROPPED.with(&[adapter, reason]).increment(0);
        }
    }
}

/// Counts a job whose recording was started but leaves no journal.
pub(super) fn count_dropped(adapter: &str, reason: &'static str) {
    debug_assert!(DROP_REASONS.contains(&reason), "{reason}");
    table::JOURNALS_DROPPED.with(&[adapter, reason]).increment(1);
}
