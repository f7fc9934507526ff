//! Connection slots, and the order of eviction when all are taken.
//!
//! An idle connection costs its client nothing, so one client could lock all
//! other clients out by opening many. When the listener is full, a new
//! connection therefore takes the slot of the connection that has been idle
//! longest. Connections that never had a successful response go first.
//!
//! A connection becomes active when the caller of its request is
//! authenticated, and is not evicted until the response has been flushed.
//! Until then it keeps its place in the order of eviction: a caller without
//! credentials cannot keep a slot by sending a request slowly.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;

use tokio::sync::Notify;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// The slots of one listener.
pub struct ConnectionSlots {
    /// A permit for each free slot.
    free: Arc<Semaphore>,
    /// The connections that may be evicted.
    idle: Mutex<Idle>,
    /// Notified when a connection becomes idle.
    idled: Notify,
}

/// A place in the order of eviction, lowest first: `true` for a trusted
/// connection, then a growing number taken when it became idle.
type Rank = (bool, u64);

/// The idle connections in the order of eviction.
#[derive(Default)]
struct Idle {
    /// The number of the next rank.
    next: u64,
    /// Each with the token whose cancellation ends the connection.
    ranks: BTreeMap<Rank, CancellationToken>,
}

/// The slot of one connection; dropping it frees the slot.
pub struct ConnectionSlot {
    slots: Arc<ConnectionSlots>,
    /// Cancelled to end the connection.
    evicted: CancellationToken,
    state: Mutex<SlotState>,
    _permit: OwnedSemaphorePermit,
}

struct SlotState {
    /// Place among the idle connections; `None` while a request is active.
    rank: Option<Rank>,
    /// The number of active requests: in a pipeline the next request can become
    /// active before the previous response is flushed.
    active: usize,
    /// Set after the first successful response.
    trusted: bool,
}

/// A guard that marks its connection as active until it is dropped.
pub struct ActiveRequest(Arc<ConnectionSlot>);

/// The way for a handler to make its connection active, as an extension of the
/// request.
#[derive(Clone)]
pub struct Activation {
    slot: Arc<ConnectionSlot>,
    /// The guard, until the response takes it. Shared by all clones.
    active: Arc<Mutex<Option<ActiveRequest>>>,
}

/// The refusal of a request on a connection that was chosen for eviction.
#[derive(Debug, thiserror::Error)]
#[error("the connection was evicted for another one")]
pub struct Evicted;

impl Activation {
    pub(super) fn of(slot: Arc<ConnectionSlot>) -> Self {
        Self { slot, active: Arc::default() }
    }

    /// Makes the connection active until its response has been flushed.
    ///
    /// # Errors
    ///
    /// Returns [`Evicted`] if the eviction came first. The connection is about
    /// to end then.
    pub fn activate(&self) -> Result<(), Evicted> {
        let request = self.slot.begin_request().ok_or(Evicted)?;
        *self.active.lock().expect("no code panics while it holds the guard") = Some(request);
        Ok(())
    }

    /// Takes the guard; returns `None` if the request was never active.
    pub(super) fn take(&self) -> Option<ActiveRequest> {
        self.active.lock().expect("no code panics while it holds the guard").take()
    }
}

impl ConnectionSlots {
    /// Creates `count` free slots.
    pub fn new(count: usize) -> Arc<Self> {
        Arc::new(Self {
            free: Arc::new(Semaphore::new(count)),
            idle: Mutex::default(),
            idled: Notify::new(),
        })
    }

    /// Returns a slot for a new connection. Evicts an idle connection if none
    /// is free; waits while every connection has an active request.
    pub async fn take(self: &Arc<Self>) -> Arc<ConnectionSlot> {
        let permit = self.permit().await;
        let evicted = CancellationToken::new();
        // Idle from the start: a client that connects and sends nothing must be
        // evictable.
        let rank = self.idle().add(false, evicted.clone());
        let state = Mutex::new(SlotState { rank: Some(rank), active: 0, trusted: false });
        Arc::new(ConnectionSlot { slots: Arc::clone(self), evicted, state, _permit: permit })
    }

    /// Returns a permit as soon as a slot is free.
    async fn permit(&self) -> OwnedSemaphorePermit {
        loop {
            if let Ok(permit) = Arc::clone(&self.free).try_acquire_owned() {
                return permit;
            }
            let evicted = self.evict();
            let freed = Arc::clone(&self.free).acquire_owned();
            let idled = async {
                match evicted {
                    // The slot of the evicted connection is about to become
                    // free. Another eviction would free one slot too many.
                    true => std::future::pending().await,
                    // `notify_one` stores a permit, so a connection that became
                    // idle after `evict` is not missed (tokio documentation). A
                    // permit from before only costs another turn of the loop.
                    false => self.idled.notified().await,
                }
            };
            tokio::select! {
                permit = freed => return permit.expect("the semaphore is never closed"),
                () = idled => {}
            }
        }
    }

