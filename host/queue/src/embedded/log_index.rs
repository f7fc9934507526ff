//! The index of SQLite's log (the file `-shm`), read as SQLite documents it
//! ("WAL-mode File Format", <https://sqlite.org/walformat.html>).

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

/// The length of the log's header, and of the header of a frame.
pub const LOG_HEADER_BYTES: u64 = 32;
pub const FRAME_HEADER_BYTES: u64 = 24;

/// The length of the index that is read: two copies of the header, and the
/// state of checkpoints.
const INDEX_BYTES: usize = 132;

/// The length of one copy of the header.
const HEADER_BYTES: usize = 48;

/// The index as a file.
///
/// It must be dropped after every SQLite connection, for the same reason as
/// [`FileLock`](super::lock::FileLock).
#[derive(Debug)]
pub struct LogIndex(File);

/// The state of the log's index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Index {
    pub frames: u32,
    pub page_bytes: u64,
    pub last_frame_checksum: [u32; 2],
    pub checkpoint: Checkpoint,
}

/// The part of the log that was copied to the database.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Checkpoint {
    /// Two random numbers that change when the log is reset, as they are in
    /// the log.
    pub salts: [u8; 8],
    pub copied: u32,
    /// Set before the database is written.
    pub attempted: u32,
}

impl Checkpoint {
    /// Returns true if the database is being written, or if that failed.
    pub fn is_unfinished(self) -> bool {
        self.copied != self.attempted
    }
}

impl Index {
    /// Returns the place of a frame in the log, counted from 0. That of the
    /// frame behind the last one is the length of the log.
    pub fn frame_at(&self, number: u64) -> u64 {
        LOG_HEADER_BYTES + number * (FRAME_HEADER_BYTES + self.page_bytes)
    }
}

impl LogIndex {
    pub fn open(path: &Path) -> io::Result<Self> {
        File::open(path).map(Self)
    }

    /// Reads the index. Returns `None` while a commit or another process
    /// changes it.
    pub fn read(&self) -> io::Result<Option<Index>> {
        let mut bytes = [0; INDEX_BYTES];
        match self.0.read_exact_at(&mut bytes, 0) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            read => read?,
        }
        let number = |at: usize| u32::from_ne_bytes(std::array::from_fn(|byte| bytes[at + byte]));
        let is_initialized = bytes[12] != 0;
        if bytes[..HEADER_BYTES] != bytes[HEADER_BYTES..2 * HEADER_BYTES] || !is_initialized {
            return Ok(None);
        }
        Ok(Some(Index {
            frames: number(16),
            // 65 536 does not fit, and is stored as 1.
            page_bytes: match u16::from_ne_bytes([bytes[14], bytes[15]]) {
                1 => 65_536,
                bytes => u64::from(bytes),
            },
            last_frame_checksum: [number(24), number(28)],
            checkpoint: Checkpoint {
                salts: std::array::from_fn(|byte| bytes[32 + byte]),
                copied: number(96),
                attempted: number(128),
            },
        }))
    }
}
