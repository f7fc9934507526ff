//! The writer: stores what gathers, on a thread of its own.

use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use metrics::gauge;
use tracing::info;
use tracing::warn;

use crate::Config;
use crate::bounds;
use crate::buffer::Buffer;
use crate::buffer::Gathered;
use crate::buffer::count_dropped;
use crate::prune;
use crate::prune::AgeCursor;
use crate::store::OpenError;
use crate::store::Store;
use crate::store::identity;
use crate::store::is_damage;
use hoth_core::domain::Timestamp;
use hoth_platform::clock::Clock;

/// Pauses while the file cannot be written: from the first, doubled up to the
/// second.
const BACKOFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// The tries to store a part in a file that is full. Old jobs are deleted before
/// each of them.
const FULL_TRIES_MAX: u32 = 3;

/// The time between two passes of the deletion by age.
const AGE_PASS_EVERY: Duration = Duration::from_secs(600);

/// The writer, which [`Writer::run`] runs on a thread of its own.
#[derive(Debug)]
pub struct Writer {
    buffer: Arc<Buffer>,
    path: PathBuf,
    max_bytes: u64,
    max_age: Duration,
    clock: Clock,
}

impl Writer {
    pub(crate) fn new(config: &Config, buffer: Arc<Buffer>, clock: Clock) -> Self {
        let (path, max_bytes, max_age) = (config.path.clone(), config.max_bytes, config.max_age());
        Self { buffer, path, max_bytes, max_age, clock }
    }

    /// Writes what gathers until the trail is closed. Blocks.
    pub fn run(self) {
        let mut file = File { writer: &self, store: None, retry: None, age: Age::default() };
        // Opened before anything has gathered, so that a query of a new host
        // finds a file.
        file.write(&Gathered::default());
        let events_max = bounds::events(self.max_bytes);
        while let Some(gathered) = self.buffer.take() {
            let mut rest = gathered;
            while let Some(part) = rest.take(events_max) {
                file.write(&part);
                self.buffer.settled(part.events());
            }
        }
        self.buffer.ended();
    }
}

/// The state of the writer.
struct File<'a> {
    writer: &'a Writer,
    /// The open file, and its identity at that time.
    store: Option<(Store, Option<(u64, u64)>)>,
    /// The time of the next try to open the file, and the pause before it;
    /// `None` if the last try succeeded.
    retry: Option<(Instant, Duration)>,
    age: Age,
}

/// The deletion by age.
#[derive(Default)]
struct Age {
    cursor: AgeCursor,
    /// The end of the last pass; `None` in the midst of one.
    passed_at: Option<Instant>,
}

impl File<'_> {
    /// Writes a part of what has gathered. Waits while the file cannot be
    /// written, and gives up if the buffer has been closed.
    fn write(&mut self, part: &Gathered) {
        let mut full = 0;
        loop {
            let Err(error) = self.try_write(part, full > 0) else { return self.recovered() };
            self.failed(&error);
            full += u32::from(is_full(&error));
            if full > FULL_TRIES_MAX || self.writer.buffer.is_closed() {
                return count_dropped(part.events());
            }
            let pause = self.retry.map(|(_, pause)| pause);
            // Without a pause after a file was set aside.
            if let Some(pause) = pause {
                self.writer.buffer.wait(pause);
            }
        }
    }

    fn try_write(&mut self, part: &Gathered, was_full: bool) -> Result<(), OpenError> {
        let (path, now) = (&self.writer.path, self.writer.clock.now());
        // An operator may have deleted or replaced the file.
        if self.store.as_ref().is_some_and(|(_, opened)| identity(path) != *opened) {
            self.store = None;
        }
        let (store, _) = match &mut self.store {
            Some(open) => open,
            none => {
                let store = Store::open(path, self.writer.max_bytes)?;
                none.insert((store, identity(path)))
            }
        };
        prune::by_size(&store.sql, was_full)?;
        store.write(part)?;
        self.age.step(store, now, self.writer.max_age)?;
        Ok(())
    }

    fn failed(&mut self, error: &OpenError) {
        self.store = None;
        let (path, first) = (&self.writer.path, self.retry.is_none());
        gauge!("hoth_trail_writable").set(0.0);
        let damaged = match error {
            OpenError::Unusable(error) => is_damage(error),
            OpenError::Later(_) | OpenError::Foreign | OpenError::Directory(_) => false,
        };
        if damaged && set_aside(path) {
            self.retry = None;
            return;
        }
        let pause = self.retry.map_or(BACKOFF.0, |(_, pause)| (pause * 2).min(BACKOFF.1));
        self.retry = Some((Instant::now() + pause, pause));
        // Once: the gauge shows that it goes on.
        if first {
            warn!(
                event = "trail-failed", path = %path.display(),
                error = error as &dyn std::error::Error,
                "The trail cannot be written; jobs are not affected; trying again",
            );
        }
    }

    fn recovered(&mut self) {
        gauge!("hoth_trail_writable").set(1.0);
        if self.retry.take().is_some() {
            info!(event = "trail-written", "The trail is written again");
        }
    }
}

impl Age {
    fn step(&mut self, store: &Store, now: Timestamp, max_age: Duration) -> rusqlite::Result<()> {
        if self.passed_at.is_some_and(|passed| passed.elapsed() < AGE_PASS_EVERY) {
            return Ok(());
        }
        let max_age = u64::try_from(max_age.as_millis()).unwrap_or(u64::MAX);
        let before = Timestamp::from_millis(now.as_millis().saturating_sub(max_age));
        let has_passed = prune::by_age(&store.sql, &mut self.cursor, before, now)?;
        self.passed_at = has_passed.then(Instant::now);
        Ok(())
    }
}

fn is_full(error: &OpenError) -> bool {
    let OpenError::Unusable(error) = error else { return false };
    error.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull)
}

/// Renames a damaged file, for an operator to look at, and removes its log.
/// Returns false if that fails. A file that was set aside before is replaced,
/// so that broken disks do not fill up with them.
fn set_aside(path: &Path) -> bool {
    let beside = |suffix: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        PathBuf::from(name)
    };
    let aside = beside(".damaged");
    match std::fs::rename(path, &aside) {
        Ok(()) => {
            for suffix in ["-wal", "-shm"] {
                // Each may be missing.
                drop(std::fs::remove_file(beside(suffix)));
            }
            warn!(
                event = "trail-damaged", path = %path.display(), aside = %aside.display(),
                "The trail was damaged; it was renamed, and a new one begins",
            );
            true
        }
        Err(error) => {
            warn!(
                event = "trail-damaged", path = %path.display(),
                error = &error as &dyn std::error::Error,
                "The trail is damaged and cannot be renamed",
            );
            false
        }
    }
}
