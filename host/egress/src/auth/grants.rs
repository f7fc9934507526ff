//! Credentials that an issuer grants for a time, cached for each key.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use futures_util::future::Shared;
use futures_util::future::WeakShared;
use tokio::time::Instant;

use crate::auth::status::TokenEvents;
use crate::auth::status::TokenStatus;
use crate::transport::failure::CallFailure;
use hoth_platform::clock::Clock;

/// A grant is not used in the last seconds of its life: the CSP's clock may be
/// ahead, and the request has to get there.
const EXPIRY_MARGIN: Duration = Duration::from_secs(30);

/// The lifetime of a grant whose issuer states none.
const LIFETIME_DEFAULT: Duration = Duration::from_secs(60);

/// The longest lifetime of a grant here, whatever its issuer states: one that
/// was revoked must be replaced at some time.
const LIFETIME_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// The bound of the cache. Adapters choose keys, and an adapter might choose new
/// ones for each job.
const KEYS_MAX: usize = 256;

/// An issuer of access tokens or of temporary keys.
pub trait Issuer: fmt::Debug + Send + Sync + 'static {
    /// The part of a request that decides on the grant.
    type Key: Clone + Eq + Hash + Send + Sync;
    type Value: Clone + fmt::Debug + Send + Sync;

    /// Requests a grant once.
    fn issue(
        &self,
        key: &Self::Key,
    ) -> impl Future<Output = Result<Granted<Self::Value>, CallFailure>> + Send;
}

/// A grant as its issuer made it, not yet cached.
#[derive(Debug)]
pub struct Granted<T> {
    pub value: T,
    /// The lifetime, or `None` if the issuer states none.
    pub expires_in: Option<Duration>,
}

/// A grant and the end of its use.
#[derive(Debug, Clone)]
pub struct Grant<T> {
    pub value: T,
    /// A number that tells a grant from its successor.
    pub generation: u64,
    usable_until: Instant,
}

/// The grants of one issuer. Cheap to clone.
#[derive(Debug)]
pub struct Grants<I: Issuer>(Arc<Inner<I>>);

#[derive(Debug)]
struct Inner<I: Issuer> {
    issuer: I,
    /// The end of the pause that the issuer asked for last, and the failure
    /// that asked for it. Requests wait instead of calling it meanwhile.
    throttled: Mutex<Option<(Instant, CallFailure)>>,
    cache: Mutex<Cache<I>>,
}

struct Cache<I: Issuer> {
    slots: HashMap<I::Key, Slot<I::Value>>,
    /// The number of fetches that have ended, to number grants.
    fetches: u64,
    events: TokenEvents,
}

/// The state of one key.
struct Slot<T: Clone> {
    grant: Option<Grant<T>>,
    /// The running fetch. Its waiters own it, the cache does not: when the last
    /// waiter is dropped the fetch is cancelled, and the next caller starts
    /// another one.
    fetch: Option<WeakShared<Fetch<T>>>,
}

type Fetch<T> = BoxFuture<'static, Result<Grant<T>, CallFailure>>;

impl<I: Issuer> Grants<I> {
    pub fn new(issuer: I) -> Self {
        let inner = Inner { issuer, throttled: Mutex::default(), cache: Mutex::default() };
        Self(Arc::new(inner))
    }

    /// Returns the issuer.
    pub fn issuer(&self) -> &I {
        &self.0.issuer
    }

    /// Returns the cached grant, or a new one.
    ///
    /// Callers that arrive during a fetch wait for that fetch and share its
    /// failure. A failure is not cached: the next caller fetches again.
    ///
    /// While the issuer asks for a pause of at most `patience`, waits for its
    /// end. A longer one is a failure, without a call.
    pub async fn get(
        &self,
        key: &I::Key,
        patience: Duration,
    ) -> Result<Grant<I::Value>, CallFailure> {
        if let Some(grant) = self.0.cached(key) {
            return Ok(grant);
        }
        self.0.pause_over(patience).await?;
        match self.lookup(key) {
            Lookup::Cached(grant) => Ok(grant),
            Lookup::Fetching(fetch) => fetch.await,
        }
    }

    /// Drops the grant that the CSP refused, unless its successor is cached
    /// already.
    pub fn discard(&self, key: &I::Key, generation: u64) {
        let mut cache = self.0.lock();
        let Some(slot) = cache.slots.get_mut(key) else { return };
        // Many calls may be refused for one grant. The first replaces it; the
        // generation keeps the later ones from dropping the new one.
        if slot.grant.take_if(|grant| grant.generation == generation).is_some() {
            cache.events.refused_at = Some(Instant::now());
        }
    }

    /// Returns the state of the grants, for operators.
    pub fn status(&self, clock: &Clock) -> TokenStatus {
        let cache = self.0.lock();
        let usable = cache.slots.values().filter_map(Slot::usable);
        cache.events.clone().status(usable.map(|grant| grant.usable_until), clock)
    }

    /// Returns the cached grant, joins the running fetch, or starts one. All
    /// under one lock, so that two callers cannot start two fetches.
    fn lookup(&self, key: &I::Key) -> Lookup<I::Value> {
        let mut cache = self.0.lock();
        cache.make_room(key);
        let slot = cache.slots.entry(key.clone()).or_default();
        if let Some(grant) = slot.usable() {
            return Lookup::Cached(grant.clone());
        }
        if let Some(fetch) = slot.fetch.as_ref().and_then(WeakShared::upgrade) {
            return Lookup::Fetching(fetch);
        }
        let fetch = fetch(Arc::clone(&self.0), key.clone()).boxed().shared();
        slot.fetch = fetch.downgrade();
        Lookup::Fetching(fetch)
    }
}

