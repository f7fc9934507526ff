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

use super::lock::beside;

/// The size of the reserve: twice the size at which the log is copied to the
/// database and used again from its beginning on a full disk.
const BYTES: usize = 8 * 1024 * 1024;

/// The end of the reserve's name, behind that of the queue file.
pub const FILE_SUFFIX: &str = ".reserve";

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
        let file = beside(path, FILE_SUFFIX);
        let mut reserve = Self { file, held: false, next_try: Instant::now() };
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

    /// Returns true if the reserve was held at the last check.
    pub fn was_held(&self) -> bool {
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
        let mut file = File::create(&self.file)?;
        file.write_all(&incompressible(BYTES))?;
        // Some file systems choose the blocks only now.
        file.sync_all()?;
        let occupied = file.metadata()?.blocks() * 512;
        if occupied < BYTES as u64 {
            // No failure: some file systems count blocks later.
            warn!(
                occupied,
                "The reserve of {BYTES} bytes occupies less on this file system, so \
                 acknowledgements may fail on a full disk"
            );
        }
        info!(bytes = BYTES, "Reserved disk space for acknowledgements on a full disk");
        Ok(())
    }

    fn remove(&self) {
        // If this fails, deletions have less room. There is no other remedy.
        let _ = std::fs::remove_file(&self.file);
    }
}

/// Makes bytes that no file system can compress or share with another file: a
/// reserve of zeros occupies nothing on some.
fn incompressible(bytes: usize) -> Vec<u8> {
    // splitmix64, from a random start. The bytes keep no secret.
    let (mut state, _) = uuid::Uuid::new_v4().as_u64_pair();
    let words = std::iter::repeat_with(|| {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    });
    words.take(bytes / 8).flat_map(u64::to_le_bytes).collect()
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
    fn the_bytes_of_a_reserve_do_not_repeat() {
        let bytes = incompressible(64 * 1024);
        let (words, _) = bytes.as_chunks::<8>();
        let distinct: std::collections::HashSet<_> = words.iter().collect();
        assert_eq!(distinct.len(), 8 * 1024);
        let mut counts = [0_u32; 256];
        bytes.iter().for_each(|byte| counts[usize::from(*byte)] += 1);
        assert!(counts.iter().all(|count| (128..=384).contains(count)), "{counts:?}");
        assert_ne!(bytes, incompressible(64 * 1024), "two files could share blocks");
    }

    #[test]
    fn a_reserve_that_cannot_be_written_is_not_held() {
        let mut reserve = Reserve::open(Path::new("/nowhere/queue.db"));
        assert!(!reserve.is_held());
    }
}