    /// Ends the connection that is first in the order of eviction. Returns
    /// `false` if none is idle.
    pub fn evict(&self) -> bool {
        // The lock is held only for the removal; with the rank gone, the
        // connection can no longer begin a request.
        let Some((_, evicted)) = self.idle().ranks.pop_first() else { return false };
        evicted.cancel();
        true
    }

    fn idle(&self) -> MutexGuard<'_, Idle> {
        self.idle.lock().expect("no code panics while it holds the ranks")
    }
}

impl Idle {
    /// Adds a connection that became idle; returns its rank.
    fn add(&mut self, trusted: bool, evicted: CancellationToken) -> Rank {
        let rank = (trusted, self.next);
        self.next += 1;
        self.ranks.insert(rank, evicted);
        rank
    }
}

impl ConnectionSlot {
    /// Returns once the connection has been evicted.
    pub async fn evicted(&self) {
        self.evicted.cancelled().await;
    }

    /// Marks the connection as active. Returns `None` if it has been evicted.
    pub fn begin_request(self: &Arc<Self>) -> Option<ActiveRequest> {
        let mut state = self.state();
        if state.active == 0 {
            let rank = state.rank.take()?;
            // The eviction takes the rank out under the same lock. If the rank
            // is gone, the eviction came first, and its connection ends.
            self.slots.idle().ranks.remove(&rank)?;
        }
        state.active += 1;
        drop(state);
        Some(ActiveRequest(Arc::clone(self)))
    }

    fn state(&self) -> MutexGuard<'_, SlotState> {
        self.state.lock().expect("no code panics while it holds the state")
    }
}

impl ActiveRequest {
    /// Marks the connection as trusted: its request had a successful response.
    pub fn mark_trusted(&self) {
        self.0.state().trusted = true;
    }
}

impl Drop for ActiveRequest {
    fn drop(&mut self) {
        let slot = &self.0;
        // This file always locks the state before the ranks, so that two tasks
        // never wait for each other.
        let mut state = slot.state();
        state.active -= 1;
        if state.active > 0 {
            return;
        }
        // The rank is new: the connection has been idle only from now on.
        state.rank = Some(slot.slots.idle().add(state.trusted, slot.evicted.clone()));
        slot.slots.idled.notify_one();
    }
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        // The removal does nothing if the connection was evicted.
        if let Some(rank) = self.state().rank.take() {
            self.slots.idle().ranks.remove(&rank);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Returns `true` if a slot is available at once.
    async fn is_free(slots: &Arc<ConnectionSlots>) -> bool {
        tokio::time::timeout(Duration::from_millis(20), slots.take()).await.is_ok()
    }

    fn is_evicted(slot: &ConnectionSlot) -> bool {
        slot.evicted.is_cancelled()
    }

    #[tokio::test]
    async fn the_connection_that_was_idle_longest_is_evicted_first() {
        let slots = ConnectionSlots::new(3);
        let (a, b, c) = (slots.take().await, slots.take().await, slots.take().await);
        drop(a.begin_request().unwrap());
        assert!(!is_free(&slots).await, "the evicted connection still holds its slot");
        assert_eq!([is_evicted(&a), is_evicted(&b), is_evicted(&c)], [false, true, false]);
        assert!(b.begin_request().is_none(), "a request after the eviction is refused");
        drop(b);
        let d = slots.take().await;
        assert!(!is_free(&slots).await);
        assert_eq!([is_evicted(&a), is_evicted(&c), is_evicted(&d)], [false, true, false]);
    }

    #[tokio::test]
    async fn a_connection_with_a_successful_response_is_evicted_last() {
        let slots = ConnectionSlots::new(2);
        let (trusted, untrusted) = (slots.take().await, slots.take().await);
        trusted.begin_request().unwrap().mark_trusted();
        drop(untrusted.begin_request().unwrap());
        assert!(!is_free(&slots).await);
        assert_eq!([is_evicted(&trusted), is_evicted(&untrusted)], [false, true]);
    }

    #[tokio::test]
    async fn a_connection_is_active_until_its_last_request_ends() {
        let slots = ConnectionSlots::new(1);
        let slot = slots.take().await;
        let (first, second) = (slot.begin_request().unwrap(), slot.begin_request().unwrap());
        drop(first);
        assert!(!is_free(&slots).await);
        assert!(!is_evicted(&slot), "the second request is active");
        drop(second);
        assert!(!is_free(&slots).await);
        assert!(is_evicted(&slot));
    }

    #[tokio::test]
    async fn a_connection_with_an_active_request_is_not_evicted() {
        let slots = ConnectionSlots::new(1);
        let slot = slots.take().await;
        let request = slot.begin_request().unwrap();
        assert!(!is_free(&slots).await);
        assert!(!is_evicted(&slot));
        let waiting = tokio::spawn({
            let slots = Arc::clone(&slots);
            async move { drop(slots.take().await) }
        });
        tokio::task::yield_now().await;
        drop(request);
        slot.evicted().await;
        drop(slot);
        waiting.await.unwrap();
    }
}
