//! Supervision of the long-lived parts of a host.
//!
//! A part that ends without a request to stop leaves a host that looks alive
//! and does only some of its work. The [`Supervisor`] notices its end, and the
//! host drains and ends. The [watchdog] notices a part that is stuck.

mod watchdog;

use std::any::Any;
use std::future::Future;
use std::io;
use std::panic::AssertUnwindSafe;
use std::panic::catch_unwind;
use std::thread;

use futures_util::FutureExt as _;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::error;

pub use watchdog::Beat;
pub use watchdog::Watchdog;

/// The end of a part that was not told to stop.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PartEnded {
    #[error("{part} ended without a request to stop")]
    Returned { part: String },
    #[error("{part} panicked: {message}")]
    Panicked { part: String, message: String },
}

/// Runs the long-lived parts, and reports the first one that ends unasked.
/// Clones share the report.
#[derive(Debug, Clone)]
pub struct Supervisor {
    /// Only the first end counts: others often follow from it.
    first: watch::Sender<Option<PartEnded>>,
}

impl Supervisor {
    /// Creates a supervisor without parts.
    pub fn new() -> Self {
        Self { first: watch::Sender::new(None) }
    }

    /// Wraps the work of a part that may end only after `stopping`.
    pub fn until_stopped<W>(
        &self,
        part: &str,
        stopping: CancellationToken,
        work: W,
    ) -> impl Future<Output = ()> + use<W>
    where
        W: Future<Output = ()>,
    {
        let (supervisor, part, work) = (self.clone(), part.to_owned(), to_end_of(work));
        async move {
            match work.await {
                Err(message) => supervisor.report(PartEnded::Panicked { part, message }),
                Ok(()) if stopping.is_cancelled() => {}
                Ok(()) => supervisor.report(PartEnded::Returned { part }),
            }
        }
    }

    /// Wraps the work of a part that may end by itself, but not by a panic.
    pub fn until_done<W>(&self, part: &str, work: W) -> impl Future<Output = ()> + use<W>
    where
        W: Future<Output = ()>,
    {
        let (supervisor, part, work) = (self.clone(), part.to_owned(), to_end_of(work));
        async move {
            if let Err(message) = work.await {
                supervisor.report(PartEnded::Panicked { part, message });
            }
        }
    }

    /// Starts a thread that ends by itself when its work is over. A panic in it
    /// is reported.
    ///
    /// # Errors
    ///
    /// Returns the system's error if the thread cannot be started.
    pub fn thread(
        &self,
        part: &'static str,
        work: impl FnOnce() + Send + 'static,
    ) -> io::Result<()> {
        let supervisor = self.clone();
        let guarded = move || {
            // The values that the work owns are dropped by the unwinding, so
            // no broken state is seen afterwards.
            if let Err(panic) = catch_unwind(AssertUnwindSafe(work)) {
                let message = panic_message(&*panic);
                supervisor.report(PartEnded::Panicked { part: part.to_owned(), message });
            }
        };
        thread::Builder::new().name(part.to_owned()).spawn(guarded).map(drop)
    }

    /// Returns the first part that ended unasked, when one has.
    pub async fn part_ended(&self) -> PartEnded {
        let mut first = self.first.subscribe();
        let ended = first.wait_for(Option::is_some).await;
        let ended = ended.expect("the supervisor holds a sender");
        ended.clone().expect("the wait ends with a value")
    }

    fn report(&self, ended: PartEnded) {
        error!(event = "part-ended", "Part of the host is gone: {ended}");
        self.first.send_if_modified(|first| {
            let is_first = first.is_none();
            first.get_or_insert(ended);
            is_first
        });
    }
}

/// Runs `work`, and returns the text of a panic as the error.
async fn to_end_of(work: impl Future<Output = ()>) -> Result<(), String> {
    let ended = AssertUnwindSafe(work).catch_unwind().await;
    ended.map_err(|panic| panic_message(&*panic))
}

/// Returns the text of a panic. `panic!` makes a `&str` or a `String`.
pub fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("a panic without a text").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_part_that_ends_or_panics_unasked_is_reported() {
        let ended = Supervisor::new();
        ended.until_stopped("the watcher", CancellationToken::new(), async {}).await;
        let report = ended.part_ended().await.to_string();
        assert_eq!(report, "the watcher ended without a request to stop");

        let panicked = Supervisor::new();
        let work = async { panic!("boom {}", 1) };
        panicked.until_stopped("the watcher", CancellationToken::new(), work).await;
        panicked.until_done("another", async { panic!("later") }).await;
        assert_eq!(panicked.part_ended().await.to_string(), "the watcher panicked: boom 1");

        let thread = Supervisor::new();
        thread.thread("the writer", || panic!("boom")).unwrap();
        assert_eq!(thread.part_ended().await.to_string(), "the writer panicked: boom");
    }

    #[tokio::test]
    async fn a_part_that_was_told_to_stop_is_not_reported() {
        let supervisor = Supervisor::new();
        let stopping = CancellationToken::new();
        stopping.cancel();
        supervisor.until_stopped("the watcher", stopping, async {}).await;
        supervisor.until_done("the drain", async {}).await;
        assert!(supervisor.part_ended().now_or_never().is_none());
    }
}
