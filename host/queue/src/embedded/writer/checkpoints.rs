//! Checkpoints: the log is copied to the database, beside the writer where that
//! is possible.
//!
//! SQLite's own checkpoints run inside a commit, for which every caller would
//! wait. Here a thread with a connection of its own copies the log while the
//! writer commits. A log that is always written is never copied as a whole by
//! that, so the writer does the rest of a large one, between two transactions:
//! little is left then, and the next commit resets the log, which means that it
//! writes from the beginning of the file again.
//!
//! Only one checkpoint runs at a time, and it is started when the log has frames
//! that were not copied.

use std::sync::mpsc;
use std::sync::mpsc::Receiver;
use std::sync::mpsc::Sender;
use std::sync::mpsc::TryRecvError;
use std::thread::JoinHandle;
use std::time::Duration;
use std::time::Instant;

use rusqlite::Connection;

use crate::embedded::log_index::LogIndex;
use crate::embedded::schema;
use crate::embedded::schema::RESET_BYTES;
use crate::embedded::sorting::Phase;
use crate::embedded::sorting::Verdict;
use crate::embedded::sorting::sort;

/// The bytes of the log that are copied at once, and the size at which the log is
/// reset while the disk is full. Larger than what most commits write, so that a
/// page that changes often is copied once for many changes; smaller than
/// the reserve, so that both fit into it on a full disk.
const COPY_BYTES: u64 = 4 * 1024 * 1024;

/// The pause after a checkpoint that could not copy everything, or after which
/// the log is not reset, because a reader needs the log or the disk is
/// full.
const PAUSE: Duration = Duration::from_millis(100);

/// The checkpoints of one queue.
pub struct Checkpoints {
    /// `None` once the thread is asked to end.
    orders: Option<Sender<()>>,
    results: Receiver<rusqlite::Result<Copied>>,
    thread: Option<JoinHandle<Connection>>,
    /// The connection of the thread, when that has ended.
    sql: Option<Connection>,
    /// The thread has an order.
    running: bool,
    index: LogIndex,
    reset_bytes: u64,
    not_before: Instant,
    /// The salts of the log that the writer has copied as a whole, and that is
    /// to be reset.
    to_reset: Option<[u8; 8]>,
}

/// The result of a checkpoint that has left the state of the file known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Copied {
    All,
    /// A reader needs the rest, or there is no room for it.
    Part,
}

/// The next step for a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Nothing,
    /// A checkpoint by the thread, while the writer goes on.
    Concurrent,
    /// A checkpoint by the writer.
    ByWriter,
}

/// The reason why the queue cannot go on.
pub enum CheckpointFailed {
    Storage(rusqlite::Error),
    /// The thread has panicked.
    Ended,
}

impl Checkpoints {
    /// Starts the thread, with a connection for its use alone. The log of a
    /// queue that refuses messages above `max_bytes` is reset well below.
    pub fn start(sql: Connection, index: LogIndex, max_bytes: u64) -> std::io::Result<Self> {
        let (orders, ordered) = mpsc::channel::<()>();
        let (reporting, results) = mpsc::channel();
        let work = move || {
            for () in ordered {
                // The queue may be closed meanwhile.
                let _ = reporting.send(checkpoint(&sql));
            }
            sql
        };
        let thread = std::thread::Builder::new().name("queue-checkpoint".to_owned()).spawn(work)?;
        Ok(Self {
            orders: Some(orders),
            results,
            thread: Some(thread),
            sql: None,
            running: false,
            index,
            reset_bytes: RESET_BYTES.min(max_bytes / 2),
            not_before: Instant::now(),
            to_reset: None,
        })
    }

