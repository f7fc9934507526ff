//! Access tokens of the client credentials grant, cached for each set of scopes.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use futures_util::future::Shared;
use futures_util::future::WeakShared;
use http::header;
use tokio::time::Instant;

use crate::auth::config::OAuth2Config;
use crate::auth::endpoint::GrantedToken;
use crate::auth::endpoint::TokenEndpoint;
use crate::auth::header::AuthHeader;
use crate::auth::scopes::Scopes;
use crate::transport::client::HttpClient;
use crate::transport::failure::CallFailure;
use hoth_core::domain::CspName;

/// A token is not used in the last seconds of its life: the CSP's clock may be
/// ahead, and the request has to get there.
const EXPIRY_MARGIN: Duration = Duration::from_secs(30);

/// The lifetime of a token whose issuer states none.
const LIFETIME_DEFAULT: Duration = Duration::from_secs(60);

/// The longest lifetime of a token here, whatever its issuer states: a token
/// that was revoked must be replaced at some time.
const LIFETIME_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// The bound of the cache. Adapters choose scopes, and an adapter might choose
/// new ones for each job.
const SCOPE_SETS_MAX: usize = 256;

/// A token and the end of its use.
#[derive(Debug, Clone)]
struct Token {
    header: AuthHeader,
    usable_until: Instant,
}

/// The tokens of one CSP. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Tokens(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    endpoint: TokenEndpoint,
    /// The end of the pause that the endpoint asked for last, and the failure
    /// that asked for it. Requests wait instead of calling it meanwhile.
    throttled: Mutex<Option<(Instant, CallFailure)>>,
    cache: Mutex<Cache>,
}

#[derive(Default)]
struct Cache {
    slots: HashMap<Scopes, Slot>,
    /// The number of fetches that have ended, to number tokens.
    fetches: u64,
}

/// The state of one set of scopes.
#[derive(Default)]
struct Slot {
    token: Option<Token>,
    /// The running fetch. Its waiters own it, the cache does not: when the last
    /// waiter is dropped the fetch is cancelled, and the next caller starts
    /// another one.
    fetch: Option<WeakShared<Fetch>>,
}

type Fetch = BoxFuture<'static, Result<Token, CallFailure>>;

impl Tokens {
    pub fn new(csp: &CspName, config: &OAuth2Config, http: HttpClient, timeout: Duration) -> Self {
        let endpoint = TokenEndpoint::new(csp, config, http, timeout);
        Self(Arc::new(Inner { endpoint, throttled: Mutex::default(), cache: Mutex::default() }))
    }

    /// Returns the header with a usable token: the cached token, or a new one.
    ///
    /// Callers that arrive during a fetch wait for that fetch and share its
    /// failure. A failure is not cached: the next caller fetches again.
    ///
    /// While the endpoint asks for a pause of at most `patience`, waits for its
    /// end. A longer one is a failure, without a call.
    pub async fn header(
        &self,
        scopes: &Scopes,
        patience: Duration,
    ) -> Result<AuthHeader, CallFailure> {
        if let Some(header) = self.0.cached(scopes) {
            return Ok(header);
        }
        self.0.pause_over(patience).await?;
        let token = match self.lookup(scopes) {
            Lookup::Cached(token) => token,
            Lookup::Fetching(fetch) => fetch.await?,
        };
        Ok(token.header)
    }

    /// Drops a token that the CSP refused, unless its successor is cached
    /// already.
    pub fn discard(&self, scopes: &Scopes, refused: &AuthHeader) {
        if let Some(slot) = self.0.lock().slots.get_mut(scopes) {
            // Many calls may get a 401 for one token. The first replaces it;
            // the generation keeps the later ones from dropping the new token.
            slot.token.take_if(|token| token.header.generation == refused.generation);
        }
    }

    /// Returns the cached token, joins the running fetch, or starts one. All
    /// under one lock, so that two callers cannot start two fetches.
    fn lookup(&self, scopes: &Scopes) -> Lookup {
        let mut cache = self.0.lock();
        cache.make_room(scopes);
        let slot = cache.slots.entry(scopes.clone()).or_default();
        if let Some(token) = slot.usable() {
            return Lookup::Cached(token.clone());
        }
        if let Some(fetch) = slot.fetch.as_ref().and_then(WeakShared::upgrade) {
            return Lookup::Fetching(fetch);
        }
        let fetch = fetch(Arc::clone(&self.0), scopes.clone()).boxed().shared();
        slot.fetch = fetch.downgrade();
        Lookup::Fetching(fetch)
    }
}

