//! Changes of the queue's files in place, by a program that overwrites or
//! truncates them and does not take SQLite's locks.
//!
//! The log's header and frames have the salts that the log's index names, and
//! its last frame the checksum. The database changes only in a checkpoint, which the index shows as well. Both
//! are read from the index as SQLite documents it ("WAL-mode File Format",
//! <https://sqlite.org/walformat.html>).

use std::fs::File;
use std::fs::Metadata;
use std::hash::DefaultHasher;
use std::hash::Hasher as _;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use tracing::warn;

/// The length of the index that is read: two copies of the header, and the
/// state of checkpoints.
const INDEX_BYTES: usize = 132;

/// The length of one copy of the header.
const HEADER_BYTES: usize = 48;

/// The length of the log's header, and the place of the salts in it.
const LOG_HEADER_BYTES: u64 = 32;
const LOG_SALTS_AT: u64 = 16;

/// The length of the header of a frame, and the places of the salts and of the
/// checksum in it.
const FRAME_HEADER_BYTES: u64 = 24;
const FRAME_SALTS_AT: u64 = 8;
const FRAME_CHECKSUM_AT: u64 = 16;

/// The places of the database that tell one content from another, and the
/// bytes that are compared at each.
const SAMPLES: u64 = 16;
const SAMPLE_BYTES: usize = 512;

/// The alignment of the places: the size of a page, whose beginning changes
/// with its content.
const PAGE_BYTES: u64 = 4096;

/// The content of the files, as SQLite last left it.
///
/// It must be dropped after every SQLite connection, for the same reason as
/// [`FileLock`](super::lock::FileLock).
#[derive(Debug)]
pub struct Content {
    database: File,
    log: File,
    index: File,
    stamp: Stamp,
    checkpoint: Checkpoint,
    sample: u64,
    /// The number of the frame that is checked next. A log that is truncated
    /// between two commits has its last frame again after the second, behind a
    /// gap.
    next_frame: u64,
}

/// The file that was changed in place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Changed {
    Database,
    Log,
}

/// The length and the time of the last write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    bytes: u64,
    seconds: i64,
    nanoseconds: i64,
}

impl From<&Metadata> for Stamp {
    fn from(found: &Metadata) -> Self {
        Self { bytes: found.len(), seconds: found.mtime(), nanoseconds: found.mtime_nsec() }
    }
}

/// The state of the log's index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Index {
    frames: u32,
    page_bytes: u64,
    last_frame_checksum: [u32; 2],
    checkpoint: Checkpoint,
}

/// The part of the log that was moved to the database.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Checkpoint {
    /// Two random numbers that change when the log begins again, as they are in
    /// the log.
    salts: [u8; 8],
    moved: u32,
    /// Set before the database is written.
    attempted: u32,
}

impl Checkpoint {
    /// Returns true if the database is being written, or if that failed.
    fn is_unfinished(self) -> bool {
        self.moved != self.attempted
    }
}

impl Content {
    /// Opens the files of a queue that SQLite has open as `database`.
    pub fn note(database: &File, log: &Path, index: &Path) -> io::Result<Self> {
        let database = database.try_clone()?;
        let mut content = Self {
            stamp: Stamp::from(&database.metadata()?),
            log: File::open(log)?,
            index: File::open(index)?,
            checkpoint: Checkpoint::default(),
            sample: 0,
            next_frame: 0,
            database,
        };
        content.sample = content.sample()?;
        Ok(content)
    }

    /// Compares the files with what SQLite has written. `database` is the
    /// database as it was found by its path.
    ///
    /// # Errors
    ///
    /// The files cannot be read, which says nothing about them.
    pub fn check(&mut self, database: &Metadata) -> io::Result<Option<Changed>> {
        let Some(before) = self.index()? else { return Ok(None) };
        let log_is_whole = self.log_is_whole(&before)?;
        if log_is_whole && Stamp::from(database) == self.stamp {
            self.checkpoint = before.checkpoint;
            return Ok(None);
        }
        let stamp = Stamp::from(&self.database.metadata()?);
        // Another process may commit or move the log at the same time. It
        // writes the files and the index in turns, so only an index that stays
        // the same says anything about the files.
        if self.index()? != Some(before) {
            return Ok(None);
        }
        if !log_is_whole {
            return Ok(Some(Changed::Log));
        }
        let moved = before.checkpoint != self.checkpoint || before.checkpoint.is_unfinished();
        let sample = self.sample()?;
        if !moved && sample != self.sample {
            return Ok(Some(Changed::Database));
        }
        if !moved && stamp.bytes != self.stamp.bytes {
            return Ok(Some(Changed::Database));
        }
        if !moved {
            warn!(
                "The queue file was touched or written by another program, without a visible \
                 change"
            );
        }
        (self.stamp, self.checkpoint, self.sample) = (stamp, before.checkpoint, sample);
        Ok(None)
    }

    /// Reads the index. Returns `None` while another process changes it.
    fn index(&self) -> io::Result<Option<Index>> {
        let mut bytes = [0; INDEX_BYTES];
        match self.index.read_exact_at(&mut bytes, 0) {
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
                moved: number(96),
                attempted: number(128),
            },
        }))
    }

    /// Returns true if the log has the header, one more frame of all, and the last
    /// frame that the index names.
    fn log_is_whole(&mut self, index: &Index) -> io::Result<bool> {
        let frames = u64::from(index.frames);
        let Some(last) = frames.checked_sub(1) else { return Ok(true) };
        self.next_frame = (self.next_frame + 1) % frames;
        let frame = |number| LOG_HEADER_BYTES + number * (FRAME_HEADER_BYTES + index.page_bytes);
        // The log is big-endian; the index has the machine's order.
        let [high, low] = index.last_frame_checksum.map(u32::to_be_bytes);
        for (at, expected) in [
            (LOG_SALTS_AT, index.checkpoint.salts),
            (frame(self.next_frame) + FRAME_SALTS_AT, index.checkpoint.salts),
            (frame(last) + FRAME_CHECKSUM_AT, std::array::from_fn(|i| [high, low][i / 4][i % 4])),
        ] {
            let mut found = [0; 8];
            match self.log.read_exact_at(&mut found, at) {
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
                read => read?,
            }
            if found != expected {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Returns a hash of the beginnings of some pages.
    fn sample(&self) -> io::Result<u64> {
        let pages = self.database.metadata()?.len() / PAGE_BYTES;
        let mut hasher = DefaultHasher::new();
        let mut bytes = [0; SAMPLE_BYTES];
        for number in 0..SAMPLES.min(pages) {
            let at = number * pages / SAMPLES.min(pages) * PAGE_BYTES;
            self.database.read_exact_at(&mut bytes, at)?;
            hasher.write(&bytes);
        }
        Ok(hasher.finish())
    }
}
