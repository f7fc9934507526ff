//! Scheduling of calls on processors, and their deadlines.

use std::fmt;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;
use std::time::Instant;

use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::Semaphore;
use wasmtime::UpdateDeadline;

/// The epochs that a call may compute without a processor slot. Well-behaved
/// calls end long before. Two, because the first may begin just before its end.
const FREE_EPOCHS: u32 = 2;

/// The interval at which the deadline of a paused call is checked.
const CHECK_INTERVAL: Duration = Duration::from_millis(100);

/// A stopwatch for the time that a call uses. It is paused while the call waits
/// for other calls, which must not use up its deadline.
#[derive(Debug, Clone)]
pub(super) struct Stopwatch(Arc<Mutex<Reading>>);

#[derive(Debug)]
struct Reading {
    used: Duration,
    /// `None` while the stopwatch is paused.
    since: Option<Instant>,
}

/// A paused stopwatch, which continues when this guard is dropped.
#[derive(Debug)]
pub(super) struct PausedStopwatch(Stopwatch);

impl Stopwatch {
    pub fn start() -> Self {
        Self(Arc::new(Mutex::new(Reading { used: Duration::ZERO, since: Some(Instant::now()) })))
    }

    pub fn used(&self) -> Duration {
        let reading = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        reading.used + reading.since.map_or(Duration::ZERO, |since| since.elapsed())
    }

    /// Pauses the stopwatch until the guard is dropped.
    pub fn pause(&self) -> PausedStopwatch {
        let mut reading = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(since) = reading.since.take() {
            reading.used += since.elapsed();
        }
        PausedStopwatch(self.clone())
    }

    /// Waits until `limit` is used.
    async fn used_up(&self, limit: Duration) {
        loop {
            let left = limit.saturating_sub(self.used());
            if left.is_zero() {
                return;
            }
            // The stopwatch may be paused now and started again later, so the
            // time left is checked again at short intervals.
            tokio::time::sleep(left.min(CHECK_INTERVAL)).await;
        }
    }
}

impl Drop for PausedStopwatch {
    fn drop(&mut self) {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner).since = Some(Instant::now());
    }
}

/// The schedule of one call.
///
/// Short calls run at once. A call that computes for longer needs a processor
/// slot for each further epoch. There are fewer slots than threads, so that
/// guests that compute leave threads for everything else, short calls included.
#[derive(Debug, Clone)]
pub(super) struct Pace {
    stopwatch: Stopwatch,
    limit: Duration,
    /// The processor slots of the engine.
    slots: Arc<Semaphore>,
    /// The slot, held only while the guest is on a thread.
    slot: Arc<Mutex<Option<OwnedSemaphorePermit>>>,
}

/// The error that ends a guest which still computes at its deadline.
#[derive(Debug)]
pub(super) struct DeadlineExceeded;

impl Pace {
    /// Starts the time of the call.
    pub fn start(limit: Duration, slots: Arc<Semaphore>) -> Self {
        Self { stopwatch: Stopwatch::start(), limit, slots, slot: Arc::default() }
    }

    pub fn stopwatch(&self) -> &Stopwatch {
        &self.stopwatch
    }

    /// Returns the callback for the end of an epoch.
    pub fn at_epoch(&self) -> impl FnMut() -> wasmtime::Result<UpdateDeadline> + Send + use<> {
        let pace = self.clone();
        let mut epochs = 0;
        move || {
            // Before the yield: past its deadline the guest gets no further
            // epoch.
            if pace.stopwatch.used() >= pace.limit {
                return Err(wasmtime::Error::new(DeadlineExceeded));
            }
            epochs += 1;
            let pace = pace.clone();
            Ok(UpdateDeadline::YieldCustom(
                1,
                Box::pin(async move {
                    // Paused for the yield, too: other tasks use that time.
                    let _paused = pace.stopwatch.pause();
                    tokio::task::yield_now().await;
                    if epochs >= FREE_EPOCHS {
                        pace.take_slot().await;
                    }
                }),
            ))
        }
    }

