//! Room on the disk that is kept for what makes room.
//!
//! A deletion writes before it frees anything. So on a full disk nothing could
//! be acknowledged, and it would stay full. A file beside the queue keeps some
//! megabytes back: when the disk is full it is given up, and until it can be had
//! again new messages are refused.

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

/// Twice what SQLite's log grows to before it is used again from its beginning.
const BYTES: usize = 8 * 1024 * 1024;

/// How long until it is tried again to keep so much back.
const PAUSE: Duration = Duration::from_secs(1);

/// The room that is kept back, or that is to be kept back again.
#[derive(Debug)]
pub struct Reserve {
    file: PathBuf,
    held: bool,
    next_try: Instant,
}

impl Reserve {
    /// Keeps room back beside the queue at `path`, where there is any.
    pub fn open(path: &Path) -> Self {
        let mut file = path.as_os_str().to_owned();
        file.push(".reserve");
        let mut reserve = Self { file: file.into(), held: false, next_try: Instant::now() };
        if !reserve.is_held() {
            warn!("Queue storage is full: new messages are refused until there is room");
        }
        reserve
    }

    /// Whether there is room for new messages. Tries to keep it back again, now
    /// and then, where it was given up.
    pub fn is_held(&mut self) -> bool {
        if self.held || Instant::now() < self.next_try {
            return self.held;
        }
        self.next_try = Instant::now() + PAUSE;
        self.held = self.take().is_ok();
        if !self.held {
            // What was written of it takes the room that there is.
            self.remove();
        }
        self.held
    }

    /// Gives the room to those who make more of it.
    pub fn give_up(&mut self) {
        if std::mem::replace(&mut self.held, false) {
            warn!("Queue storage is full: new messages are refused until there is room");
            self.remove();
            // The next look must not take the room back before it is used.
            self.next_try = Instant::now() + PAUSE;
        }
    }

    fn take(&self) -> io::Result<()> {
        let kept = std::fs::metadata(&self.file);
        // Blocks, not length: a file with a hole keeps nothing back.
        if kept.is_ok_and(|file| file.blocks() * 512 >= BYTES as u64) {
            return Ok(());
        }
        File::create(&self.file)?.write_all(&vec![0; BYTES])?;
        info!(bytes = BYTES, "Room is kept back for acknowledgements on a full disk");
        Ok(())
    }

    fn remove(&self) {
        // If it cannot be removed there is less room, and less goes on.
        let _ = std::fs::remove_file(&self.file);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_kept_given_up_and_had_again_after_a_pause() {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let path = folder.path().join("queue.db");
        let kept = folder.path().join("queue.db.reserve");
        let mut reserve = Reserve::open(&path);
        assert!(reserve.is_held());
        assert_eq!(kept.metadata().expect("a file").len(), BYTES as u64);
        let before = Instant::now();
        reserve.give_up();
        assert!(!kept.exists() && reserve.next_try >= before + PAUSE, "not at once");
        reserve.next_try = Instant::now() + 3_600 * PAUSE;
        assert!(!reserve.is_held() && !kept.exists(), "not before the pause is over");
        reserve.next_try = Instant::now();
        assert!(reserve.is_held() && kept.exists());
    }

    #[test]
    fn where_there_is_no_room_none_is_kept() {
        let mut reserve = Reserve::open(Path::new("/nowhere/queue.db"));
        assert!(!reserve.is_held());
    }
}
