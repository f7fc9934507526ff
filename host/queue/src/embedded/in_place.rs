//! Changes of the queue's files in place, by a program that overwrites or
//! truncates them and does not take SQLite's locks.
//!
//! The log's header and frames have the salts that the log's index names, and
//! its last frame the checksum. The database changes only in a checkpoint, which
//! the [index](super::log_index) shows as well.

use std::fs::File;
use std::fs::Metadata;
use std::hash::DefaultHasher;
use std::hash::Hasher as _;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use tracing::warn;

use super::log_index::Checkpoint;
use super::log_index::Index;
use super::log_index::LogIndex;

/// The place of the salts in the log's header, and the places of the salts and
/// of the checksum in the header of a frame.
const LOG_SALTS_AT: u64 = 16;
const FRAME_SALTS_AT: u64 = 8;
const FRAME_CHECKSUM_AT: u64 = 16;

/// The readings of files that change meanwhile, before one says nothing: the
/// writer commits, and a checkpoint runs, at the same time.
const READINGS_MAX: usize = 8;

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
    index: LogIndex,
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

impl Content {
    /// Opens the files of a queue that SQLite has open as `database`.
    pub fn note(database: &File, log: &Path, index: &Path) -> io::Result<Self> {
        let database = database.try_clone()?;
        let mut content = Self {
            stamp: Stamp::from(&database.metadata()?),
            log: File::open(log)?,
            index: LogIndex::open(index)?,
            checkpoint: Checkpoint::default(),
            sample: 0,
            next_frame: 0,
            database,
        };
        content.sample = content.sample()?;
        Ok(content)
    }

    /// Compares the files with what SQLite has written.
    ///
    /// # Errors
    ///
    /// The files cannot be read, which says nothing about them.
    pub fn check(&mut self) -> io::Result<Option<Changed>> {
        for _ in 0..READINGS_MAX {
            if let Some(found) = self.look()? {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// Reads the files once. Returns `None` if the index has changed meanwhile:
    /// a commit and a checkpoint write the files and the index in turns, so
    /// only an index that stays the same says anything about the files.
    fn look(&mut self) -> io::Result<Option<Option<Changed>>> {
        let Some(before) = self.index.read()? else { return Ok(None) };
        let log_is_whole = self.log_is_whole(&before)?;
        // After the index: a checkpoint that the index does not show yet may
        // already have written the database.
        let stamp = Stamp::from(&self.database.metadata()?);
        let moved = before.checkpoint != self.checkpoint || before.checkpoint.is_unfinished();
        if log_is_whole && !moved && stamp == self.stamp {
            return Ok(Some(None));
        }
        let sample = self.sample()?;
        if self.index.read()? != Some(before) {
            return Ok(None);
        }
        if !log_is_whole {
            return Ok(Some(Some(Changed::Log)));
        }
        if !moved && (sample != self.sample || stamp.bytes != self.stamp.bytes) {
            return Ok(Some(Some(Changed::Database)));
        }
        if !moved {
            warn!(
                "The queue file was touched or written by another program, without a visible \
                 change"
            );
        }
        (self.stamp, self.checkpoint, self.sample) = (stamp, before.checkpoint, sample);
        Ok(Some(None))
    }

    /// Returns true if the log has what the index names: the salts in its header
    /// and in one frame, another one each time, and the checksum of its last
    /// frame.
    fn log_is_whole(&mut self, index: &Index) -> io::Result<bool> {
        let frames = u64::from(index.frames);
        let Some(last) = frames.checked_sub(1) else { return Ok(true) };
        self.next_frame = (self.next_frame + 1) % frames;
        // The log is big-endian; the index has the machine's order.
        let [high, low] = index.last_frame_checksum.map(u32::to_be_bytes);
        for (at, expected) in [
            (LOG_SALTS_AT, index.checkpoint.salts),
            (index.frame_at(self.next_frame) + FRAME_SALTS_AT, index.checkpoint.salts),
            (
                index.frame_at(last) + FRAME_CHECKSUM_AT,
                std::array::from_fn(|i| [high, low][i / 4][i % 4]),
            ),
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
