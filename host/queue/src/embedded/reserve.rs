//! A reserve file, released when the disk is full so that deletions still
//! commit.
//!
//! In WAL mode a deletion writes before it frees anything. On a full disk no
//! message could be acknowledged, and the disk would stay full. So a file
//! beside the queue occupies some megabytes. It is deleted when the disk is
//! full, and until it can be written again new messages are refused.

use std::fs::File;
use std::io;
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;
use std::time::Instant;

use tracing::info;
use tracing::warn;

/// The size of the reserve: twice the size at which SQLite reuses its log from
/// the beginning (a checkpoint every 1000 pages of 4 KiB by default).
const BYTES: usize = 8 * 1024 * 1024;

/// The pause between two tries to write the reserve again.
const PAUSE: Duration = Duration::from_secs(1);

/// The reserve file: held, or to be written again.
#[derive(Debug)]
pub struct Reserve {
    file: PathBuf,
    /// The file is there, in full size.
    held: bool,
    /// The time before which it is not written again. A try on a full disk
    /// costs up to [`BYTES`] of writes.
    next_try: Instant,
}

impl Reserve {
    /// Writes the reserve beside the queue at `path`, if the disk has room.
    pub fn open(path: &Path) -> Self {
        let mut file = path.as_os_str().to_owned();
        file.push(".reserve");
        let mut reserve = Self { file: file.into(), held: false, next_try: Instant::now() };
        if !reserve.is_held() {
            warn!("Queue storage is full: new messages are refused until there is room");
        }
        reserve
    }

    /// Returns true if the reserve is held, so that there is room for new
    /// messages. Tries to write a released reserve again, once in [`PAUSE`].
    pub fn is_held(&mut self) -> bool {
        if self.held || Instant::now() < self.next_try {
            return self.held;
        }
        self.next_try = Instant::now() + PAUSE;
        self.held = self.write().is_ok();
        if !self.held {
            // A part of the reserve is useless, and takes the room of
            // deletions.
            self.remove();
        }
        self.held
    }

    /// Deletes the reserve, so that deletions find room.
    pub fn release(&mut self) {
        if std::mem::replace(&mut self.held, false) {
            warn!("Queue storage is full: new messages are refused until there is room");
            self.remove();
            // The next check must not take the space back before it is used.
            self.next_try = Instant::now() + PAUSE;
        }
    }

    fn write(&self) -> io::Result<()> {
        let found = std::fs::metadata(&self.file);
        // Blocks, not length: a sparse file occupies no disk space. `st_blocks`
        // counts units of 512 bytes.
        if found.is_ok_and(|file| file.blocks() * 512 >= BYTES as u64) {
            return Ok(());
        }
        File::create(&self.file)?.write_all(&vec![0; BYTES])?;
        info!(bytes = BYTES, "Reserved disk space for acknowledgements on a full disk");
        Ok(())
    }

    fn remove(&self) {
        // If this fails, deletions have less room. There is no other remedy.
        let _ = std::fs::remove_file(&self.file);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_released_reserve_is_written_again_after_a_pause() {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let path = folder.path().join("queue.db");
        let file = folder.path().join("queue.db.reserve");
        let mut reserve = Reserve::open(&path);
        assert!(reserve.is_held());
        assert_eq!(file.metadata().expect("a file").len(), BYTES as u64);
        let before = Instant::now();
        reserve.release();
        assert!(!file.exists() && reserve.next_try >= before + PAUSE, "not at once");
        reserve.next_try = Instant::now() + 3_600 * PAUSE;
        assert!(!reserve.is_held() && !file.exists(), "not before the pause is over");
        reserve.next_try = Instant::now();
        assert!(reserve.is_held() && file.exists());
    }

    #[test]
    fn a_reserve_that_cannot_be_written_is_not_held() {
        let mut reserve = Reserve::open(Path::new("/nowhere/queue.db"));
        assert!(!reserve.is_held());
    }
}
