//! The background tasks of this backend: polls, and releases of messages.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio_util::task::TaskTracker;

/// Tasks that outlive the calls that start them. A stop waits for them.
pub struct BackgroundTasks {
    tasks: TaskTracker,
    /// The runtime of the tasks: a lease may be dropped on any thread.
    runtime: Handle,
    /// True when a task has panicked.
    panicked: watch::Sender<bool>,
}

impl BackgroundTasks {
    /// Makes the tracker of the tasks of the current runtime.
    pub fn new() -> Self {
        Self {
            tasks: TaskTracker::new(),
            runtime: Handle::current(),
            panicked: watch::Sender::new(false),
        }
    }

    /// Starts a task.
    pub fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        let panicked = self.panicked.clone();
        let supervised = async move {
            if AssertUnwindSafe(work).catch_unwind().await.is_err() {
                panicked.send_replace(true);
            }
        };
        self.tasks.spawn_on(supervised, &self.runtime);
    }

    /// Returns when a task has panicked. The messages that it held or was about
    /// to release stay hidden, and so do those that follow them on their queue.
    pub fn panicked(&self) -> impl Future<Output = ()> + use<> {
        let mut panicked = self.panicked.subscribe();
        async move {
            if panicked.wait_for(|panicked| *panicked).await.is_err() {
                // The backend is gone, without a panic.
                std::future::pending().await
            }
        }
    }

    /// Waits until all tasks have ended, for `patience` at most.
    pub async fn wait(&self, patience: Duration) {
        // A tracker must be closed before `wait` can end. Tasks that start from
        // now on are still added to it.
        self.tasks.close();
        let _ = tokio::time::timeout(patience, self.tasks.wait()).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_of_a_background_task_is_noticed() {
        let tasks = BackgroundTasks::new();
        tasks.spawn(async {});
        tasks.wait(Duration::from_secs(60)).await;
        assert!(tasks.panicked().now_or_never().is_none());
        tasks.spawn(async { panic!("the test wants this") });
        tasks.panicked().await;
        let panicked = BackgroundTasks::new().panicked();
        assert!(panicked.now_or_never().is_none(), "it was dropped in good order");
    }
}
