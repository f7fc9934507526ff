//! Turns finished recordings into files, on a thread of its own.

use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

use metrics::counter;
use tracing::warn;

use super::JournalStore;
use super::Recording;
use super::RedactionRules;
use super::recorder::count_dropped;
use hoth_core::domain::Digest;
use hoth_core::domain::Timestamp;
use hoth_platform::clock::Clock;

/// How often what has grown too old is looked for, when nothing is written.
const PRUNE_EVERY: Duration = Duration::from_secs(10 * 60);

/// The recording of a job that is over.
#[derive(Debug)]
pub(super) struct FinishedRecording {
    pub recording: Recording,
    /// The version that ended the job.
    pub version: Digest,
    pub at: Timestamp,
}

/// Writes what arrives, until nobody can send any more.
pub(super) fn start(
    arrivals: Receiver<FinishedRecording>,
    rules: RedactionRules,
    store: Arc<JournalStore>,
    clock: Clock,
) -> std::io::Result<()> {
    let write = move || {
        loop {
            match arrivals.recv_timeout(PRUNE_EVERY) {
                Ok(finished) => keep(finished, &rules, &store),
                Err(RecvTimeoutError::Timeout) => store.prune_all(clock.now()),
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    };
    std::thread::Builder::new().name("journals".to_owned()).spawn(write).map(drop)
}

fn keep(finished: FinishedRecording, rules: &RedactionRules, store: &JournalStore) {
    let adapter = finished.recording.adapter.clone();
    let Some(journal) = rules.redact(finished.recording, finished.version, finished.at) else {
        return count_dropped(&adapter, "not-redactable");
    };
    match store.keep(&journal) {
        Ok(()) => counter!("hoth_journals_written_total", "adapter" => adapter).increment(1),
        Err(error) => {
            count_dropped(&adapter, "not-written");
            warn!(
                adapter,
                error = &error as &dyn std::error::Error,
                "A journal cannot be written to {}",
                store.directory().display(),
            );
        }
    }
}
