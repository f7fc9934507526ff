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
use notify::event::RenameMode;

/// Time after the last write for which a file counts as open if no event says
/// that it was closed: the event may have been lost, and a change of only the
/// modification time looks like a write.
const OPEN_FOR: Duration = Duration::from_secs(60);

/// Time after the end of a write for which a file counts as complete. The pass
/// that the event causes comes much sooner. Later, another machine may write the
/// file, which causes no event.
const COMPLETE_FOR: Duration = Duration::from_secs(1);

/// The most files that are tracked; further ones only have to settle.
const FILES_MAX: usize = 1024;

/// The last event of a file, and its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LastEvent {
    Written(Instant),
    /// Closed after writing, or renamed.
    Completed(Instant),
}

impl LastEvent {
    fn counts(self) -> bool {
        match self {
            Self::Written(at) => at.elapsed() < OPEN_FOR,
            Self::Completed(at) => at.elapsed() < COMPLETE_FOR,
        }
    }
}

/// The files that were written or completed recently.
#[derive(Debug, Default)]
pub(super) struct OpenFiles(Mutex<BTreeMap<OsString, LastEvent>>);

impl OpenFiles {
    /// Returns `true` if a program still writes the file.
    pub fn contains(&self, file: &str) -> bool {
        matches!(self.last(file), Some(LastEvent::Written(_)))
    }

    /// Returns `true` if a program has just completed the file.
    pub fn was_completed(&self, file: &str) -> bool {
        matches!(self.last(file), Some(LastEvent::Completed(_)))
    }

    fn last(&self, file: &str) -> Option<LastEvent> {
        let files = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        files.get(OsStr::new(file)).copied().filter(|event| event.counts())
    }

    /// Follows an event of the watcher.
    pub fn record(&self, event: &Event) {
        let last = match event.kind {
            EventKind::Modify(ModifyKind::Data(_)) => Some(LastEvent::Written(Instant::now())),
            // A file that is renamed is put in place: that is the advice.
            EventKind::Access(AccessKind::Close(AccessMode::Write))
            | EventKind::Modify(ModifyKind::Name(RenameMode::To)) => {
                Some(LastEvent::Completed(Instant::now()))
            }
            // It names both files, and follows an event for each.
            EventKind::Modify(ModifyKind::Name(RenameMode::Both)) => return,
            // The name is free, or a new file begins under it.
            EventKind::Remove(_)
            | EventKind::Create(_)
            | EventKind::Modify(ModifyKind::Name(_)) => None,
            EventKind::Any | EventKind::Access(_) | EventKind::Modify(_) | EventKind::Other => {
                return;
            }
        };
        let mut files = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for file in event.paths.iter().filter_map(|path| path.file_name()) {
            files.remove(file);
            let Some(last) = last else { continue };
            files.retain(|_, event| event.counts());
            if files.len() < FILES_MAX {
                files.insert(file.to_owned(), last);
            }
        }
    }

    /// Forgets all files, after events were lost.
    pub fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

#[cfg(test)]
mod tests {
    use notify::event::CreateKind;
    use notify::event::DataChange;
    use notify::event::RemoveKind;

    use super::*;

    #[test]
    fn the_last_event_of_a_file_tells_if_it_is_complete() {
        let created = EventKind::Create(CreateKind::File);
        let written = EventKind::Modify(ModifyKind::Data(DataChange::Any));
        let closed = EventKind::Access(AccessKind::Close(AccessMode::Write));
        let renamed = EventKind::Modify(ModifyKind::Name(RenameMode::To));
        let [moved_away, both] = [RenameMode::From, RenameMode::Both]
            .map(|mode| EventKind::Modify(ModifyKind::Name(mode)));
        let removed = EventKind::Remove(RemoveKind::File);
        for (events, is_open, is_complete) in [
            (&[][..], false, false),
            (&[created], false, false),
            (&[created, written], true, false),
            (&[created, written, closed], false, true),
            (&[created, written, closed, written], true, false),
            (&[renamed], false, true),
            (&[renamed, removed], false, false),
            (&[renamed, moved_away], false, false),
            (&[renamed, created], false, false),
            (&[created, written, moved_away, created], false, false),
            (&[renamed, both], false, true),
        ] {
            let files = OpenFiles::default();
            for kind in events {
                files.record(&Event::new(*kind).add_path("/adapters/a.wasm".into()));
            }
            let found = (files.contains("a.wasm"), files.was_completed("a.wasm"));
            assert_eq!(found, (is_open, is_complete), "{events:?}");
            files.clear();
            assert!(!files.contains("a.wasm") && !files.was_completed("a.wasm"));
        }
    }
}
