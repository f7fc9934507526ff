//! The bytes that another process appends to the write-ahead log of its SQLite
//! file.
//!
//! SQLite shares the number of frames in the log through the `-shm` file. A
//! thread reads that number every millisecond and adds up its growth, without
//! a lock or a transaction, so the measured process is not affected. When the
//! log starts again from its beginning, its salt changes; frames that were
//! appended after the last reading still carry the former salt until they are
//! overwritten, and are counted in the log itself. Numbers and places are from
//! the description of the format at sqlite.org/walformat.html.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::thread;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context as _;

/// The interval of readings: shorter than a commit, so that at most a few are
/// counted in the log itself.
const INTERVAL: Duration = Duration::from_millis(1);

/// Bytes of one of the two copies of the header in the `-shm` file.
const INDEX_HEADER: usize = 48;

/// Bytes of the log's own header, and of each frame's.
const LOG_HEADER: u64 = 32;
const FRAME_HEADER: u64 = 24;

/// Counts until it is stopped.
pub struct LogMeter {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<anyhow::Result<u64>>,
}

/// A reading of the log's state.
#[derive(Clone, Copy, PartialEq)]
struct Reading {
    frames: u64,
    page_bytes: u64,
    salt: [u8; 8],
}

/// The two files of a log.
struct Log {
    index: File,
    frames: File,
}

impl LogMeter {
    /// Starts to count for the SQLite file at `database`, which a process has
    /// open.
    pub fn start(database: &Path) -> anyhow::Result<Self> {
        let log = Log { index: open(database, "-shm")?, frames: open(database, "-wal")? };
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || log.count(&stopped));
        Ok(Self { stop, thread })
    }

    /// Returns the bytes that were appended since the start.
    pub fn stop(self) -> anyhow::Result<u64> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("the counting thread does not panic")
    }
}

impl Log {
    fn count(&self, stop: &AtomicBool) -> anyhow::Result<u64> {
        let mut last: Option<Reading> = None;
        let mut bytes = 0;
        loop {
            // Read before the state, so that the last reading is a whole one.
            let is_last = stop.load(Ordering::Relaxed);
            if let Some(now) = self.read()? {
                let frames = match last {
                    None => 0,
                    Some(last) if last.salt == now.salt => now.frames.saturating_sub(last.frames),
                    Some(last) => now.frames + self.left_over(last),
                };
                bytes += frames * (now.page_bytes + FRAME_HEADER);
                last = Some(now);
                if is_last {
                    return Ok(bytes);
                }
            }
            thread::sleep(INTERVAL);
        }
    }

    /// Returns the state, or `None` while the process changes it.
    fn read(&self) -> anyhow::Result<Option<Reading>> {
        let mut copies = [0; 2 * INDEX_HEADER];
        self.index.read_exact_at(&mut copies, 0).context("reading the index of a log")?;
        let (first, second) = copies.split_at(INDEX_HEADER);
        if first != second {
            return Ok(None);
        }
        let page_bytes = u16::from_ne_bytes([first[14], first[15]]);
        let frames = u32::from_ne_bytes([first[16], first[17], first[18], first[19]]);
        let mut salt = [0; 8];
        salt.copy_from_slice(&first[32..40]);
        Ok(Some(Reading { frames: frames.into(), page_bytes: page_bytes.into(), salt }))
    }

    /// Returns the number of frames that were appended after the reading `last`
    /// and before the log started again.
    fn left_over(&self, last: Reading) -> u64 {
        let mut frames = 0;
        let mut header = [0; 16];
        loop {
            let place = LOG_HEADER + (last.frames + frames) * (last.page_bytes + FRAME_HEADER);
            match self.frames.read_exact_at(&mut header, place) {
                Ok(()) if header[8..] == last.salt => frames += 1,
                Ok(()) | Err(_) => return frames,
            }
        }
    }
}

fn open(database: &Path, suffix: &str) -> anyhow::Result<File> {
    let mut path = database.as_os_str().to_owned();
    path.push(suffix);
    let path = PathBuf::from(path);
    File::open(&path).with_context(|| format!("opening {}", path.display()))
}
