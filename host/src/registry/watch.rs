//! The watcher of the drop directory and of the ledgers.

use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use notify::EventKind;
use notify::RecommendedWatcher;
use notify::RecursiveMode;
use notify::Watcher as _;
use notify::event::AccessKind;
use notify::event::AccessMode;
use notify::event::ModifyKind;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::Registry;
use hoth_platform::failpoint;
use hoth_platform::failpoint::FailPoint;

/// Time without events after which a file counts as complete: half a component
/// would be refused, if only for a moment.
const QUIET_PERIOD: Duration = Duration::from_millis(50);

/// Delay after a complete file, so that a signature that is written right after
/// its component is read with it.
const SIGNATURE_DELAY: Duration = Duration::from_millis(5);

/// Number of times that the quiet period may start again, so that a directory
/// that is never quiet is read nevertheless.
const QUIET_PERIODS_MAX: u32 = 10;

/// Time between two passes without any event. Network file systems do not
/// report what other machines do, and events may be lost.
const RESCAN_EVERY: Duration = Duration::from_secs(10);

impl Registry {
    /// Reconciles whenever the drop directory or a ledger changes, until
    /// `stop`. A file that is deleted changes nothing: its version is retained.
    /// Calls `alive` before each pass.
    pub async fn watch(&self, stop: CancellationToken, alive: impl Fn()) {
        let events = Arc::new(DirEvents::default());
        // Kept for its thread, which ends when the watcher is dropped.
        let _watcher = watcher([self.drop_dir.path(), self.ledgers.folder()], Arc::clone(&events))
            .inspect_err(|error| {
                warn!(
                    "Cannot watch the adapter directory; it is read every {} s instead: {error}",
                    RESCAN_EVERY.as_secs()
                );
            });
        loop {
            alive();
            failpoint::reach(FailPoint::WatcherPass);
            // Before the first wait: a file may have arrived between the start
            // of the host and the start of the watcher.
            if let Err(error) = self.reconcile().await {
                let error: &dyn Error = &error;
                warn!(error, "Cannot read the adapter directory");
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = events.completed.notified() => tokio::time::sleep(SIGNATURE_DELAY).await,
                () = events.in_progress.notified() => events.settle().await,
                () = tokio::time::sleep(RESCAN_EVERY) => {}
            }
        }
    }
}

/// Events from the watcher's thread. Each field holds at most one notification,
/// so that nothing accumulates while a pass runs.
#[derive(Debug, Default)]
struct DirEvents {
    /// A file was closed after writing, renamed, or removed.
    completed: Notify,
    /// Any other change, such as a write to an open file.
    in_progress: Notify,
}

impl DirEvents {
    fn record(&self, event: &EventKind) {
        match event {
            EventKind::Access(AccessKind::Close(AccessMode::Write))
            | EventKind::Modify(ModifyKind::Name(_))
            | EventKind::Remove(_) => self.completed.notify_one(),
            // A pass reads the files itself, and must not cause another pass.
            EventKind::Access(_) => {}
            EventKind::Any | EventKind::Create(_) | EventKind::Modify(_) | EventKind::Other => {
                self.in_progress.notify_one();
            }
        }
    }

    /// Waits until a file is complete or the directory is quiet.
    async fn settle(&self) {
        for _ in 0..QUIET_PERIODS_MAX {
            tokio::select! {
                () = self.completed.notified() => {
                    return tokio::time::sleep(SIGNATURE_DELAY).await;
                }
                quiet = tokio::time::timeout(QUIET_PERIOD, self.in_progress.notified()) => {
                    if quiet.is_err() {
                        return;
                    }
                }
            }
        }
    }
}

fn watcher(folders: [&Path; 2], events: Arc<DirEvents>) -> notify::Result<RecommendedWatcher> {
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        match event {
            Ok(event) => events.record(&event.kind),
            // Events may have been lost; a pass finds the changes.
            Err(_) => events.in_progress.notify_one(),
        }
    })?;
    for folder in folders {
        watcher.watch(folder, RecursiveMode::NonRecursive)?;
    }
    Ok(watcher)
}
