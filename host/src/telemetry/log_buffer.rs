//! The buffer between the log lines of a process and standard error.
//!
//! A thread of its own writes the lines, many in one write, so that a reader
//! that stalls stops no other thread. While the reader stalls, lines gather in
//! the buffer. When its first part is full, lines are dropped and counted; the
//! second part is for audit lines alone. When that is full, too, one audit line
//! waits for at most a second; if the reader still stalls, that line and the
//! ones after it are dropped and counted as well, until the reader goes on.

use std::borrow::Cow;
use std::convert::Infallible;
use std::io;
use std::io::Write;
use std::panic::AssertUnwindSafe;
use std::panic::catch_unwind;
use std::sync::Arc;
use std::sync::Condvar;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::thread;
use std::time::Duration;

use tracing::Metadata;
use tracing::warn;
use tracing_subscriber::fmt::MakeWriter;

use crate::http::audit;
use crate::metrics::table;
use crate::supervisor::panic_message;
use hoth_core::domain::printable;
use hoth_platform::failpoint;
use hoth_platform::failpoint::FailPoint;

/// The sizes of the two parts of the buffer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Room {
    /// For all lines, in bytes.
    pub all: usize,
    /// For audit lines, in bytes, beyond the other part.
    pub audit: usize,
    /// The longest wait of an audit line for room.
    pub audit_wait: Duration,
}

/// Room for the lines of several hundred jobs, and for the audit lines of ten
/// thousand.
pub(super) const ROOM: Room =
    Room { all: 1 << 20, audit: 4 << 20, audit_wait: Duration::from_secs(1) };

/// The time in which the thread gathers lines before it writes them together. A
/// busy host logs dozens of lines meanwhile, and a system call for each would
/// take longer than making it. A host that is killed loses the lines of this
/// time.
const GATHERING: Duration = Duration::from_millis(2);

/// The class of a line, which decides if it may be dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    Audit,
    Other,
}

impl Class {
    const ALL: [Self; 2] = [Self::Audit, Self::Other];

    fn name(self) -> &'static str {
        match self {
            Self::Audit => "audit",
            Self::Other => "other",
        }
    }
}

/// Registers the metrics of the log, so that the first dropped line is an
/// increase.
pub fn register_metrics() {
    for class in Class::ALL {
        table::LOG_LINES_DROPPED.with(&[class.name()]).increment(0);
    }
}

/// The lines that wait to be written.
#[derive(Debug, Default)]
struct Pending {
    bytes: Vec<u8>,
    /// The lines dropped since the last report.
    dropped: u64,
    /// The thread is in a write, which may not return.
    is_writing: bool,
    /// An audit line has waited in vain, and the reader has not moved since.
    has_stalled: bool,
}

#[derive(Debug)]
struct Shared {
    room: Room,
    pending: Mutex<Pending>,
    /// Wakes the thread.
    arrived: Condvar,
    /// Wakes waiting lines and flushes.
    written: Condvar,
}

/// The buffer, as the source of lines sees it. Clones share it.
#[derive(Debug, Clone)]
pub(super) struct LogBuffer(Arc<Shared>);

impl LogBuffer {
    /// Starts the thread that writes to `output`. If the thread panics, it
    /// writes what it has, a line that `last_line` makes of the reason, and calls
    /// `ended`, its last act.
    ///
    /// # Errors
    ///
    /// Returns the system's error if the thread cannot be started.
    pub fn start(
        mut output: impl Write + Send + 'static,
        room: Room,
        last_line: impl FnOnce(&str) -> String + Send + 'static,
        ended: impl FnOnce() + Send + 'static,
    ) -> io::Result<Self> {
        let buffer = Self(Arc::new(Shared {
            room,
            pending: Mutex::default(),
            arrived: Condvar::new(),
            written: Condvar::new(),
        }));
        let writer = buffer.clone();
        let write = move || {
            let panic = catch_unwind(AssertUnwindSafe(|| writer.write_forever(&mut output)));
            let Err(panic) = panic;
            let reason = panic_message(&*panic);
            let sentence = format!("the thread that writes the log panicked: {reason}");
            writer.push_last(&last_line(&sentence));
            // The lines that are still in the buffer are of the time before the
            // panic, or tell of it.
            let rest = std::mem::take(&mut writer.pending().bytes);
            let _ = output.write_all(&rest);
            ended();
        };
        thread::Builder::new().name("log-writer".to_owned()).spawn(write)?;
        Ok(buffer)
    }

