//! The last known state of each adapter's files.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;
use std::time::Instant;

use super::AdapterName;
use super::files::FileStamp;
use super::ledger::SeenFile;

/// The state of one adapter's files when they were last read or written.
///
/// The lock around it is held while a change is written to disk and to the
/// table, so that the two always agree. A change that writes works on a copy,
/// and stores it in the same step as the table: a client that hangs up drops the
/// change half-way, and the watcher then finds what was written.
#[derive(Debug, Clone, Default)]
pub(super) struct Observed {
    /// The file in the drop directory, accepted or refused. The same file is
    /// not ingested twice: that would undo a rollback.
    pub drop_file: Option<SeenFile>,
    /// The refusal of `drop_file`; `None` if the file was accepted.
    pub refused: Option<RefusedDrop>,
    /// The ledger's file. Another stamp means that another host has written
    /// it.
    pub ledger: Option<FileStamp>,
    /// The time of the next try to load the version that the ledger has as
    /// active, if the machine has prevented the last one.
    pub retry_at: Option<Instant>,
    /// `true` if the contents of the file in the drop directory were compared
    /// since the start. A stamp from before is not enough: not every file
    /// system has a time that programs cannot set.
    pub compared: bool,
}

/// The refusal of a file in the drop directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RefusedDrop {
    /// The signature file beside it, `None` if there was none. A component may
    /// arrive before its signature, so another signature file is a reason to
    /// validate again.
    pub signature: Option<FileStamp>,
    /// The time of the next try, if the machine was the cause. `None` if the
    /// component was.
    pub retry_at: Option<Instant>,
}

/// Time after which a load is tried again that the machine has prevented: the
/// compiler could not be started or was killed, or the disk failed. A pass
/// every ten seconds looks at it.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// Returns the time of the next try.
pub(super) fn next_try() -> Instant {
    Instant::now() + RETRY_AFTER
}

/// Returns `true` if there is a next try, and it is due.
pub(super) fn is_due(retry_at: Option<Instant>) -> bool {
    retry_at.is_some_and(|at| at <= Instant::now())
}

/// The observations of all adapters.
#[derive(Debug, Default)]
pub(super) struct Observations(Mutex<BTreeMap<AdapterName, Arc<tokio::sync::Mutex<Observed>>>>);

impl Observations {
    /// Returns the observations of one adapter.
    pub fn of(&self, name: &AdapterName) -> Arc<tokio::sync::Mutex<Observed>> {
        let mut adapters = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(adapters.entry(name.clone()).or_default())
    }
}
