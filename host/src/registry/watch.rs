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
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::Registry;

/// How long the directory must be quiet before it is read: a copy is written
/// in pieces, and half a component would be refused, if only for a moment.
const QUIET: Duration = Duration::from_millis(50);

/// How often that wait may begin anew, so that a directory that is never quiet
/// is read all the same.
const STIRS_MAX: u32 = 10;

/// How often the directory is read in any case. Network file systems tell
/// nothing of what other machines do, and a notice may be lost.
const RESCAN_EVERY: Duration = Duration::from_secs(10);

impl Registry {
    /// Takes in what is put into the directory and what other hosts choose,
    /// until `stop`. A file that goes away changes nothing: what it was is kept.
    pub async fn watch(&self, stop: CancellationToken) {
        let stirred = Arc::new(Notify::new());
        // Ends its thread when it is dropped.
        let _watcher = watcher([&self.directory, self.store.folder()], Arc::clone(&stirred)).inspect_err(|error| {
            warn!(
                "The directory of adapters is read every {} s only, as it cannot be watched: {error}",
                RESCAN_EVERY.as_secs()
            );
        });
        loop {
            if let Err(error) = self.scan().await {
                let error: &dyn Error = &error;
                warn!(error, "The directory of adapters cannot be read");
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = stirred.notified() => settle(&stirred).await,
                () = tokio::time::sleep(RESCAN_EVERY) => {}
            }
        }
    }
}

async fn settle(stirred: &Notify) {
    for _ in 0..STIRS_MAX {
        if tokio::time::timeout(QUIET, stirred.notified()).await.is_err() {
            return;
        }
    }
}

fn watcher(folders: [&Path; 2], stirred: Arc<Notify>) -> notify::Result<RecommendedWatcher> {
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        if event.is_ok_and(|event| is_reading(&event.kind)) {
            return;
        }
        // Keeps one notice at most, so nothing piles up.
        stirred.notify_one();
    })?;
    for folder in folders {
        watcher.watch(folder, RecursiveMode::NonRecursive)?;
    }
    Ok(watcher)
}

/// Our own reading must not lead to more of it.
fn is_reading(event: &EventKind) -> bool {
    matches!(event, EventKind::Access(access)
        if *access != AccessKind::Close(AccessMode::Write))
}