    /// Adds text that is written whatever the room is: the last message of a
    /// process.
    pub fn push_last(&self, text: &str) {
        self.pending().bytes.extend_from_slice(text.as_bytes());
        self.0.arrived.notify_one();
    }

    /// Waits until every line is written, for `patience` at most.
    pub fn flush(&self, patience: Duration) {
        let is_busy = |pending: &mut Pending| pending.is_writing || !pending.bytes.is_empty();
        drop(self.0.written.wait_timeout_while(self.pending(), patience, is_busy));
    }

    fn pending(&self) -> MutexGuard<'_, Pending> {
        // A panic elsewhere leaves whole lines behind.
        self.0.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, class: Class, line: &[u8]) {
        let room = self.0.room;
        let mut pending = self.pending();
        let limit = match class {
            Class::Audit => room.all + room.audit,
            Class::Other => room.all,
        };
        let is_full = |pending: &mut Pending| pending.bytes.len() + line.len() > limit;
        if class == Class::Audit && is_full(&mut pending) && !pending.has_stalled {
            let waited = self.0.written.wait_timeout_while(pending, room.audit_wait, is_full);
            pending = waited.unwrap_or_else(PoisonError::into_inner).0;
            // One line waits, and the others do not: the wait blocks a thread
            // that other work needs.
            pending.has_stalled = is_full(&mut pending);
        }
        if is_full(&mut pending) {
            pending.dropped += 1;
            drop(pending);
            table::LOG_LINES_DROPPED.with(&[class.name()]).increment(1);
            return;
        }
        // The thread looks at the buffer before it waits, so only the first line
        // has to wake it: each wake is a system call.
        let is_first = pending.bytes.is_empty();
        pending.bytes.extend_from_slice(line);
        drop(pending);
        if is_first {
            self.0.arrived.notify_one();
        }
    }

    fn write_forever(&self, output: &mut impl Write) -> Infallible {
        let mut batch = Vec::new();
        loop {
            failpoint::reach(FailPoint::LogWriter);
            drop(self.0.arrived.wait_while(self.pending(), |p| p.bytes.is_empty()));
            thread::sleep(GATHERING);
            let mut pending = self.pending();
            std::mem::swap(&mut pending.bytes, &mut batch);
            pending.is_writing = true;
            drop(pending);
            // Lines that cannot be written have no better place to go.
            let _ = output.write_all(&batch);
            batch.clear();
            let mut pending = self.pending();
            (pending.is_writing, pending.has_stalled) = (false, false);
            let dropped = std::mem::take(&mut pending.dropped);
            drop(pending);
            self.0.written.notify_all();
            if dropped > 0 {
                // Without the lock, because the line goes through this buffer.
                warn!(
                    event = "log-lines-dropped",
                    lines = dropped,
                    "Log lines were dropped: standard error was read too slowly"
                );
            }
        }
    }
}

impl<'a> MakeWriter<'a> for LogBuffer {
    type Writer = LineWriter<'a>;

    fn make_writer(&'a self) -> Self::Writer {
        LineWriter { buffer: self, class: Class::Other }
    }

    fn make_writer_for(&'a self, metadata: &Metadata<'_>) -> Self::Writer {
        let class = if metadata.target() == audit::TARGET { Class::Audit } else { Class::Other };
        LineWriter { buffer: self, class }
    }
}

/// The writer of one event. The subscriber writes a whole event at once.
pub(super) struct LineWriter<'a> {
    buffer: &'a LogBuffer,
    class: Class,
}