    /// Runs a call to its end. Returns `None` if its deadline comes first.
    pub async fn run<T>(&self, call: impl Future<Output = T>) -> Option<T> {
        let mut call = pin!(call);
        let on_a_thread = poll_fn(|context| {
            let polled = call.as_mut().poll(context);
            // The guest is off its thread, perhaps for long: it waits for a
            // slot, for memory or in WASI.
            if polled.is_pending() {
                self.release_slot();
            }
            polled
        });
        tokio::select! {
            // An answer that is ready at the deadline still counts.
            biased;
            ended = on_a_thread => Some(ended),
            // Epochs stop a guest that computes. This stops a guest that waits
            // in WASI, which does not check epochs.
            () = self.stopwatch.used_up(self.limit) => None,
        }
    }

    async fn take_slot(&self) {
        // Released first. The semaphore is fair, so every waiting call gets its
        // turn before this one continues.
        self.release_slot();
        let slot = Arc::clone(&self.slots).acquire_owned().await;
        let slot = slot.expect("the semaphore is never closed");
        *self.slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(slot);
    }

    fn release_slot(&self) {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

impl fmt::Display for DeadlineExceeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the deadline has passed")
    }
}

impl std::error::Error for DeadlineExceeded {}

#[cfg(test)]
mod tests {
    use super::*;

    /// A limit that no call of these tests meets.
    const FAR: Duration = Duration::from_secs(3_600);

    /// A limit for calls that never come to an end.
    const NEAR: Duration = Duration::from_millis(100);

    fn pace(limit: Duration, turns: usize) -> Pace {
        Pace::start(limit, Arc::new(Semaphore::new(turns)))
    }

    /// Ends `count` epochs, as a guest does that computes without a pause.
    async fn epochs(pace: &Pace, count: u32) -> bool {
        let mut at_epoch = pace.at_epoch();
        for _ in 0..count {
            match at_epoch() {
                Ok(UpdateDeadline::YieldCustom(1, wait)) => wait.await,
                Ok(_) => panic!("an epoch ends with a pause"),
                Err(_) => return false,
            }
        }
        true
    }

    #[tokio::test]
    async fn a_call_that_waits_for_a_processor_uses_no_time() {
        let pace = pace(FAR, 0);
        let mut waits = pin!(pace.run(epochs(&pace, FREE_EPOCHS + 1)));
        // The free epochs end with a pause of one poll each, and then there is
        // no turn to be had.
        for _ in 0..=FREE_EPOCHS {
            assert!(futures_util::poll!(waits.as_mut()).is_pending(), "it got a turn");
            tokio::task::yield_now().await;
        }
        let used = pace.stopwatch().used();
        std::thread::sleep(Duration::from_millis(20));
        assert!(futures_util::poll!(waits.as_mut()).is_pending(), "it got a turn");
        assert_eq!(pace.stopwatch().used(), used, "the stopwatch does not stand");
        // The first epochs are free.
        assert_eq!(pace.run(epochs(&pace, FREE_EPOCHS - 1)).await, Some(true));
    }

    #[tokio::test]
    async fn a_processor_slot_is_released_when_the_call_leaves_the_thread() {
        let pace = pace(FAR, 1);
        let call = async {
            assert!(epochs(&pace, 5).await);
            assert_eq!(pace.slots.available_permits(), 0);
            tokio::task::yield_now().await;
            assert_eq!(pace.slots.available_permits(), 1);
        };
        assert_eq!(pace.run(call).await, Some(()));
    }

    #[tokio::test]
    async fn a_call_that_sleeps_ends_at_its_deadline() {
        assert_eq!(pace(NEAR, 1).run(std::future::pending::<()>()).await, None);
        let pace = pace(NEAR, 1);
        std::thread::sleep(NEAR);
        assert!(!epochs(&pace, 1).await, "a call past its deadline continues");
    }

    #[tokio::test]
    async fn a_processor_slot_is_released_with_the_call() {
        let turns = Arc::new(Semaphore::new(1));
        let pace = Pace::start(FAR, Arc::clone(&turns));
        assert!(epochs(&pace, 5).await);
        assert_eq!(turns.available_permits(), 0);
        drop(pace);
        assert_eq!(turns.available_permits(), 1);
    }
}
