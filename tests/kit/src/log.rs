//! The log of a host, read as it is written.

use std::fs::File;
use std::io::BufRead as _;
use std::io::BufReader;
use std::io::Read;
use std::io::Write as _;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::thread;

use anyhow::Context as _;
use serde_json::Value;
use tokio::sync::watch;

/// Everything that a host has written to its standard error. A line that is
/// not JSON is kept as a string.
#[derive(Clone)]
pub struct HostLog {
    shared: Arc<Shared>,
}

struct Shared {
    lines: Mutex<Vec<Value>>,
    /// Wakes the followers; the lines themselves are not in it.
    progress: watch::Sender<Progress>,
}

#[derive(Clone, Copy, Default)]
struct Progress {
    lines: usize,
    has_ended: bool,
}

/// The second destination of the log lines, beside [`HostLog`].
pub(crate) enum Tee {
    /// No second destination.
    Nothing,
    /// Standard error of this process, which belongs to the running test.
    StandardError,
    /// A file, to which the lines are appended as they were written.
    File(File),
}

impl HostLog {
    /// Reads `source` to its end, in a thread of its own: the host must never
    /// wait for a reader, not even while a test blocks its async runtime.
    pub(crate) fn read(source: impl Read + Send + 'static, tee: Tee) -> anyhow::Result<Self> {
        let shared = Arc::new(Shared {
            lines: Mutex::default(),
            progress: watch::Sender::new(Progress::default()),
        });
        let log = Self { shared: Arc::clone(&shared) };
        let reader = move || read(source, &shared, tee);
        let thread = thread::Builder::new().name("host log".to_owned());
        thread.spawn(reader).context("starting the thread that reads the log")?;
        Ok(log)
    }

    fn held(&self) -> MutexGuard<'_, Vec<Value>> {
        self.shared.lines.lock().expect("no thread panics while it holds the log")
    }

    /// Returns the lines so far.
    pub fn lines(&self) -> Vec<Value> {
        self.held().clone()
    }

    /// Returns the lines so far as text.
    pub fn text(&self) -> String {
        let text = |line: &Value| line.as_str().map_or_else(|| line.to_string(), str::to_owned);
        self.held().iter().map(text).collect::<Vec<_>>().join("\n")
    }

    /// Returns a reader of all lines, from the first one on.
    pub fn follow(&self) -> LogFollower {
        let progress = self.shared.progress.subscribe();
        LogFollower { log: self.clone(), next: 0, progress }
    }

    /// Waits until the host has closed its standard error.
    pub async fn ended(&self) {
        let mut progress = self.shared.progress.subscribe();
        // Fails only when the sender is dropped, which `self` keeps.
        let _ = progress.wait_for(|progress| progress.has_ended).await;
    }
}

/// Lines of a log, one after the other, including those to come.
pub struct LogFollower {
    log: HostLog,
    next: usize,
    progress: watch::Receiver<Progress>,
}

impl LogFollower {
    /// Waits for the next line. Returns `None` if the log has ended.
    pub async fn next(&mut self) -> Option<Value> {
        loop {
            // Read before the lines are: a line that arrives in between wakes
            // the wait below, and none follows once the log has ended.
            let has_ended = self.progress.borrow_and_update().has_ended;
            let line = self.log.held().get(self.next).cloned();
            if line.is_some() {
                self.next += 1;
                return line;
            }
            if has_ended {
                return None;
            }
            self.progress.changed().await.ok()?;
        }
    }
}

#[expect(clippy::print_stderr, reason = "the log of the host belongs to the test that runs it")]
fn read(source: impl Read, shared: &Shared, mut tee: Tee) {
    for line in BufReader::new(source).split(b'\n') {
        // A broken pipe ends the log.
        let Ok(line) = line else { break };
        let line = String::from_utf8_lossy(&line);
        match &mut tee {
            Tee::Nothing => {}
            Tee::StandardError => eprintln!("{line}"),
            // A failed copy must not stop the reader: the host would block.
            Tee::File(file) => drop(writeln!(file, "{line}")),
        }
        let line = serde_json::from_str(&line).unwrap_or_else(|_| Value::from(line.as_ref()));
        shared.lines.lock().expect("no thread panics while it holds the log").push(line);
        shared.progress.send_modify(|progress| progress.lines += 1);
    }
    shared.progress.send_modify(|progress| progress.has_ended = true);
}
