//! Notices components that are put into the directory.

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

/// How long the directory must be quiet before it is read while a file is being
/// written: half a component would be refused, if only for a moment.
const QUIET_PERIOD: Duration = Duration::from_millis(50);

/// How long a file that is whole waits for company: its signature comes right
/// after it.
const SIGNATURE_DELAY: Duration = Duration::from_millis(5);

/// How often that wait may begin anew, so that a directory that is never quiet
/// is read all the same.
const SETTLE_ROUNDS_MAX: u32 = 10;

/// How often the directory is read in any case. Network file systems tell
/// nothing of what other machines do, and a notice may be lost.
const RESCAN_EVERY: Duration = Duration::from_secs(10);

impl Registry {
    /// Takes in what is put into the directory and what other hosts choose,
    /// until `stop`. A file that goes away changes nothing: what it was is kept.
    pub async fn watch(&self, stop: CancellationToken) {
        let events = Arc::new(DirEvents::default());
        // Ends its thread when it is dropped.
        let _watcher = watcher([&self.directory, self.store.folder()], Arc::clone(&events)).inspect_err(|error| {
            warn!(
                "The directory of adapters is read every {} s only, as it cannot be watched: {error}",
                RESCAN_EVERY.as_secs()
            );
        });
        loop {
            if let Err(error) = self.reconcile().await {
                let error: &dyn Error = &error;
                warn!(error, "The directory of adapters cannot be read");
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = events.whole.notified() => tokio::time::sleep(SIGNATURE_DELAY).await,
                () = events.any.notified() => events.settle().await,
                () = tokio::time::sleep(RESCAN_EVERY) => {}
            }
        }
    }
}

/// What the watcher's thread has to say. Each keeps one notice at most, so
/// nothing piles up.
#[derive(Debug, Default)]
struct DirEvents {
    /// A file was closed after writing, renamed, or removed.
    whole: Notify,
    /// Something else happened: a file is being written.
    any: Notify,
}

impl DirEvents {
    fn by(&self, event: &EventKind) {
        match event {
            EventKind::Access(AccessKind::Close(AccessMode::Write))
            | EventKind::Modify(ModifyKind::Name(_))
            | EventKind::Remove(_) => self.whole.notify_one(),
            // Our own reading must not lead to more of it.
            EventKind::Access(_) => {}
            EventKind::Any | EventKind::Create(_) | EventKind::Modify(_) | EventKind::Other => {
                self.any.notify_one();
            }
        }
    }

    /// Waits until what is being written is whole, or nothing happens.
    async fn settle(&self) {
        for _ in 0..SETTLE_ROUNDS_MAX {
            tokio::select! {
                () = self.whole.notified() => return tokio::time::sleep(SIGNATURE_DELAY).await,
                quiet = tokio::time::timeout(QUIET_PERIOD, self.any.notified()) => {
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
            Ok(event) => events.by(&event.kind),
            // Notices may have been lost.
            Err(_) => events.any.notify_one(),
        }
    })?;
    for folder in folders {
        watcher.watch(folder, RecursiveMode::NonRecursive)?;
    }
    Ok(watcher)
}
