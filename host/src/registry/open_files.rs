//! Files of the drop directory that a program still writes, as far as events
//! of the file system tell.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::ffi::OsString;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;
use std::time::Instant;

use notify::Event;
use notify::EventKind;
use notify::event::AccessKind;
use notify::event::AccessMode;
use notify::event::ModifyKind;

/// Time after the last write for which a file counts as open if no event says
/// that it was closed: the event may have been lost, and a change of only the
/// modification time looks like a write.
const OPEN_FOR: Duration = Duration::from_secs(60);

/// The most files that are tracked; further ones only have to settle.
const FILES_MAX: usize = 1024;

/// The files that were written and not closed since.
#[derive(Debug, Default)]
pub(super) struct OpenFiles(Mutex<BTreeMap<OsString, Instant>>);

impl OpenFiles {
    /// Returns `true` if a program still writes the file.
    pub fn contains(&self, file: &str) -> bool {
        let files = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        files.get(OsStr::new(file)).is_some_and(|written| written.elapsed() < OPEN_FOR)
    }

    /// Follows an event of the watcher.
    pub fn record(&self, event: &Event) {
        let mut files = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for file in event.paths.iter().filter_map(|path| path.file_name()) {
            match event.kind {
                EventKind::Modify(ModifyKind::Data(_)) => {
                    files.retain(|_, written| written.elapsed() < OPEN_FOR);
                    if files.len() < FILES_MAX || files.contains_key(file) {
                        files.insert(file.to_owned(), Instant::now());
                    }
                }
                // A file that is renamed is put in place: that is the advice.
                EventKind::Access(AccessKind::Close(AccessMode::Write))
                | EventKind::Modify(ModifyKind::Name(_))
                | EventKind::Remove(_) => drop(files.remove(file)),
                EventKind::Any
                | EventKind::Access(_)
                | EventKind::Create(_)
                | EventKind::Modify(_)
                | EventKind::Other => {}
            }
        }
    }

    /// Forgets all files, after events were lost.
    pub fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}