impl<I: Issuer> Clone for Grants<I> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

enum Lookup<T: Clone> {
    Cached(Grant<T>),
    Fetching(Shared<Fetch<T>>),
}

async fn fetch<I: Issuer>(
    inner: Arc<Inner<I>>,
    key: I::Key,
) -> Result<Grant<I::Value>, CallFailure> {
    // The lifetime counts from the request: the issuer starts it some time
    // before the response arrives.
    let requested_at = Instant::now();
    let granted = inner.issuer.issue(&key).await;
    let asked = granted
        .as_ref()
        .err()
        .and_then(|failure| Some((Instant::now() + failure.retry_after?, failure.clone())));
    *inner.throttle() = asked;
    let mut cache = inner.lock();
    cache.fetches += 1;
    let generation = cache.fetches;
    // The slot may have been evicted during the request; then it is made anew.
    match &granted {
        Ok(_) => cache.events.obtained_at = Some(Instant::now()),
        Err(failure) => cache.events.failed(&failure.message),
    }
    let slot = cache.slots.entry(key).or_default();
    slot.fetch = None;
    let Granted { value, expires_in } = granted?;
    let grant = Grant { value, generation, usable_until: requested_at + usable_for(expires_in) };
    slot.grant = Some(grant.clone());
    Ok(grant)
}

/// Returns the time for which a grant is used. A short-lived one is used for
/// half its life, so that the margin does not leave nothing to cache.
fn usable_for(expires_in: Option<Duration>) -> Duration {
    let lifetime = expires_in.unwrap_or(LIFETIME_DEFAULT).min(LIFETIME_MAX);
    lifetime - EXPIRY_MARGIN.min(lifetime / 2)
}

impl<I: Issuer> Inner<I> {
    fn cached(&self, key: &I::Key) -> Option<Grant<I::Value>> {
        let cache = self.lock();
        cache.slots.get(key)?.usable().cloned()
    }

    /// Waits for the end of the issuer's pause.
    async fn pause_over(&self, patience: Duration) -> Result<(), CallFailure> {
        let Some((until, failure)) = self.throttle().clone() else { return Ok(()) };
        let left = until.saturating_duration_since(Instant::now());
        if left > patience {
            return Err(CallFailure { retry_after: Some(left), ..failure });
        }
        tokio::time::sleep_until(until).await;
        Ok(())
    }

    fn throttle(&self) -> MutexGuard<'_, Option<(Instant, CallFailure)>> {
        self.throttled.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, Cache<I>> {
        // A panic cannot leave the cache half changed, so a poisoned lock is
        // as good as any.
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<I: Issuer> Cache<I> {
    /// Keeps the cache within its bound before a new key is added. Evicts
    /// expired grants first, and if that is not enough every slot without
    /// waiters.
    fn make_room(&mut self, key: &I::Key) {
        if self.slots.len() < KEYS_MAX || self.slots.contains_key(key) {
            return;
        }
        // A slot with waiters stays: without it the next caller would start a
        // second fetch for the same key.
        self.slots.retain(|_, slot| slot.is_awaited() || slot.usable().is_some());
        if self.slots.len() >= KEYS_MAX {
            self.slots.retain(|_, slot| slot.is_awaited());
        }
    }
}

impl<T: Clone> Slot<T> {
    fn usable(&self) -> Option<&Grant<T>> {
        self.grant.as_ref().filter(|grant| Instant::now() < grant.usable_until)
    }

    fn is_awaited(&self) -> bool {
        self.fetch.as_ref().and_then(WeakShared::upgrade).is_some()
    }
}

impl<T: Clone> Default for Slot<T> {
    fn default() -> Self {
        Self { grant: None, fetch: None }
    }
}

impl<I: Issuer> Default for Cache<I> {
    fn default() -> Self {
        Self { slots: HashMap::new(), fetches: 0, events: TokenEvents::default() }
    }
}

impl<I: Issuer> fmt::Debug for Cache<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache").field("slots", &self.slots.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grant_is_used_until_shortly_before_it_expires() {
        for (expires_in, used) in [
            (None, 30),
            (Some(0), 0),
            (Some(20), 10),
            (Some(60), 30),
            (Some(61), 31),
            (Some(3600), 3570),
            (Some(86_400), 86_370),
            (Some(u64::MAX), 86_370),
        ] {
            let usable = usable_for(expires_in.map(Duration::from_secs));
            assert_eq!(usable, Duration::from_secs(used), "{expires_in:?}");
        }
    }

    /// An issuer that is never asked.
    #[derive(Debug)]
    struct Silent;

    impl Issuer for Silent {
        type Key = usize;
        type Value = ();

        async fn issue(&self, _: &usize) -> Result<Granted<()>, CallFailure> {
            unreachable!("the cache is filled by hand")
        }
    }

    #[test]
    fn the_cache_has_a_bound() {
        let slot = |usable_until| Slot {
            grant: Some(Grant { value: (), generation: 0, usable_until }),
            fetch: None,
        };
        let now = Instant::now();
        let later = now + Duration::from_secs(3600);
        let mut cache = Cache::<Silent>::default();
        for key in 0..KEYS_MAX {
            cache.slots.insert(key, slot(if key == 0 { later } else { now }));
        }
        cache.make_room(&0);
        assert_eq!(cache.slots.len(), KEYS_MAX, "a cached key evicts nothing");
        cache.make_room(&KEYS_MAX);
        assert_eq!(cache.slots.len(), 1, "expired grants are evicted first");
        for key in 0..KEYS_MAX {
            cache.slots.insert(key, slot(later));
        }
        cache.make_room(&KEYS_MAX);
        assert_eq!(cache.slots.len(), 0, "without expired grants all are evicted");
    }
}
