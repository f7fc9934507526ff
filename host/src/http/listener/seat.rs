//! Who sits at the listener, and who has to go when it is full.
//!
//! A connection costs its owner nothing, so whoever opens many could keep all
//! others out by doing nothing on them. When the listener is full, a new
//! connection therefore takes the seat of the one that has been idle longest;
//! of those first that have never had a good answer. Nobody who has a request
//! in hand loses a seat.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;

use tokio::sync::Notify;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// All seats.
pub struct Seats {
    free: Arc<Semaphore>,
    idle: Mutex<Idle>,
    /// Tells that a connection has become idle.
    idled: Notify,
}

/// Whether a connection has had a good answer, and when it became idle, as a
/// number that grows. The first in order is the first to go.
type Rank = (bool, u64);

#[derive(Default)]
struct Idle {
    next: u64,
    ranks: BTreeMap<Rank, CancellationToken>,
}

/// One connection's seat, free again when this is dropped.
pub struct Seat {
    seats: Arc<Seats>,
    /// Ends the connection.
    lost: CancellationToken,
    state: Mutex<State>,
    _permit: OwnedSemaphorePermit,
}

struct State {
    /// None while there is a request in hand.
    rank: Option<Rank>,
    trusted: bool,
}

/// A request in hand; over when this is dropped.
pub struct Busy(Arc<Seat>);

impl Seats {
    /// So many seats, all free.
    pub fn new(seats: usize) -> Arc<Self> {
        Arc::new(Self {
            free: Arc::new(Semaphore::new(seats)),
            idle: Mutex::default(),
            idled: Notify::new(),
        })
    }

    /// A seat for a new connection. Waits while every connection has a request
    /// in hand.
    pub async fn take(self: &Arc<Self>) -> Arc<Seat> {
        let permit = self.permit().await;
        let lost = CancellationToken::new();
        let rank = self.idle().add(false, lost.clone());
        let state = Mutex::new(State { rank: Some(rank), trusted: false });
        Arc::new(Seat { seats: Arc::clone(self), lost, state, _permit: permit })
    }

    async fn permit(&self) -> OwnedSemaphorePermit {
        loop {
            if let Ok(permit) = Arc::clone(&self.free).try_acquire_owned() {
                return permit;
            }
            let evicted = self.evict();
            let freed = Arc::clone(&self.free).acquire_owned();
            let idled = async {
                match evicted {
                    // Its seat is free in a moment; no other need go.
                    true => std::future::pending().await,
                    false => self.idled.notified().await,
                }
            };
            tokio::select! {
                permit = freed => return permit.expect("the semaphore is never closed"),
                () = idled => {}
            }
        }
    }

    /// Ends the connection that has been idle longest, if one is idle.
    pub fn evict(&self) -> bool {
        let Some((_, lost)) = self.idle().ranks.pop_first() else { return false };
        lost.cancel();
        true
    }

    fn idle(&self) -> MutexGuard<'_, Idle> {
        self.idle.lock().expect("no one panics while holding the ranks")
    }
}

impl Idle {
    fn add(&mut self, trusted: bool, lost: CancellationToken) -> Rank {
        let rank = (trusted, self.next);
        self.next += 1;
        self.ranks.insert(rank, lost);
        rank
    }
}

impl Seat {
    /// Returns when the seat is another's.
    pub async fn lost(&self) {
        self.lost.cancelled().await;
    }

    /// Begins a request; none when the seat is already another's.
    pub fn begin(self: &Arc<Self>) -> Option<Busy> {
        let rank = self.state().rank.take()?;
        let kept = self.seats.idle().ranks.remove(&rank).is_some();
        kept.then(|| Busy(Arc::clone(self)))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no one panics while holding the state")
    }
}

impl Busy {
    /// The request had a good answer: its sender is someone.
    pub fn trust(&self) {
        self.0.state().trusted = true;
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let seat = &self.0;
        let mut state = seat.state();
        state.rank = Some(seat.seats.idle().add(state.trusted, seat.lost.clone()));
        seat.seats.idled.notify_one();
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if let Some(rank) = self.state().rank.take() {
            self.seats.idle().ranks.remove(&rank);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Whether a seat is to be had at once.
    async fn is_free(seats: &Arc<Seats>) -> bool {
        tokio::time::timeout(Duration::from_millis(20), seats.take()).await.is_ok()
    }

    fn is_lost(seat: &Seat) -> bool {
        seat.lost.is_cancelled()
    }

    #[tokio::test]
    async fn the_connection_that_was_idle_longest_goes_first() {
        let seats = Seats::new(3);
        let (a, b, c) = (seats.take().await, seats.take().await, seats.take().await);
        drop(a.begin().unwrap());
        assert!(!is_free(&seats).await, "the one that goes has not gone yet");
        assert_eq!([is_lost(&a), is_lost(&b), is_lost(&c)], [false, true, false]);
        assert!(b.begin().is_none(), "a request that comes too late is not begun");
        drop(b);
        let d = seats.take().await;
        assert!(!is_free(&seats).await);
        assert_eq!([is_lost(&a), is_lost(&c), is_lost(&d)], [false, true, false]);
    }

    #[tokio::test]
    async fn who_had_a_good_answer_stays_longer() {
        let seats = Seats::new(2);
        let (known, unknown) = (seats.take().await, seats.take().await);
        known.begin().unwrap().trust();
        drop(unknown.begin().unwrap());
        assert!(!is_free(&seats).await);
        assert_eq!([is_lost(&known), is_lost(&unknown)], [false, true]);
    }

    #[tokio::test]
    async fn nobody_with_a_request_in_hand_loses_a_seat() {
        let seats = Seats::new(1);
        let seat = seats.take().await;
        let busy = seat.begin().unwrap();
        assert!(!is_free(&seats).await);
        assert!(!is_lost(&seat));
        let waiting = tokio::spawn({
            let seats = Arc::clone(&seats);
            async move { drop(seats.take().await) }
        });
        tokio::task::yield_now().await;
        drop(busy);
        seat.lost().await;
        drop(seat);
        waiting.await.unwrap();
    }
}