impl Write for LineWriter<'_> {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        self.buffer.push(self.class, &one_line(event));
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Returns an event as exactly one line: text in it, of adapters and clients
/// for example, must not forge lines of other sources. The colors of the format
/// stay, for which the format escapes ESC in all values.
fn one_line(event: &[u8]) -> Cow<'_, [u8]> {
    // Nearly every line of a busy host is plain already.
    if let [text @ .., b'\n'] = event
        && text.iter().all(|byte| matches!(byte, b' '..=b'~'))
    {
        return Cow::Borrowed(event);
    }
    let text = String::from_utf8_lossy(event);
    let text = text.strip_suffix('\n').unwrap_or(&text);
    let pieces: Vec<_> = text.split('\u{1b}').map(printable).collect();
    let mut line = pieces.join("\u{1b}").into_bytes();
    line.push(b'\n');
    Cow::Owned(line)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// An output that takes a write for each value of the channel.
    struct Stalling(mpsc::Receiver<()>, mpsc::Sender<Vec<u8>>);

    impl Write for Stalling {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.recv().map_err(io::Error::other)?;
            self.1.send(bytes.to_vec()).map_err(io::Error::other)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_stalled_reader_drops_lines_and_keeps_audit_lines_as_long_as_there_is_room() {
        let (go, gate) = mpsc::channel();
        let (sent, written) = mpsc::channel();
        let room = Room { all: 8, audit: 8, audit_wait: Duration::from_millis(50) };
        let buffer = LogBuffer::start(Stalling(gate, sent), room, str::to_owned, || ()).unwrap();
        buffer.push(Class::Other, b"first\n");
        // The thread has taken the line, and waits in its write.
        while !buffer.pending().is_writing {
            thread::yield_now();
        }
        for line in ["other1\n", "other2\n"] {
            buffer.push(Class::Other, line.as_bytes());
        }
        for line in ["audit1\n", "audit2\n", "audit3\n"] {
            buffer.push(Class::Audit, line.as_bytes());
        }
        assert_eq!(buffer.pending().dropped, 3);
        assert!(buffer.pending().has_stalled, "one line has waited in vain");
        go.send(()).unwrap();
        go.send(()).unwrap();
        buffer.flush(Duration::from_secs(60));
        let lines: Vec<u8> = written.try_iter().flatten().collect();
        assert_eq!(String::from_utf8(lines).unwrap(), "first\nother1\naudit1\n");
        assert!(!buffer.pending().has_stalled);
    }

    /// An output that panics at its first write.
    struct Panicking(bool, mpsc::Sender<Vec<u8>>);

    impl Write for Panicking {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            assert!(std::mem::replace(&mut self.0, true), "the test wants this");
            self.1.send(bytes.to_vec()).map_err(io::Error::other)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_panic_of_the_thread_is_written_and_reported() {
        let (sent, written) = mpsc::channel();
        let (ending, ended) = mpsc::channel();
        let ended_by = move || ending.send(()).unwrap();
        let buffer =
            LogBuffer::start(Panicking(false, sent), ROOM, str::to_owned, ended_by).unwrap();
        buffer.push(Class::Other, b"first\n");
        ended.recv().unwrap();
        let last = String::from_utf8(written.recv().unwrap()).unwrap();
        let sentence = "the thread that writes the log panicked: the test wants this";
        assert!(last.ends_with(sentence), "{last}");
    }

    #[test]
    fn an_event_is_one_line() {
        for (event, expected) in [
            ("plain\n", "plain\n"),
            ("note x\nINFO audit: act=\"deploy\"\n", "note x\\nINFO audit: act=\"deploy\"\n"),
            ("\u{1b}[2mdim\u{1b}[0m\n", "\u{1b}[2mdim\u{1b}[0m\n"),
            ("Ümläut\u{7f}\n", "Ümläut\\u{7f}\n"),
            ("unended", "unended\n"),
            ("\n", "\n"),
            ("", "\n"),
        ] {
            assert_eq!(str::from_utf8(&one_line(event.as_bytes())).unwrap(), expected);
        }
    }
}
