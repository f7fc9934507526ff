//! The record of the calls of a server.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;

use tokio::sync::Notify;

use super::call::Call;

/// The largest number of kept calls; later ones are only counted. A test makes
/// a few; a benchmark, which makes more, should not record.
pub const CALLS_MAX: usize = 100_000;

/// The largest memory of the kept calls, in bytes.
const BYTES_MAX: usize = 256 * 1024 * 1024;

/// The largest number of kept violations; the first ones show the mistake.
const VIOLATIONS_MAX: usize = 1000;

/// Counters and memory of one server. Counting always happens and costs no
/// lock; keeping can be switched off.
pub struct Record {
    keeps: AtomicBool,
    calls: AtomicUsize,
    at_once: AtomicUsize,
    most_at_once: AtomicUsize,
    kept: Mutex<Kept>,
    /// Notified whenever anything here grows.
    changed: Notify,
}

#[derive(Default)]
struct Kept {
    calls: Vec<Arc<Call>>,
    bytes: usize,
    violations: Vec<String>,
}

/// A call that is being answered, until it is dropped.
pub struct UnderWay<'a>(&'a Record);

impl Default for Record {
    fn default() -> Self {
        Self {
            keeps: AtomicBool::new(true),
            calls: AtomicUsize::new(0),
            at_once: AtomicUsize::new(0),
            most_at_once: AtomicUsize::new(0),
            kept: Mutex::default(),
            changed: Notify::new(),
        }
    }
}

impl Record {
    pub fn switch(&self, on: bool) {
        self.keeps.store(on, Ordering::Relaxed);
    }

    /// Records a call that is going to be answered.
    pub fn begin(&self, call: &Arc<Call>) -> UnderWay<'_> {
        if self.keeps.load(Ordering::Relaxed) {
            let mut kept = self.kept();
            if kept.calls.len() < CALLS_MAX && kept.bytes < BYTES_MAX {
                kept.bytes += call.size();
                kept.calls.push(Arc::clone(call));
            }
        }
        let now = self.at_once.fetch_add(1, Ordering::SeqCst) + 1;
        self.most_at_once.fetch_max(now, Ordering::SeqCst);
        // Counted last, so that a task that waits for the count finds the rest.
        self.calls.fetch_add(1, Ordering::SeqCst);
        self.changed.notify_waiters();
        UnderWay(self)
    }

    /// Records the rules that a call broke.
    pub fn violated(&self, line: &str, broken: &[String]) {
        let mut kept = self.kept();
        let room = VIOLATIONS_MAX - kept.violations.len();
        kept.violations.extend(broken.iter().take(room).map(|rule| format!("{line}: {rule}")));
        drop(kept);
        self.changed.notify_waiters();
    }

    pub fn calls(&self) -> Vec<Arc<Call>> {
        self.kept().calls.clone()
    }

    pub fn call_count(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    pub fn at_once(&self) -> usize {
        self.at_once.load(Ordering::SeqCst)
    }

    pub fn most_at_once(&self) -> usize {
        self.most_at_once.load(Ordering::SeqCst)
    }

    /// Returns all violations but the first `seen`.
    pub fn violations(&self, seen: usize) -> Vec<String> {
        self.kept().violations.get(seen..).unwrap_or_default().to_vec()
    }

    /// Calls `look` after every change until it returns something.
    pub async fn wait_for<T>(&self, look: impl Fn() -> Option<T>) -> T {
        loop {
            // Subscribed before looking, so that no change is missed in
            // between.
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            if let Some(found) = look() {
                return found;
            }
            changed.await;
        }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.at_once.fetch_sub(1, Ordering::SeqCst);
    }
}