enum Lookup {
    Cached(Token),
    Fetching(Shared<Fetch>),
}

async fn fetch(inner: Arc<Inner>, scopes: Scopes) -> Result<Token, CallFailure> {
    // The lifetime counts from the request: the issuer starts it some time
    // before the response arrives.
    let requested_at = Instant::now();
    let granted = inner.endpoint.request(&scopes).await;
    let asked = granted
        .as_ref()
        .err()
        .and_then(|failure| Some((Instant::now() + failure.retry_after?, failure.clone())));
    *inner.throttle() = asked;
    let mut cache = inner.lock();
    cache.fetches += 1;
    let generation = cache.fetches;
    // The slot may have been evicted during the request; then it is made anew.
    let slot = cache.slots.entry(scopes).or_default();
    slot.fetch = None;
    let GrantedToken { header: value, expires_in } = granted?;
    let header = AuthHeader::new(header::AUTHORIZATION, value, None, generation);
    let token = Token { header, usable_until: requested_at + usable_for(expires_in) };
    slot.token = Some(token.clone());
    Ok(token)
}

/// Returns the time for which a token is used. A short-lived token is used for
/// half its life, so that the margin does not leave nothing to cache.
fn usable_for(expires_in: Option<Duration>) -> Duration {
    let lifetime = expires_in.unwrap_or(LIFETIME_DEFAULT).min(LIFETIME_MAX);
    lifetime - EXPIRY_MARGIN.min(lifetime / 2)
}

impl Inner {
    fn cached(&self, scopes: &Scopes) -> Option<AuthHeader> {
        let cache = self.lock();
        cache.slots.get(scopes)?.usable().map(|token| token.header.clone())
    }

    /// Waits for the end of the endpoint's pause.
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

    fn lock(&self) -> MutexGuard<'_, Cache> {
        // A panic cannot leave the cache half changed, so a poisoned lock is
        // as good as any.
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Cache {
    /// Keeps the cache within its bound before a new set of scopes is added.
    /// Evicts expired tokens first, and if that is not enough every slot
    /// without waiters.
    fn make_room(&mut self, scopes: &Scopes) {
        if self.slots.len() < SCOPE_SETS_MAX || self.slots.contains_key(scopes) {
            return;
        }
        // A slot with waiters stays: without it the next caller would start a
        // second fetch for the same scopes.
        self.slots.retain(|_, slot| slot.is_awaited() || slot.usable().is_some());
        if self.slots.len() >= SCOPE_SETS_MAX {
            self.slots.retain(|_, slot| slot.is_awaited());
        }
    }
}

impl Slot {
    fn usable(&self) -> Option<&Token> {
        self.token.as_ref().filter(|token| Instant::now() < token.usable_until)
    }

    fn is_awaited(&self) -> bool {
        self.fetch.as_ref().and_then(WeakShared::upgrade).is_some()
    }
}

impl fmt::Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache").field("slots", &self.slots.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn a_token_is_used_until_shortly_before_it_expires() {
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

    #[test]
    fn the_cache_has_a_bound() {
        let scopes = |number: usize| Scopes::from([number.to_string()]);
        let value = HeaderValue::from_static("t");
        let header = AuthHeader::new(header::AUTHORIZATION, value, None, 0);
        let slot = |usable_until| Slot {
            token: Some(Token { header: header.clone(), usable_until }),
            fetch: None,
        };
        let now = Instant::now();
        let later = now + Duration::from_secs(3600);
        let mut cache = Cache::default();
        for number in 0..SCOPE_SETS_MAX {
            cache.slots.insert(scopes(number), slot(if number == 0 { later } else { now }));
        }
        cache.make_room(&scopes(0));
        assert_eq!(cache.slots.len(), SCOPE_SETS_MAX, "a cached set evicts nothing");
        cache.make_room(&scopes(SCOPE_SETS_MAX));
        assert_eq!(cache.slots.len(), 1, "expired tokens are evicted first");
        for number in 0..SCOPE_SETS_MAX {
            cache.slots.insert(scopes(number), slot(later));
        }
        cache.make_room(&scopes(SCOPE_SETS_MAX));
        assert_eq!(cache.slots.len(), 0, "without expired tokens all are evicted");
    }
}