    /// Keeps the log small. To be called between two transactions, with the
    /// writer's connection.
    ///
    /// # Errors
    ///
    /// [`CheckpointFailed`], also for a checkpoint that was started earlier.
    pub fn tend(&mut self, sql: &Connection, has_room: bool) -> Result<(), CheckpointFailed> {
        match self.results.try_recv() {
            Ok(result) => {
                self.running = false;
                self.note(result)?;
            }
            Err(TryRecvError::Empty) => {}
            Err(TryRecvError::Disconnected) => return Err(CheckpointFailed::Ended),
        }
        if self.running || Instant::now() < self.not_before {
            return Ok(());
        }
        // An index that cannot be read, or that another process changes, is read
        // again after the next transaction.
        let Ok(Some(index)) = self.index.read() else { return Ok(()) };
        let (frames, copied) = (u64::from(index.frames), u64::from(index.checkpoint.copied));
        let log = Log {
            bytes: index.frame_at(frames),
            uncopied_bytes: index.frame_at(frames) - index.frame_at(copied.min(frames)),
        };
        match next_step(log, has_room, self.reset_bytes) {
            Step::Nothing => Ok(()),
            Step::Concurrent => {
                self.running = true;
                let ordered = self.orders.as_ref().is_some_and(|orders| orders.send(()).is_ok());
                if ordered { Ok(()) } else { Err(CheckpointFailed::Ended) }
            }
            Step::ByWriter => {
                // A reader can keep the log from being reset although everything
                // was copied.
                let salts = Some(index.checkpoint.salts);
                if std::mem::replace(&mut self.to_reset, salts) == salts {
                    self.not_before = Instant::now() + PAUSE;
                }
                self.note(checkpoint(sql))
            }
        }
    }

    /// Returns true while the thread copies the log.
    pub fn is_running(&self) -> bool {
        self.running
    }

    /// Ends the thread after its checkpoint.
    pub fn stop(&mut self) {
        self.orders = None;
        if let Some(thread) = self.thread.take() {
            // A panic has closed the connection.
            self.sql = thread.join().ok();
        }
    }

    /// Closes the connection. Returns the index, to be dropped after the last
    /// connection.
    pub fn close(mut self) -> LogIndex {
        self.stop();
        drop(self.sql);
        self.index
    }

    fn note(&mut self, result: rusqlite::Result<Copied>) -> Result<(), CheckpointFailed> {
        match result.map_err(CheckpointFailed::Storage)? {
            Copied::All => {}
            Copied::Part => self.not_before = Instant::now() + PAUSE,
        }
        Ok(())
    }
}

/// The size of a log, and the part of it that is not in the database.
#[derive(Debug, Clone, Copy)]
struct Log {
    bytes: u64,
    uncopied_bytes: u64,
}

fn next_step(log: Log, has_room: bool, reset_bytes: u64) -> Step {
    // On a full disk the log must be reset before it has filled the reserve.
    let bytes_max = if has_room { reset_bytes } else { COPY_BYTES };
    if log.uncopied_bytes == 0 {
        // The next commit resets the log, unless a reader needs it.
        Step::Nothing
    } else if has_room && log.uncopied_bytes > COPY_BYTES {
        Step::Concurrent
    } else if log.bytes > bytes_max {
        Step::ByWriter
    } else {
        Step::Nothing
    }
}

/// Copies as much of the log as readers allow, and waits for none of them.
fn checkpoint(sql: &Connection) -> rusqlite::Result<Copied> {
    let copied = schema::checkpoint(sql, "PASSIVE");
    copied.map(|all| if all { Copied::All } else { Copied::Part }).or_else(|error| {
        match sort(sql, &error, Phase::Begin) {
            // Nothing is in doubt, because the log stays as it is.
            Verdict::Wait | Verdict::Full => Ok(Copied::Part),
            Verdict::Stop => Err(error),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_is_copied_beside_the_writer_and_reset_at_its_bound() {
        const MIB: u64 = 1024 * 1024;
        for (mib, uncopied, has_room, expected) in [
            (1, 1, true, Step::Nothing),
            (5, 5, true, Step::Concurrent),
            (20, 2, true, Step::Nothing),
            (33, 5, true, Step::Concurrent),
            (33, 2, true, Step::ByWriter),
            (33, 0, true, Step::Nothing),
            (3, 3, false, Step::Nothing),
            (5, 5, false, Step::ByWriter),
            (20, 1, false, Step::ByWriter),
            (20, 0, false, Step::Nothing),
        ] {
            let log = Log { bytes: mib * MIB, uncopied_bytes: uncopied * MIB };
            assert_eq!(next_step(log, has_room, RESET_BYTES), expected, "{log:?}, {has_room}");
        }
    }
}
