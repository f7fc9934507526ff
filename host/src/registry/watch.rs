//! The watcher of the drop directory and of the ledgers.

use std::collections::BTreeSet;
use std::error::Error;
use std::path::Path;
use std::pin::pin;
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
use tracing::info;
use tracing::warn;

use super::AdapterName;
use super::Registry;
use super::RegistryError;
use super::open_files::OpenFiles;
use super::tasks::Tasks;
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
pub const RESCAN_EVERY: Duration = Duration::from_secs(10);

impl Registry {
    /// Follows the drop directory and the ledgers until `stop`, with tasks of
    /// their own for each adapter. A file that is deleted changes nothing: its
    /// version is retained. Calls `alive` at least every [`RESCAN_EVERY`].
    pub async fn watch(self: Arc<Self>, stop: CancellationToken, alive: impl Fn()) {
        let events = Arc::new(DirEvents::default());
        let open_files = Arc::clone(self.drop_dir.open_files());
        let folders = [self.drop_dir.path(), self.ledgers.folder()];
        // Kept for its thread, which ends when the watcher is dropped.
        let _watcher = watcher(folders, Arc::clone(&events), open_files).inspect_err(|error| {
            warn!(
                "Cannot watch the adapter directory; it is read every {} s instead: {error}",
                RESCAN_EVERY.as_secs()
            );
        });
        let (mut tasks, mut problem) = (Tasks::default(), None);
        let mut announced = false;
        loop {
            alive();
            failpoint::reach(FailPoint::WatcherPass);
            // Before the first wait: a file may have arrived between the start
            // of the host and the start of the watcher.
            match stop.run_until_cancelled(self.list_patiently(&alive)).await {
                None => return,
                Some(Ok(names)) => {
                    problem = None;
                    names.into_iter().for_each(|name| tasks.follow(&self, name));
                }
                Some(Err(error)) => report(&error, &mut problem),
            }
            // Kept while tasks end: a change that is dropped half-way is lost.
            let mut change = pin!(events.changed());
            let mut rescan = pin!(tokio::time::sleep(RESCAN_EVERY));
            loop {
                if !announced && tasks.is_idle() {
                    announced = true;
                    // Tests and tools wait for it.
                    info!(event = "adapters-read", "Read the adapter directory");
                }
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = tasks.next(&self) => {}
                    () = &mut change => break,
                    () = &mut rescan => break,
                }
            }
        }
    }
}

impl Registry {
    /// Lists the adapters. A file system that does not answer is no reason to
    /// end the host, which serves without it: calls `alive` meanwhile.
    async fn list_patiently(
        &self,
        alive: &impl Fn(),
    ) -> Result<BTreeSet<AdapterName>, RegistryError> {
        let (mut listing, mut is_reported) = (pin!(self.names()), false);
        loop {
            if let Ok(names) = tokio::time::timeout(RESCAN_EVERY, &mut listing).await {
                return names;
            }
            alive();
            if !is_reported {
                is_reported = true;
                warn!(
                    "The file system of the adapter directory has not answered for {} s",
                    RESCAN_EVERY.as_secs()
                );
            }
        }
    }
}

/// Logs that the directory cannot be read, unless that was logged last.
fn report(error: &RegistryError, reported: &mut Option<String>) {
    let cause = error.source().map(ToString::to_string);
    if *reported != cause {
        let error: &dyn Error = error;
        warn!(error, "Cannot read the adapter directory");
        *reported = cause;
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

    /// Waits for a change that a pass should see.
    async fn changed(&self) {
        tokio::select! {
            () = self.completed.notified() => tokio::time::sleep(SIGNATURE_DELAY).await,
            () = self.in_progress.notified() => self.settle().await,
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

fn watcher(
    folders: [&Path; 2],
    events: Arc<DirEvents>,
    open_files: Arc<OpenFiles>,
) -> notify::Result<RecommendedWatcher> {
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        match event {
            Ok(event) => {
                // Events were lost, among them perhaps the end of a write.
                if event.need_rescan() {
                    open_files.clear();
                }
                // Before the pass that this event causes.
                open_files.record(&event);
                events.record(&event.kind);
            }
            // Events may have been lost; a pass finds the changes.
            Err(_) => {
                open_files.clear();
                events.in_progress.notify_one();
            }
        }
    })?;
    for folder in folders {
        watcher.watch(folder, RecursiveMode::NonRecursive)?;
    }
    Ok(watcher)
}
