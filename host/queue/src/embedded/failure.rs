//! The reasons for which the queue's storage ends for good.

use std::fmt;
use std::path::Path;
use std::path::PathBuf;

use super::identity::Displaced;
use super::identity::Part;
use super::rescue::Rescue;

/// The reason why storage failed so that only a restart helps.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StorageFailure {
    /// The state of the file is unknown to this process.
    #[error(
        "a write to {path} failed, so its state is unknown to this process ({cause}); start \
         the host again, which reads what is stored"
    )]
    Unknown { path: PathBuf, cause: String },
    /// A file of the queue is not the one that this process has open, or was
    /// overwritten.
    #[error("{}{}", displaced(path, displacement), rescued(rescue.as_ref(), path))]
    Displaced {
        path: PathBuf,
        displacement: Displaced,
        /// The place of the content; `None` while it is being saved.
        rescue: Option<Rescue>,
    },
    /// The thread that writes has ended by itself.
    #[error("the thread that writes the queue has ended by itself; the log has the reason")]
    WriterEnded,
    /// A thread that works for the writer has ended by itself.
    #[error("the thread that {0} the queue has ended by itself; the log has the reason")]
    HelperEnded(HelperThread),
}

/// A thread that works for the writer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HelperThread {
    Sync,
    Checkpoint,
}

impl fmt::Display for HelperThread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sync => "syncs",
            Self::Checkpoint => "checkpoints",
        })
    }
}

fn displaced(path: &Path, displaced: &Displaced) -> String {
    let part = match &displaced.part {
        Part::Database => path,
        Part::Beside(part) => part.as_path(),
    };
    format!("{} {} while the host was running", part.display(), displaced.what)
}

fn rescued(rescue: Option<&Rescue>, path: &Path) -> String {
    let path = path.display();
    match rescue {
        None => String::new(),
        Some(Rescue::InPlace) => {
            format!("; every accepted message is in {path}: start the host again")
        }
        Some(Rescue::Restored) => {
            format!("; every accepted message was stored in {path} again: start the host again")
        }
        Some(Rescue::At(file)) => format!(
            "; every accepted message is in {}: put the file that is to be the queue at {path}, \
             and start the host again",
            file.display()
        ),
        Some(Rescue::LogAt(log)) => format!(
            "; accepted messages may be lost: put a backup at {path}, or start the host again to \
             go on with the file as it is; the log, which does not belong to it any more, is now \
             {}",
            log.display()
        ),
        Some(Rescue::Failed(cause)) => format!(
            "; recent messages could not be saved ({cause}): put the file back at {path}, or a \
             backup, and start the host again"
        ),
    }
}
