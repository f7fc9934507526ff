//! When a call gets the processor, and when its time is up.

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

/// Epochs that a call has for itself before it must wait for a turn. Lawful
/// calls are over long before; two, as the first may begin just before its
/// end.
const FREE_EPOCHS: u32 = 2;

/// How often a call that waits for others is looked at.
const LOOK: Duration = Duration::from_millis(100);

/// Measures what a call uses. It stands while the call waits for the sake of
/// others: their guests shall not use up its deadline.
#[derive(Debug, Clone)]
pub(super) struct Stopwatch(Arc<Mutex<Reading>>);

#[derive(Debug)]
struct Reading {
    used: Duration,
    /// None while it stands.
    since: Option<Instant>,
}

/// The stopwatch goes on when this is dropped.
#[derive(Debug)]
pub(super) struct Standing(Stopwatch);

impl Stopwatch {
    pub fn start() -> Self {
        Self(Arc::new(Mutex::new(Reading { used: Duration::ZERO, since: Some(Instant::now()) })))
    }

    pub fn used(&self) -> Duration {
        let reading = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        reading.used + reading.since.map_or(Duration::ZERO, |since| since.elapsed())
    }

    /// Stops it until what this returns is dropped.
    pub fn stand(&self) -> Standing {
        let mut reading = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(since) = reading.since.take() {
            reading.used += since.elapsed();
        }
        Standing(self.clone())
    }

    /// Waits until `limit` is used.
    async fn used_up(&self, limit: Duration) {
        loop {
            let left = limit.saturating_sub(self.used());
            if left.is_zero() {
                return;
            }
            // It may stand, and then there is no time to wait for.
            tokio::time::sleep(left.min(LOOK)).await;
        }
    }
}

impl Drop for Standing {
    fn drop(&mut self) {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner).since = Some(Instant::now());
    }
}

/// The pace of one call.
///
/// Short calls run as they come. One that computes for longer goes on by turns
/// of an epoch each, of which there are fewer than threads: whatever guests
/// compute, threads are left for everything else, short calls included.
#[derive(Debug, Clone)]
pub(super) struct Pace {
    stopwatch: Stopwatch,
    limit: Duration,
    turns: Arc<Semaphore>,
    /// Held only while the guest is on a thread.
    turn: Arc<Mutex<Option<OwnedSemaphorePermit>>>,
}

/// Ends a guest that still computes when its time is up.
#[derive(Debug)]
pub(super) struct TimeIsUp;

impl Pace {
    /// The time of the call begins with this.
    pub fn start(limit: Duration, turns: Arc<Semaphore>) -> Self {
        Self { stopwatch: Stopwatch::start(), limit, turns, turn: Arc::default() }
    }

    pub fn stopwatch(&self) -> &Stopwatch {
        &self.stopwatch
    }

    /// What a store does at the end of an epoch.
    pub fn at_epoch(&self) -> impl FnMut() -> wasmtime::Result<UpdateDeadline> + Send + use<> {
        let pace = self.clone();
        let mut epochs = 0;
        move || {
            if pace.stopwatch.used() >= pace.limit {
                return Err(wasmtime::Error::new(TimeIsUp));
            }
            epochs += 1;
            let pace = pace.clone();
            Ok(UpdateDeadline::YieldCustom(
                1,
                Box::pin(async move {
                    let _standing = pace.stopwatch.stand();
                    tokio::task::yield_now().await;
                    if epochs >= FREE_EPOCHS {
                        pace.take_turn().await;
                    }
                }),
            ))
        }
    }

    /// Runs a call to its end, or to that of its time: none.
    pub async fn run<T>(&self, call: impl Future<Output = T>) -> Option<T> {
        let mut call = pin!(call);
        let on_a_thread = poll_fn(|context| {
            let polled = call.as_mut().poll(context);
            if polled.is_pending() {
                self.end_turn();
            }
            polled
        });
        tokio::select! {
            biased;
            ended = on_a_thread => Some(ended),
            // Epochs stop a guest that computes; this stops one that waits in
            // WASI, where no epoch is looked at.
            () = self.stopwatch.used_up(self.limit) => None,
        }
    }

    async fn take_turn(&self) {
        self.end_turn();
        let turn = Arc::clone(&self.turns).acquire_owned().await;
        let turn = turn.expect("the semaphore is never closed");
        *self.turn.lock().unwrap_or_else(PoisonError::into_inner) = Some(turn);
    }

    fn end_turn(&self) {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

impl fmt::Display for TimeIsUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the deadline has passed")
    }
}

impl std::error::Error for TimeIsUp {}

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

    /// Ends `count` epochs, as a guest does that computes all the while.
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
    async fn a_call_that_waits_for_its_turn_uses_no_time() {
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
    async fn a_turn_ends_when_the_call_leaves_the_thread() {
        let pace = pace(FAR, 1);
        let call = async {
            assert!(epochs(&pace, 5).await);
            assert_eq!(pace.turns.available_permits(), 0);
            tokio::task::yield_now().await;
            assert_eq!(pace.turns.available_permits(), 1);
        };
        assert_eq!(pace.run(call).await, Some(()));
    }

    #[tokio::test]
    async fn a_call_that_sleeps_is_over_when_its_time_is() {
        assert_eq!(pace(NEAR, 1).run(std::future::pending::<()>()).await, None);
        let pace = pace(NEAR, 1);
        std::thread::sleep(NEAR);
        assert!(!epochs(&pace, 1).await, "a call that computed goes on");
    }

    #[tokio::test]
    async fn a_turn_is_given_back_with_the_call() {
        let turns = Arc::new(Semaphore::new(1));
        let pace = Pace::start(FAR, Arc::clone(&turns));
        assert!(epochs(&pace, 5).await);
        assert_eq!(turns.available_permits(), 0);
        drop(pace);
        assert_eq!(turns.available_permits(), 1);
    }
}
